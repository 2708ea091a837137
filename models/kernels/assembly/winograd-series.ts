import { activate, activateBackward } from "./activation";
import { ConvShape } from "./conv-shape";
import { addTo, clear, copy } from "./elementwise";
import { gemm } from "./gemm";
import { columnSums } from "./tensor";
import { at, ld, madd, st } from "./vector";
import { mul, pitchOf, put } from "./winograd";

// As winograd.ts, along one axis, for kernels of k = 3 to 8: F(11 - k, k). The 10 rows of a series under a tile are seen as a
// polynomial and so is the kernel; their product is taken at ten points and the outputs are read off it (Toom-Cook):
//   y = At [ (G g) * (Bt d) ]
// The points are 0, +-p for the four p below, and infinity: of each pair, even and odd powers are summed once. With q = p^2
// of all pairs and r = q of the pair's others:
//   (Bt d)_0  = sum over j of Q_j d_2j          Q: coefficients of the product of all (z - q)
//   (Bt d)_+p = E + p O, (Bt d)_-p = E - p O    E = sum of R_j d_(2j+2), O = sum of R_j d_(2j+1), R: of the product of (z - r)
//   (Bt d)_oo = sum over j of Q_j d_(2j+1)
//   (G g)_x   = (sum over i of x^i g_i) / N_x   N_0 = Q_0, N_p = 2 p^2 times the product of (q_p - r), N_oo = 1 (the last g alone)
//   y_j       = sum over all points x of x^j m_x (infinity: in the last y alone)
// In f32 the outputs are within 5e-6 of exact, relative to the largest; the plain sum is within 5e-7.
// Source: Lavin & Gray 2015, arXiv 1509.09308; Barabasz et al. 2018, arXiv 1803.10986, on the choice of points.

const POINTS: i32 = 10; // and rows of the series under a tile
const PAIRS: i32 = 4;
const ONE: i32 = 1; // the place of point 1, all of whose powers are 1: what is added there is added to every output

/** Of each pair: p, R_0, R_1, R_2, 1 / N_p; R_3 is 1. */
const PAIR: usize = memory.data<f32>([
  1, -0.5625, 3.390625, -4.8125, -0.5079365079365079,
  2, -0.140625, 0.953125, -1.8125, 0.0032323232323232323,
  0.5, -2.25, 6.8125, -5.5625, -2.2755555555555556,
  0.75, -1, 5.25, -5.25, 1.8913708513708514,
]);
const PAIR_BYTES: usize = 20;
/** Q_0 to Q_3; Q_4 is 1. */
const Q: usize = memory.data<f32>([0.5625, -3.953125, 8.203125, -5.8125]);
const ZERO_SCALE: f32 = 1.0 / 0.5625; // 1 / N_0

/**
 * As `convForward`, for series, kernels of 3 to 8, and no strides or dilation; `tiles` are worked on at a time.
 * scratch: 10 pitched matrices each of U (C,N) | dU (C,N) | V (tiles,C) | M (tiles,N), then 10 rows of the wider of C and N.
 */
export function seriesForward(
  shape: usize, x: usize, w: usize, b: usize, y: usize, batch: i32, act: i32, scratch: usize, tiles: i32,
): void {
  const s = changetype<ConvShape>(shape);
  const c = s.c, n = s.n;
  const uPitch = pitchOf(c, n), vPitch = pitchOf(tiles, c), mPitch = pitchOf(tiles, n);
  const u = scratch;
  const v = u + at(2 * POINTS * uPitch);
  const m = v + at(POINTS * vPitch);
  const patch = m + at(POINTS * mPitch);
  kernelToPoints(w, s.kw, c * n, u, uPitch);
  const edge = POINTS + 1 - s.kw;
  const perSeries = (s.ow + edge - 1) / edge;
  const total = batch * perSeries;
  for (let first = 0; first < total; first += tiles) {
    const count = min(tiles, total - first);
    seriesIn(s, x, first, count, edge, perSeries, v, vPitch, patch);
    for (let p = 0; p < POINTS; p++) {
      const bias = p == ONE ? b : 0;
      gemm(false, false, count, n, c, v + at(p * vPitch), c, u + at(p * uPitch), n, m + at(p * mPitch), n, false, bias);
    }
    for (let i = 0; i < count; i++) {
      const ox = ((first + i) % perSeries) * edge;
      const rows = min(edge, s.ow - ox);
      const to = y + at((((first + i) / perSeries) * s.ow + ox) * n);
      pointsToOutput(m + at(i * n), mPitch, n, edge, rows == edge ? to : patch);
      if (rows < edge) copy(to, patch, rows * n);
      activate(act, to, rows * n);
    }
  }
}

