import { activate } from "./activation";
import { ConvShape } from "./conv-shape";
import { at, ld, madd, splat, st } from "./vector";

// Products of 8-bit integers. An input x is scale * q with whole q between lo and hi, at most 255 apart and with 0 among
// them, so that an input of zero (and padding) is exactly zero; q lies in 16 bits, as i32x4.dot_i16x8_s wants it. A
// weight is scale[channel] * q with q from -127 to 127. Sums are exact in 32 bits for K <= 65536.
//
// The kernel (K,N) is packed in groups of 4 channels and 8 steps of k: (N/4, K/8, 4, 8) bytes, zero past K and N. So a
// row of inputs may be read up to seven past its end: whatever whole numbers stand there are multiplied by zero.

const ROWS: i32 = 64; // of patches at a time: models/engine/layers/int8-product.ts knows it too
const GROUP: usize = 32; // bytes of 4 channels and 8 steps of k

/** q (n) i16 = x (n) * inverse, to the nearest (ties to even) from lo to hi. */
export function quantize8(x: usize, q: usize, n: i32, inverse: f32, lo: f32, hi: f32): void {
  const scale = splat(inverse), least = splat(lo), most = splat(hi);
  let i = 0;
  for (; i + 8 <= n; i += 8, x += 32, q += 16) {
    const a = whole(v128.load(x), scale, least, most);
    const b = whole(v128.load(x, 16), scale, least, most);
    v128.store(q, i16x8.narrow_i32x4_s(a, b));
  }
  for (; i < n; i++, x += 4, q += 2) {
    store<i16>(q, <i16>i32x4.extract_lane(whole(v128.load_zero<f32>(x), scale, least, most), 0));
  }
}

// @ts-ignore: decorator
@inline
function whole(x: v128, scale: v128, least: v128, most: v128): v128 {
  const near = f32x4.nearest(f32x4.mul(x, scale));
  return i32x4.trunc_sat_f32x4_s(f32x4.pmin(f32x4.pmax(near, least), most));
}

/** y (m,n) = scales (n) * (a (m,k) i16, rows lda apart, times w, packed) + b (n); b may be 0. */
export function product8(
  a: usize, lda: i32, w: usize, k: i32, scales: usize, b: usize, y: usize, m: i32, n: i32,
): void {
  const group = <usize>((k + 7) >> 3) * GROUP;
  const row = <usize>lda << 1;
  for (let j = 0; j < n; j += 4, w += group) {
    const cols = min(4, n - j);
    const scale = ld(scales + at(j), cols);
    const bias = b ? ld(b + at(j), cols) : splat(0);
    let from = a, to = y + at(j);
    let i = 0;
    for (; i + 2 <= m; i += 2, from += 2 * row, to += at(2 * n)) {
      rows2x4(from, from + row, w, group, scale, bias, to, to + at(n), cols);
    }
    if (i < m) row1x4(from, w, group, scale, bias, to, cols);
  }
}

// @ts-ignore: decorator
@inline
function dot(a: v128, b: v128, sum: v128): v128 {
  return i32x4.add(sum, i32x4.dot_i16x8_s(a, b));
}

function rows2x4(
  a: usize, a1: usize, p: usize, group: usize, scale: v128, bias: v128, y: usize, y1: usize, cols: i32,
): void {
  let s0 = splat(0), s1 = splat(0), s2 = splat(0), s3 = splat(0);
  let t0 = s0, t1 = s0, t2 = s0, t3 = s0;
  const end = p + group;
  for (; p < end; p += GROUP, a += 16, a1 += 16) {
    const u = v128.load(a), v = v128.load(a1);
    const w0 = v128.load_ext<i8>(p), w1 = v128.load_ext<i8>(p, 8);
    const w2 = v128.load_ext<i8>(p, 16), w3 = v128.load_ext<i8>(p, 24);
    s0 = dot(u, w0, s0);
    s1 = dot(u, w1, s1);
    s2 = dot(u, w2, s2);
    s3 = dot(u, w3, s3);
    t0 = dot(v, w0, t0);
    t1 = dot(v, w1, t1);
    t2 = dot(v, w2, t2);
    t3 = dot(v, w3, t3);
  }
  st(y, madd(across(s0, s1, s2, s3), scale, bias), cols);
  st(y1, madd(across(t0, t1, t2, t3), scale, bias), cols);
}

