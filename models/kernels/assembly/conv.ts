import { activate, activateBackward } from "./activation";
import { ConvShape } from "./conv-shape";
import { addTo, clear, copy } from "./elementwise";
import { ADD, BIAS, gemm, gemmPacked, gemv, pack, packedFloats, packTransposed, ZERO } from "./gemm";
import { columnSums } from "./tensor";
import { at, loadBeyond, splat } from "./vector";

// A convolution is a product of the matrix A (batch oh ow, K = kh kw c), whose rows are the patches that the outputs
// look at, with the kernel (K,N). A is never made as a whole: either its rows lie in the image as they are (a series:
// the row stride of A is then less than K, and rows overlap), or some rows at a time are copied together.

const FLOATS: i32 = 32768; // of A at a time: 128 KiB, stays in L2
const ROWS: i32 = 256; // of A at a time, at most

/** Rows of A that are copied together at a time: models/engine/layers/conv-kernels.ts knows it too. */
function rowsOf(depth: i32): i32 {
  return max(16, min(ROWS, FLOATS / depth) & ~3);
}

/** Whether each row of A is one stretch of a (padded) image row. */
function isSeries(s: ConvShape): bool {
  return s.h == 1 && s.kh == 1 && s.oh == 1 && (s.dw == 1 || s.kw == 1);
}

/** Length of a series with all that its outputs look at; the series itself lies at `left`. */
function paddedLength(s: ConvShape): i32 {
  return max(s.left + s.w, (s.ow - 1) * s.sw + s.kw);
}

/**
 * y (batch,oh,ow,N) = f(x (batch,h,w,c) * w (kh,kw,c,N) + b (N)); b may be 0.
 * scratch: packed kernel | rows of A, or one padded series.
 */
export function convForward(
  shape: usize, x: usize, w: usize, b: usize, y: usize, batch: i32, act: i32, scratch: usize,
): void {
  const s = changetype<ConvShape>(shape);
  const c = s.c, n = s.n;
  const k = s.kh * s.kw * c;
  const area = s.oh * s.ow;
  const mode = b ? BIAS : ZERO;
  pack(w, n, k, n, scratch);
  const work = scratch + at(packedFloats(k, n));
  if (isSeries(s)) {
    const length = paddedLength(s);
    const padded = length > s.w;
    // Without padding the rows of A may go on evenly from one series to the next.
    const joined = !padded && s.w == s.ow * s.sw;
    const stretches = joined ? 1 : batch;
    const total = joined ? batch * area : area;
    const lda = s.sw * c;
    if (padded) clear(work, length * c);
    for (let i = 0; i < stretches; i++) {
      let from = x + at(i * s.w * c);
      if (padded) {
        copy(work + at(s.left * c), from, s.w * c);
        from = work;
      }
      for (let first = 0; first < total; first += ROWS) {
        const m = min(ROWS, total - first);
        const out = y + at((i * area + first) * n);
        gemmPacked(m, n, k, from + at(first * lda), lda, scratch, out, n, mode, b);
        activate(act, out, m * n);
      }
    }
    return;
  }
  const rows = rowsOf(k);
  const total = batch * area;
  for (let first = 0; first < total; first += rows) {
    const m = min(rows, total - first);
    const out = y + at(first * n);
    gather(s, x, first, m, work);
    gemmPacked(m, n, k, work, k, scratch, out, n, mode, b);
    activate(act, out, m * n);
  }
}

/**
 * dw (kh,kw,c,N) and db (N) +=; dx (batch,h,w,c) =; each may be 0. dy is turned in place into the gradient before the
 * activation; y is read only where there is one. scratch: as above, with the transposed kernel.
 */
export function convBackward(
  shape: usize, x: usize, w: usize, y: usize, dy: usize, dx: usize, dw: usize, db: usize,
  batch: i32, act: i32, scratch: usize,
): void {
  const s = changetype<ConvShape>(shape);
  const c = s.c, n = s.n;
  const k = s.kh * s.kw * c;
  const area = s.oh * s.ow;
  if (dx) packTransposed(w, n, n, k, scratch);
  const work = scratch + at(packedFloats(n, k));
  if (isSeries(s)) {
    const length = paddedLength(s);
    const padded = length > s.w;
    const joined = !padded && s.w == s.ow * s.sw;
    const stretches = joined ? 1 : batch;
    const total = joined ? batch * area : area;
    const lda = s.sw * c;
    if (dx && !padded) clear(dx, batch * s.w * c);
    for (let i = 0; i < stretches; i++) {
      const place = at(i * s.w * c);
      let from = x + place;
      if (padded && dw) {
        clear(work, length * c);
        copy(work + at(s.left * c), from, s.w * c);
        from = work;
      }
      for (let first = 0; first < total; first += ROWS) {
        const m = min(ROWS, total - first);
        const g = dy + at((i * area + first) * n);
        activateBackward(act, y + at((i * area + first) * n), g, m * n);
        if (db) columnSums(g, n, m, n, db);
        if (dw) gemm(true, false, k, n, m, from + at(first * lda), lda, g, n, dw, n, true, 0);
      }
      if (!dx) continue;
      const to = padded ? work : dx + place;
      if (padded) clear(work, length * c);
      // Rows of the product overlap as those of A do. gemmPacked adds element by element, so that each counts.
      gemmPacked(total, k, n, dy + at(i * area * n), n, scratch, to, lda, ADD, 0);
      if (padded) copy(dx + place, work + at(s.left * c), s.w * c);
    }
    return;
  }
  const rows = rowsOf(k);
  const total = batch * area;
  if (dx) clear(dx, batch * s.h * s.w * c);
  for (let first = 0; first < total; first += rows) {
    const m = min(rows, total - first);
    const g = dy + at(first * n);
    activateBackward(act, y + at(first * n), g, m * n);
    if (db) columnSums(g, n, m, n, db);
    if (dw) {
      gather(s, x, first, m, work);
      gemm(true, false, k, n, m, work, k, g, n, dw, n, true, 0);
    }
    if (dx) {
      gemmPacked(m, k, n, g, n, scratch, work, k, ZERO, 0);
      scatter(s, dx, first, m, work);
    }
  }
}