/** As `convBackward`, for the same convolutions and with the same scratch as `seriesForward`. */
export function seriesBackward(
  shape: usize, x: usize, w: usize, y: usize, dy: usize, dx: usize, dw: usize, db: usize,
  batch: i32, act: i32, scratch: usize, tiles: i32,
): void {
  const s = changetype<ConvShape>(shape);
  const c = s.c, n = s.n;
  const uPitch = pitchOf(c, n), vPitch = pitchOf(tiles, c), mPitch = pitchOf(tiles, n);
  const u = scratch;
  const du = u + at(POINTS * uPitch);
  const v = du + at(POINTS * uPitch);
  const m = v + at(POINTS * vPitch);
  const patch = m + at(POINTS * mPitch);
  activateBackward(act, y, dy, batch * s.ow * n);
  if (db) columnSums(dy, n, batch * s.ow, n, db);
  if (dw) clear(du, POINTS * uPitch);
  if (dx) {
    kernelToPoints(w, s.kw, c * n, u, uPitch);
    clear(dx, batch * s.w * c);
  }
  const edge = POINTS + 1 - s.kw;
  const perSeries = (s.ow + edge - 1) / edge;
  const total = batch * perSeries;
  for (let first = 0; first < total; first += tiles) {
    const count = min(tiles, total - first);
    for (let i = 0; i < count; i++) {
      const ox = ((first + i) % perSeries) * edge;
      const rows = min(edge, s.ow - ox);
      let from = dy + at((((first + i) / perSeries) * s.ow + ox) * n);
      if (rows < edge) {
        clear(patch, edge * n);
        copy(patch, from, rows * n);
        from = patch;
      }
      outputToPoints(from, edge, n, m + at(i * n), mPitch);
    }
    if (dw) {
      seriesIn(s, x, first, count, edge, perSeries, v, vPitch, patch);
      for (let p = 0; p < POINTS; p++) {
        const mp = m + at(p * mPitch);
        gemm(true, false, c, n, count, v + at(p * vPitch), c, mp, n, du + at(p * uPitch), n, true, 0);
      }
    }
    if (dx) {
      for (let p = 0; p < POINTS; p++) {
        const mp = m + at(p * mPitch);
        gemm(false, true, count, c, n, mp, n, u + at(p * uPitch), n, v + at(p * vPitch), c, false, 0);
      }
      for (let i = 0; i < count; i++) {
        const x0 = ((first + i) % perSeries) * edge - s.left;
        const to = dx + at((((first + i) / perSeries) * s.w + x0) * c);
        if (x0 >= 0 && x0 + POINTS <= s.w) {
          pointsToInput(v + at(i * c), vPitch, c, to);
          continue;
        }
        clear(patch, POINTS * c);
        pointsToInput(v + at(i * c), vPitch, c, patch);
        const start = max(0, -x0), end = min(POINTS, s.w - x0);
        if (start < end) addTo(to + at(start * c), patch + at(start * c), (end - start) * c);
      }
    }
  }
  if (dw) pointsToKernel(du, uPitch, s.kw, c * n, dw);
}