function row1x4(a: usize, p: usize, group: usize, scale: v128, bias: v128, y: usize, cols: i32): void {
  let s0 = splat(0), s1 = s0, s2 = s0, s3 = s0;
  const end = p + group;
  for (; p < end; p += GROUP, a += 16) {
    const u = v128.load(a);
    s0 = dot(u, v128.load_ext<i8>(p), s0);
    s1 = dot(u, v128.load_ext<i8>(p, 8), s1);
    s2 = dot(u, v128.load_ext<i8>(p, 16), s2);
    s3 = dot(u, v128.load_ext<i8>(p, 24), s3);
  }
  st(y, madd(across(s0, s1, s2, s3), scale, bias), cols);
}

/** The sum of each one's four lanes, as floats. */
// @ts-ignore: decorator
@inline
function across(a: v128, b: v128, c: v128, d: v128): v128 {
  const ab = i32x4.add(v128.shuffle<i32>(a, b, 0, 4, 2, 6), v128.shuffle<i32>(a, b, 1, 5, 3, 7));
  const cd = i32x4.add(v128.shuffle<i32>(c, d, 0, 4, 2, 6), v128.shuffle<i32>(c, d, 1, 5, 3, 7));
  const sums = i32x4.add(v128.shuffle<i32>(ab, cd, 0, 1, 4, 5), v128.shuffle<i32>(ab, cd, 2, 3, 6, 7));
  return f32x4.convert_i32x4_s(sums);
}

/**
 * y (batch,oh,ow,N) = f(scales (N) * (x (batch,h,w,c), quantized, times w, packed) + b (N)); b may be 0.
 * scratch: i16 of one image, or of ROWS rows where a kernel is one element | i16 of ROWS patches, each with eight to spare.
 */
export function convForward8(
  shape: usize, x: usize, w: usize, scales: usize, b: usize, y: usize, batch: i32, act: i32,
  inverse: f32, lo: f32, hi: f32, scratch: usize,
): void {
  const s = changetype<ConvShape>(shape);
  const c = s.c, n = s.n;
  const area = s.oh * s.ow;
  if (isPoint(s)) {
    const total = batch * area;
    for (let first = 0; first < total; first += ROWS) {
      const m = min(ROWS, total - first);
      quantize8(x + at(first * c), scratch, m * c, inverse, lo, hi);
      product8(scratch, c, w, c, scales, b, y + at(first * n), m, n);
    }
  } else {
    const image = s.h * s.w * c;
    const k = s.kh * s.kw * c;
    const lda = (k + 7) & -8;
    const rows = scratch + (<usize>((image + 15) & -8) << 1);
    for (let i = 0; i < batch; i++, x += at(image)) {
      quantize8(x, scratch, image, inverse, lo, hi);
      for (let first = 0; first < area; first += ROWS) {
        const m = min(ROWS, area - first);
        patches(s, scratch, rows, lda, first, m);
        product8(rows, lda, w, k, scales, b, y + at((i * area + first) * n), m, n);
      }
    }
  }
  activate(act, y, batch * area * n);
}

/** Whether each output looks at one element, and they stand in the same order. */
function isPoint(s: ConvShape): bool {
  return s.kh == 1 && s.kw == 1 && s.sh == 1 && s.sw == 1 && !s.top && !s.left && s.oh == s.h && s.ow == s.w;
}

/** What the outputs first .. first + m of an image look at, a row each. */
function patches(s: ConvShape, image: usize, rows: usize, lda: i32, first: i32, m: i32): void {
  const c = s.c, kw = s.kw, w = s.w;
  for (let i = 0; i < m; i++, rows += <usize>lda << 1) {
    const oy = (first + i) / s.ow;
    const left = (first + i - oy * s.ow) * s.sw - s.left;
    const inside = s.dw == 1 && left >= 0 && left + kw <= w;
    let out = rows;
    let y = oy * s.sh - s.top;
    for (let ky = 0; ky < s.kh; ky++, y += s.dh) {
      if (<u32>y >= <u32>s.h) {
        out = blank(out, kw * c);
      } else if (inside) {
        out = run(out, image + (<usize>((y * w + left) * c) << 1), kw * c);
      } else {
        for (let kx = 0, px = left; kx < kw; kx++, px += s.dw) {
          out = <u32>px < <u32>w ? run(out, image + (<usize>((y * w + px) * c) << 1), c) : blank(out, c);
        }
      }
    }
  }
}

/** Copies in whole vectors: what is written past the end, the next run overwrites. Gives the end. */
// @ts-ignore: decorator
@inline
function run(out: usize, from: usize, n: i32): usize {
  const bytes = <usize>n << 1;
  for (let i: usize = 0; i < bytes; i += 16) v128.store(out + i, v128.load(from + i));
  return out + bytes;
}

// @ts-ignore: decorator
@inline
function blank(out: usize, n: i32): usize {
  const bytes = <usize>n << 1;
  for (let i: usize = 0; i < bytes; i += 16) v128.store(out + i, splat(0));
  return out + bytes;
}