/**
 * One row of a causal series with stride 1: y (N) = b + the kernel (kw,c,N) on x (c) and the rows before it. state: place in
 * the ring | ring of the last (kw - 1) dilation + 1 rows (c); zeros are a stream's start.
 */
export function convStep(
  x: usize, w: usize, b: usize, y: usize, state: usize, kw: i32, dilation: i32, c: i32, n: i32,
): void {
  const rows = (kw - 1) * dilation + 1;
  const place = load<f32>(state);
  const now = place >= 0 && place < <f32>rows ? <i32>place : 0; // a state that was set may hold anything
  const ring = state + 4;
  copy(ring + at(now * c), x, c);
  if (b) copy(y, b, n);
  else clear(y, n);
  for (let j = 0, past = rows - 1; j < kw; j++, past -= dilation, w += at(c * n)) {
    const row = now >= past ? now - past : now - past + rows;
    gemv(ring + at(row * c), w, n, y, c, n);
  }
  store<f32>(state, now + 1 == rows ? 0 : <f32>(now + 1));
}

/** Rows `first` .. `first + m` of A (m,K), from images x. Writes up to 3 floats past its end. */
function gather(s: ConvShape, x: usize, first: i32, m: i32, out: usize): void {
  const c = s.c, w = s.w, kw = s.kw;
  const line = at(w * c);
  const narrow = kw * c <= 4; // a patch's row is one vector, as in the first layer of an image network
  const reach = (s.kh - 1) * s.dh + 1;
  const step = <usize>s.dh * line;
  let ox = first % s.ow;
  let oy = (first / s.ow) % s.oh;
  let image = x + at((first / (s.ow * s.oh)) * s.h * w * c);
  for (let i = 0; i < m; i++) {
    const left = ox * s.sw - s.left;
    const inside = s.dw == 1 && left >= 0 && left + kw <= w;
    let y = oy * s.sh - s.top;
    if (inside && narrow && y >= 0 && y + reach <= s.h) {
      let from = image + <usize>y * line + at(left * c);
      for (let ky = 0; ky < s.kh; ky++, from += step, out += at(kw * c)) v128.store(out, loadBeyond(from));
    } else for (let ky = 0; ky < s.kh; ky++, y += s.dh) {
      if (<u32>y >= <u32>s.h) {
        out = zeros(out, kw * c);
      } else if (inside) {
        out = run(out, image + <usize>y * line + at(left * c), kw * c);
      } else {
        const from = image + <usize>y * line;
        for (let kx = 0, px = left; kx < kw; kx++, px += s.dw) {
          out = <u32>px < <u32>w ? run(out, from + at(px * c), c) : zeros(out, c);
        }
      }
    }
    if (++ox == s.ow) {
      ox = 0;
      if (++oy == s.oh) {
        oy = 0;
        image += <usize>s.h * line;
      }
    }
  }
}

/** The way back: adds rows of A to where they came from. */
function scatter(s: ConvShape, dx: usize, first: i32, m: i32, rows: usize): void {
  const c = s.c, w = s.w, kw = s.kw;
  const line = at(w * c);
  let ox = first % s.ow;
  let oy = (first / s.ow) % s.oh;
  let image = dx + at((first / (s.ow * s.oh)) * s.h * w * c);
  for (let i = 0; i < m; i++) {
    const left = ox * s.sw - s.left;
    const inside = s.dw == 1 && left >= 0 && left + kw <= w;
    let y = oy * s.sh - s.top;
    for (let ky = 0; ky < s.kh; ky++, y += s.dh, rows += at(kw * c)) {
      if (<u32>y >= <u32>s.h) continue;
      const to = image + <usize>y * line;
      if (inside) {
        addTo(to + at(left * c), rows, kw * c);
      } else {
        for (let kx = 0, px = left; kx < kw; kx++, px += s.dw) {
          if (<u32>px < <u32>w) addTo(to + at(px * c), rows + at(kx * c), c);
        }
      }
    }
    if (++ox == s.ow) {
      ox = 0;
      if (++oy == s.oh) {
        oy = 0;
        image += <usize>s.h * line;
      }
    }
  }
}

/** Copies in whole vectors: what is written past the end, the next run overwrites. Gives the end. */
// @ts-ignore: decorator
@inline
function run(out: usize, from: usize, n: i32): usize {
  const bytes = at(n);
  for (let i: usize = 0; i < bytes; i += 16) v128.store(out + i, loadBeyond(from + i));
  return out + bytes;
}

// @ts-ignore: decorator
@inline
function zeros(out: usize, n: i32): usize {
  const bytes = at(n);
  for (let i: usize = 0; i < bytes; i += 16) v128.store(out + i, splat(0));
  return out + bytes;
}