/** V of `count` tiles from the `first` on. */
function seriesIn(
  s: ConvShape, x: usize, first: i32, count: i32, edge: i32, perSeries: i32, v: usize, pitch: i32, patch: usize,
): void {
  const c = s.c;
  for (let i = 0; i < count; i++) {
    const x0 = ((first + i) % perSeries) * edge - s.left;
    let from = x + at((((first + i) / perSeries) * s.w + x0) * c);
    if (x0 < 0 || x0 + POINTS > s.w) {
      clear(patch, POINTS * c);
      const start = max(0, -x0), end = min(POINTS, s.w - x0);
      if (start < end) copy(patch + at(start * c), from + at(start * c), (end - start) * c);
      from = patch;
    }
    inputToPoints(from, c, v + at(i * c), pitch);
  }
}

// The transforms, four channels at a time. `pitch`: floats from one point's matrix to the next.

// @ts-ignore: decorator
@inline
function pairSplat(pair: i32, i: usize): v128 {
  return v128.load_splat<f32>(PAIR + <usize>pair * PAIR_BYTES + 4 * i);
}

// @ts-ignore: decorator
@inline
function qSplat(i: usize): v128 {
  return v128.load_splat<f32>(Q + 4 * i);
}

// @ts-ignore: decorator
@inline
function plusProduct(sum: v128, a: v128, b: v128): v128 {
  return madd(a, b, sum);
}

/** Bt d. */
function inputToPoints(d: usize, c: i32, v: usize, pitch: i32): void {
  let i = 0;
  for (; i + 4 <= c; i += 4) inputToPoints4(d + at(i), at(c), v + at(i), at(pitch), 4);
  if (i < c) inputToPoints4(d + at(i), at(c), v + at(i), at(pitch), c - i);
}

// @ts-ignore: decorator
@inline
function inputToPoints4(d: usize, next: usize, v: usize, pitch: usize, cols: i32): void {
  const d0 = ld(d, cols), d1 = ld(d + next, cols), d2 = ld(d + 2 * next, cols), d3 = ld(d + 3 * next, cols);
  const d4 = ld(d + 4 * next, cols), d5 = ld(d + 5 * next, cols), d6 = ld(d + 6 * next, cols);
  const d7 = ld(d + 7 * next, cols), d8 = ld(d + 8 * next, cols), d9 = ld(d + 9 * next, cols);
  st(v, plusProduct(plusProduct(plusProduct(plusProduct(d8, qSplat(0), d0), qSplat(1), d2), qSplat(2), d4), qSplat(3), d6), cols);
  st(v + 9 * pitch, plusProduct(plusProduct(plusProduct(plusProduct(d9, qSplat(0), d1), qSplat(1), d3), qSplat(2), d5), qSplat(3), d7), cols);
  v += pitch;
  for (let p = 0; p < PAIRS; p++, v += 2 * pitch) {
    const r0 = pairSplat(p, 1), r1 = pairSplat(p, 2), r2 = pairSplat(p, 3);
    const even = plusProduct(plusProduct(plusProduct(d8, r0, d2), r1, d4), r2, d6);
    const odd = f32x4.mul(pairSplat(p, 0), plusProduct(plusProduct(plusProduct(d7, r0, d1), r1, d3), r2, d5));
    st(v, f32x4.add(even, odd), cols);
    st(v + pitch, f32x4.sub(even, odd), cols);
  }
}

/** d += B v. */
function pointsToInput(v: usize, pitch: i32, c: i32, d: usize): void {
  let i = 0;
  for (; i + 4 <= c; i += 4) pointsToInput4(v + at(i), at(pitch), d + at(i), at(c), 4);
  if (i < c) pointsToInput4(v + at(i), at(pitch), d + at(i), at(c), c - i);
}

