import { ConvShape } from "./conv-shape";
import { clear, copy } from "./elementwise";
import { at, ld, madd, splat, st } from "./vector";

// Each channel is convolved by itself, with m = N / c kernels of its own: output channel i m + j is channel i with its
// kernel j. With m > 1 the image is spread out first, each channel m times in a row, so that one loop does for all:
// y[o] += x[o + tap] w[tap], four channels at a time.

/** y (batch,oh,ow,N) = x (batch,h,w,c) * w (kh,kw,N) + b (N); b may be 0. scratch: one spread image (h,w,N), unless N = c. */
export function depthwiseForward(
  shape: usize, x: usize, w: usize, b: usize, y: usize, batch: i32, scratch: usize,
): void {
  const s = changetype<ConvShape>(shape);
  const n = s.n;
  const area = s.oh * s.ow;
  for (let i = 0; i < batch; i++, x += at(s.h * s.w * s.c), y += at(area * n)) {
    if (b) for (let p = 0; p < area; p++) copy(y + at(p * n), b, n);
    else clear(y, area * n);
    taps(s, spread(s, x, scratch), w, y, FORWARD);
  }
}

/** dw (kh,kw,N) +=; dx (batch,h,w,c), unless 0, =. scratch: a spread image and its gradient (h,w,N) each, unless N = c. */
export function depthwiseBackward(
  shape: usize, x: usize, w: usize, dy: usize, dx: usize, dw: usize, batch: i32, scratch: usize,
): void {
  const s = changetype<ConvShape>(shape);
  const n = s.n;
  const size = s.h * s.w * s.c;
  const wide = scratch + at(s.h * s.w * n);
  for (let i = 0; i < batch; i++, x += at(size), dy += at(s.oh * s.ow * n)) {
    taps(s, spread(s, x, scratch), dw, dy, WEIGHTS);
    if (!dx) continue;
    const g = n == s.c ? dx : wide;
    clear(g, s.h * s.w * n);
    taps(s, g, w, dy, INPUT);
    if (n != s.c) gatherSums(wide, dx, size, n / s.c);
    dx += at(size);
  }
}

const FORWARD: i32 = 0; // y += x w
const INPUT: i32 = 1; // x += y w
const WEIGHTS: i32 = 2; // w += x y

/** For each tap and each row of outputs that it has an image row for. */
function taps(s: ConvShape, x: usize, w: usize, y: usize, what: i32): void {
  const n = s.n;
  for (let ky = 0; ky < s.kh; ky++) {
    for (let kx = 0; kx < s.kw; kx++, w += at(n)) {
      const dx = kx * s.dw - s.left;
      const first = firstInside(dx, s.sw);
      const count = min(s.ow, endInside(dx, s.sw, s.w)) - first;
      if (count <= 0) continue;
      for (let oy = 0; oy < s.oh; oy++) {
        const iy = oy * s.sh - s.top + ky * s.dh;
        if (<u32>iy >= <u32>s.h) continue;
        const from = x + at((iy * s.w + first * s.sw + dx) * n);
        line(from, at(s.sw * n), w, y + at((oy * s.ow + first) * n), count, n, what);
      }
    }
  }
}

/** The first output o >= 0 with o stride + offset >= 0. */
function firstInside(offset: i32, stride: i32): i32 {
  return offset >= 0 ? 0 : (stride - 1 - offset) / stride;
}

/** The first output from which o stride + offset >= size. */
function endInside(offset: i32, stride: i32, size: i32): i32 {
  return offset >= size ? 0 : (size - offset + stride - 1) / stride;
}

/** `count` pixels of x (`step` bytes apart) and of y, n channels each, with one tap's weights. */
function line(x: usize, step: usize, w: usize, y: usize, count: i32, n: i32, what: i32): void {
  let c = 0;
  for (; c + 4 <= n; c += 4) lanes(x + at(c), step, w + at(c), y + at(c), at(n), count, what, 4);
  if (c < n) lanes(x + at(c), step, w + at(c), y + at(c), at(n), count, what, n - c);
}

// @ts-ignore: decorator
@inline
function lanes(x: usize, step: usize, w: usize, y: usize, next: usize, count: i32, what: i32, cols: i32): void {
  if (what == WEIGHTS) {
    let sum = splat(0);
    for (let i = 0; i < count; i++, x += step, y += next) sum = madd(ld(x, cols), ld(y, cols), sum);
    st(w, f32x4.add(ld(w, cols), sum), cols);
    return;
  }
  const v = ld(w, cols);
  if (what == FORWARD) {
    for (let i = 0; i < count; i++, x += step, y += next) {
      st(y, madd(ld(x, cols), v, ld(y, cols)), cols);
    }
  } else {
    for (let i = 0; i < count; i++, x += step, y += next) {
      st(x, madd(ld(y, cols), v, ld(x, cols)), cols);
    }
  }
}

/** The image with each channel N / c times in a row; the image itself where that is once. */
function spread(s: ConvShape, x: usize, out: usize): usize {
  if (s.n == s.c) return x;
  const times = s.n / s.c;
  let to = out;
  const end = x + at(s.h * s.w * s.c);
  for (; x < end; x += 4) {
    const v = load<f32>(x);
    for (let j = 0; j < times; j++, to += 4) store<f32>(to, v);
  }
  return out;
}

/** to[i] = the sum of the i-th `times` elements in a row. */
function gatherSums(from: usize, to: usize, count: i32, times: i32): void {
  for (let i = 0; i < count; i++, to += 4) {
    let sum: f32 = 0;
    for (let j = 0; j < times; j++, from += 4) sum += load<f32>(from);
    store<f32>(to, sum);
  }
}