// @ts-ignore: decorator
@inline
function pointsToInput4(v: usize, pitch: usize, d: usize, next: usize, cols: i32): void {
  const zero = ld(v, cols), infinity = ld(v + 9 * pitch, cols);
  let d1 = f32x4.mul(qSplat(0), infinity), d2 = f32x4.mul(qSplat(1), zero);
  let d3 = f32x4.mul(qSplat(1), infinity), d4 = f32x4.mul(qSplat(2), zero);
  let d5 = f32x4.mul(qSplat(2), infinity), d6 = f32x4.mul(qSplat(3), zero);
  let d7 = f32x4.mul(qSplat(3), infinity), d8 = zero;
  put(d, f32x4.mul(qSplat(0), zero), cols, true);
  put(d + 9 * next, infinity, cols, true);
  v += pitch;
  for (let p = 0; p < PAIRS; p++, v += 2 * pitch) {
    const plus = ld(v, cols), minus = ld(v + pitch, cols);
    const even = f32x4.add(plus, minus);
    const odd = f32x4.mul(pairSplat(p, 0), f32x4.sub(plus, minus));
    const r0 = pairSplat(p, 1), r1 = pairSplat(p, 2), r2 = pairSplat(p, 3);
    d1 = plusProduct(d1, r0, odd);
    d2 = plusProduct(d2, r0, even);
    d3 = plusProduct(d3, r1, odd);
    d4 = plusProduct(d4, r1, even);
    d5 = plusProduct(d5, r2, odd);
    d6 = plusProduct(d6, r2, even);
    d7 = f32x4.add(d7, odd);
    d8 = f32x4.add(d8, even);
  }
  put(d + next, d1, cols, true);
  put(d + 2 * next, d2, cols, true);
  put(d + 3 * next, d3, cols, true);
  put(d + 4 * next, d4, cols, true);
  put(d + 5 * next, d5, cols, true);
  put(d + 6 * next, d6, cols, true);
  put(d + 7 * next, d7, cols, true);
  put(d + 8 * next, d8, cols, true);
}

/** Values at the points of the polynomial with `count` coefficients (count,n) f: A y, and G g but for the scale. */
function outputToPoints(f: usize, count: i32, n: i32, m: usize, pitch: i32): void {
  evaluate(f, count, n, m, pitch, false);
}

/** G g for a kernel (count,size). */
function kernelToPoints(g: usize, count: i32, size: i32, u: usize, pitch: i32): void {
  evaluate(g, count, size, u, pitch, true);
}

// @ts-ignore: decorator
@inline
function evaluate(f: usize, count: i32, n: i32, m: usize, pitch: i32, scaled: bool): void {
  let i = 0;
  for (; i + 4 <= n; i += 4) evaluate4(f + at(i), count, at(n), m + at(i), at(pitch), scaled, 4);
  if (i < n) evaluate4(f + at(i), count, at(n), m + at(i), at(pitch), scaled, n - i);
}

// @ts-ignore: decorator
@inline
function evaluate4(f: usize, count: i32, next: usize, m: usize, pitch: usize, scaled: bool, cols: i32): void {
  const first = ld(f, cols);
  st(m, scaled ? mul(ZERO_SCALE, first) : first, cols);
  st(m + 9 * pitch, ld(f + <usize>(count - 1) * next, cols), cols);
  // Horner's rule in p^2, from the highest even and the highest odd power down.
  const lastEven = (count - 1) & ~1, lastOdd = (count - 2) | 1;
  m += pitch;
  for (let p = 0; p < PAIRS; p++, m += 2 * pitch) {
    const point = pairSplat(p, 0);
    const square = f32x4.mul(point, point);
    let even = ld(f + <usize>lastEven * next, cols), odd = ld(f + <usize>lastOdd * next, cols);
    for (let j = lastEven - 2; j >= 0; j -= 2) even = plusProduct(ld(f + <usize>j * next, cols), square, even);
    for (let j = lastOdd - 2; j > 0; j -= 2) odd = plusProduct(ld(f + <usize>j * next, cols), square, odd);
    odd = f32x4.mul(point, odd);
    if (scaled) {
      even = f32x4.mul(pairSplat(p, 4), even);
      odd = f32x4.mul(pairSplat(p, 4), odd);
    }
    st(m, f32x4.add(even, odd), cols);
    st(m + pitch, f32x4.sub(even, odd), cols);
  }
}

/** y = At m, `count` rows (count,n). */
function pointsToOutput(m: usize, pitch: i32, n: i32, count: i32, y: usize): void {
  powers(m, pitch, n, count, y, false);
}

/** g += Gt u, a kernel (count,size). */
function pointsToKernel(u: usize, pitch: i32, count: i32, size: i32, g: usize): void {
  powers(u, pitch, size, count, g, true);
}

// @ts-ignore: decorator
@inline
function powers(m: usize, pitch: i32, n: i32, count: i32, y: usize, scaled: bool): void {
  let i = 0;
  for (; i + 4 <= n; i += 4) powers4(m + at(i), at(pitch), count, y + at(i), at(n), scaled, 4);
  if (i < n) powers4(m + at(i), at(pitch), count, y + at(i), at(n), scaled, n - i);
}

/** f_j (+)= the sum over all points x of x^j m_x: even powers of the sums of each pair, odd ones of the differences. */
// @ts-ignore: decorator
@inline
function powers4(m: usize, pitch: usize, count: i32, y: usize, next: usize, scaled: bool, cols: i32): void {
  let s0 = ld(m + pitch, cols), t0 = ld(m + 2 * pitch, cols), s1 = ld(m + 3 * pitch, cols);
  let t1 = ld(m + 4 * pitch, cols), s2 = ld(m + 5 * pitch, cols), t2 = ld(m + 6 * pitch, cols);
  let s3 = ld(m + 7 * pitch, cols), t3 = ld(m + 8 * pitch, cols);
  // First s: sums, t: differences times p; then both go up by p^2 at a time.
  let d = f32x4.sub(s0, t0);
  s0 = f32x4.add(s0, t0);
  t0 = d; // p is 1
  d = f32x4.sub(s1, t1);
  s1 = f32x4.add(s1, t1);
  t1 = mul(2, d);
  d = f32x4.sub(s2, t2);
  s2 = f32x4.add(s2, t2);
  t2 = mul(0.5, d);
  d = f32x4.sub(s3, t3);
  s3 = f32x4.add(s3, t3);
  t3 = mul(0.75, d);
  let zero = ld(m, cols);
  if (scaled) {
    zero = mul(ZERO_SCALE, zero);
    s0 = f32x4.mul(pairSplat(0, 4), s0);
    t0 = f32x4.mul(pairSplat(0, 4), t0);
    s1 = f32x4.mul(pairSplat(1, 4), s1);
    t1 = f32x4.mul(pairSplat(1, 4), t1);
    s2 = f32x4.mul(pairSplat(2, 4), s2);
    t2 = f32x4.mul(pairSplat(2, 4), t2);
    s3 = f32x4.mul(pairSplat(3, 4), s3);
    t3 = f32x4.mul(pairSplat(3, 4), t3);
  }
  put(y, f32x4.add(zero, f32x4.add(f32x4.add(s0, s1), f32x4.add(s2, s3))), cols, scaled);
  const end = y + <usize>(count - 1) * next;
  for (let odd = true; y < end; odd = !odd) {
    y += next;
    let sum: v128;
    if (odd) {
      sum = f32x4.add(f32x4.add(t0, t1), f32x4.add(t2, t3));
      s1 = mul(4, s1);
      s2 = mul(0.25, s2);
      s3 = mul(0.5625, s3);
    } else {
      sum = f32x4.add(f32x4.add(s0, s1), f32x4.add(s2, s3));
      t1 = mul(4, t1);
      t2 = mul(0.25, t2);
      t3 = mul(0.5625, t3);
    }
    if (y == end) sum = f32x4.add(sum, ld(m + 9 * pitch, cols));
    put(y, sum, cols, scaled);
  }
}
