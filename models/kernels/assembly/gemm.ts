import { at, ld, madd, splat, st } from "./vector";

// C (M,N) = or += A B, in the manner of BLIS: B is packed in panels 16 columns wide, the last one 8 where that is enough
// (zero-padded), so that the inner kernel reads it in one straight line whatever its form was; a 2x16 or 4x8 block of C
// lives in 8 vector registers. V8 has 15 for us and puts all loads of a loop before its arithmetic: 8 sums and 6 loaded
// vectors just fit, so the loops are not unrolled (unrolled by two, half the sums went through the stack).

const KC: i32 = 256; // depth of a packed block: a panel is 16 KiB and stays in L1
const NC: i32 = 128; // columns of a packed block: 128 KiB, stays in L2
const MC: i32 = 64; // rows of A that pass over a packed block before the next ones

const STREAM: i32 = 16384; // floats of W from which on `gemv` reads it in one line: 64 KiB

const BLOCK: usize = memory.data(256 * 128 * 4, 16);
const TILE: usize = memory.data(8 * 4, 16); // (8): where a row goes that sticks out over the edge of C

/** What C starts from. */
export const ZERO: i32 = 0;
export const ADD: i32 = 1;
export const BIAS: i32 = 2;

/** Floats that `pack` writes for B (K,N). */
export function packedFloats(k: i32, n: i32): i32 {
  return k * ((n + 7) & ~7);
}

/** Columns of the panel that starts `rest` columns before the end. */
// @ts-ignore: decorator
@inline
function panelWidth(rest: i32): i32 {
  return rest > 8 ? 16 : 8;
}

/** B (K,N) with row stride ldb -> panels (K,16) and perhaps one (K,8); columns past N are zero. */
export function pack(b: usize, ldb: i32, k: i32, n: i32, out: usize): void {
  const step = at(ldb);
  for (let j = 0; j < n; j += 16) {
    let p = b + at(j);
    const rest = n - j;
    if (rest >= 16) {
      for (let i = 0; i < k; i++, p += step, out += 64) {
        v128.store(out, v128.load(p));
        v128.store(out, v128.load(p, 16), 16);
        v128.store(out, v128.load(p, 32), 32);
        v128.store(out, v128.load(p, 48), 48);
      }
    } else {
      const width = at(panelWidth(rest));
      for (let i = 0; i < k; i++, p += step, out += width) {
        for (let c: usize = 0; c < width; c += 16) v128.store(out + c, splat(0));
        for (let c = 0; c < rest; c++) store<f32>(out + at(c), load<f32>(p + at(c)));
      }
    }
  }
}

/** As `pack`, where B is stored transposed: b is (N,K) with row stride ldb. */
export function packTransposed(b: usize, ldb: i32, k: i32, n: i32, out: usize): void {
  for (let j = 0; j < n; j += 16) {
    const width = panelWidth(n - j);
    for (let c = 0; c < width; c += 4) packTransposed4(b + at((j + c) * ldb), ldb, k, n - j - c, out + at(c), at(width));
    out += at(k * width);
  }
}

/** Four columns of a panel whose rows are `width` bytes apart, of which the first `cols` are there. */
function packTransposed4(b: usize, ldb: i32, k: i32, cols: i32, out: usize, width: usize): void {
  let i = 0;
  if (cols >= 4) {
    const b1 = b + at(ldb);
    const b2 = b1 + at(ldb);
    const b3 = b2 + at(ldb);
    for (; i + 4 <= k; i += 4) {
      const r0 = v128.load(b + at(i)), r1 = v128.load(b1 + at(i));
      const r2 = v128.load(b2 + at(i)), r3 = v128.load(b3 + at(i));
      const lo01 = v128.shuffle<f32>(r0, r1, 0, 4, 1, 5), hi01 = v128.shuffle<f32>(r0, r1, 2, 6, 3, 7);
      const lo23 = v128.shuffle<f32>(r2, r3, 0, 4, 1, 5), hi23 = v128.shuffle<f32>(r2, r3, 2, 6, 3, 7);
      v128.store(out, v128.shuffle<f32>(lo01, lo23, 0, 1, 4, 5));
      v128.store(out + width, v128.shuffle<f32>(lo01, lo23, 2, 3, 6, 7));
      v128.store(out + 2 * width, v128.shuffle<f32>(hi01, hi23, 0, 1, 4, 5));
      v128.store(out + 3 * width, v128.shuffle<f32>(hi01, hi23, 2, 3, 6, 7));
      out += 4 * width;
    }
  }
  for (; i < k; i++, out += width) {
    for (let c = 0; c < 4; c++) store<f32>(out + at(c), c < cols ? load<f32>(b + at(c * ldb + i)) : 0);
  }
}

/** C (M,N) from A (M,K; row stride lda) and packed B. bias (N) is read in mode BIAS only. */
export function gemmPacked(
  m: i32, n: i32, k: i32,
  a: usize, lda: i32, packed: usize, c: usize, ldc: i32, mode: i32, bias: usize,
): void {
  block(m, n, k, a, lda, false, packed, k, n, c, ldc, mode, bias);
}

/**
 * The general product. ta: A is stored (K,M). tb: B is stored (N,K). lda, ldb, ldc: row strides in floats as stored.
 * bias (N), or 0, is added to every row; otherwise C starts from zero, or from itself when `accumulate`.
 */
export function gemm(
  ta: bool, tb: bool, m: i32, n: i32, k: i32,
  a: usize, lda: i32, b: usize, ldb: i32, c: usize, ldc: i32, accumulate: bool, bias: usize,
): void {
  for (let jc = 0; jc < n; jc += NC) {
    const nc = min(NC, n - jc);
    for (let kc = 0; kc < k; kc += KC) {
      const depth = min(KC, k - kc);
      if (tb) packTransposed(b + at(jc * ldb + kc), ldb, depth, nc, BLOCK);
      else pack(b + at(kc * ldb + jc), ldb, depth, nc, BLOCK);
      const first = kc == 0 && !accumulate;
      const mode = !first ? ADD : bias ? BIAS : ZERO;
      for (let ic = 0; ic < m; ic += MC) {
        const ap = ta ? a + at(kc * lda + ic) : a + at(ic * lda + kc);
        block(min(MC, m - ic), nc, depth, ap, lda, ta, BLOCK, depth, nc, c + at(ic * ldc + jc), ldc, mode, bias + at(jc));
      }
    }
  }
}

/** y (N) += x (K) W, W (K,N) with row stride ldw: the product of stateful stepping, where packing would not pay. */
export function gemv(x: usize, w: usize, ldw: i32, y: usize, k: i32, n: i32): void {
  const step = at(ldw);
  if (k * n >= STREAM && ldw == n) {
    const rest = k & 3;
    stream(x, w, n, y, k - rest);
    x += at(k - rest);
    w += at((k - rest) * n);
    k = rest;
  }
  let j = 0;
  for (; j + 32 <= n; j += 32) {
    let p = w + at(j);
    const o = y + at(j);
    let s0 = v128.load(o), s1 = v128.load(o, 16), s2 = v128.load(o, 32), s3 = v128.load(o, 48);
    let s4 = v128.load(o, 64), s5 = v128.load(o, 80), s6 = v128.load(o, 96), s7 = v128.load(o, 112);
    for (let i = 0; i < k; i++, p += step) {
      const v = v128.load_splat<f32>(x + at(i));
      s0 = madd(v, v128.load(p), s0);
      s1 = madd(v, v128.load(p, 16), s1);
      s2 = madd(v, v128.load(p, 32), s2);
      s3 = madd(v, v128.load(p, 48), s3);
      s4 = madd(v, v128.load(p, 64), s4);
      s5 = madd(v, v128.load(p, 80), s5);
      s6 = madd(v, v128.load(p, 96), s6);
      s7 = madd(v, v128.load(p, 112), s7);
    }
    v128.store(o, s0); v128.store(o, s1, 16); v128.store(o, s2, 32); v128.store(o, s3, 48);
    v128.store(o, s4, 64); v128.store(o, s5, 80); v128.store(o, s6, 96); v128.store(o, s7, 112);
  }
  for (; j < n; j += 4) {
    const cols = min(4, n - j);
    let p = w + at(j);
    let s = cols == 4 ? v128.load(y + at(j)) : ld(y + at(j), cols);
    if (cols == 4) {
      for (let i = 0; i < k; i++, p += step) {
        s = madd(v128.load_splat<f32>(x + at(i)), v128.load(p), s);
      }
      v128.store(y + at(j), s);
    } else {
      for (let i = 0; i < k; i++, p += step) {
        s = madd(v128.load_splat<f32>(x + at(i)), ld(p, cols), s);
      }
      st(y + at(j), s, cols);
    }
  }
}

/**
 * gemv for a W that does not stay in L1, k a multiple of 4: four rows at a time, so that W is read from its first float to its last, as
 * prefetching wants it; y goes through L1 instead.
 */
function stream(x: usize, w: usize, n: i32, y: usize, k: i32): void {
  const next = at(n);
  const end = x + at(k);
  for (; x < end; x += 16) {
    const v0 = v128.load_splat<f32>(x), v1 = v128.load_splat<f32>(x, 4);
    const v2 = v128.load_splat<f32>(x, 8), v3 = v128.load_splat<f32>(x, 12);
    let o = y;
    const stop = y + at(n & ~3);
    for (; o < stop; o += 16, w += 16) {
      const r1 = w + next, r2 = r1 + next, r3 = r2 + next;
      const s = madd(v1, v128.load(r1), madd(v0, v128.load(w), v128.load(o)));
      v128.store(o, f32x4.add(s, madd(v3, v128.load(r3), f32x4.mul(v2, v128.load(r2)))));
    }
    const rest = n & 3;
    if (rest) {
      const r1 = w + next, r2 = r1 + next, r3 = r2 + next;
      const s = madd(v1, ld(r1, rest), madd(v0, ld(w, rest), ld(o, rest)));
      st(o, f32x4.add(s, madd(v3, ld(r3, rest), f32x4.mul(v2, ld(r2, rest)))), rest);
      w += at(rest);
    }
    w += 3 * next;
  }
}

/**
 * One packed block against `m` rows. `ta`: A is stored (K,M). The panels were packed for (depth,width), of which the first k rows
 * and n columns are read.
 */
export function block(
  m: i32, n: i32, k: i32, a: usize, lda: i32, ta: bool,
  packed: usize, depth: i32, width: i32, c: usize, ldc: i32, mode: i32, bias: usize,
): void {
  const next: usize = ta ? 4 : at(lda); // from one row of A to the next, and
  const step: usize = ta ? at(lda) : 4; // from one column to the next
  const row = at(ldc);
  let j = 0;
  for (; j < n && width - j > 8; j += 16, packed += at(depth * 16)) {
    const cols = min(16, n - j);
    const bj = bias + at(j);
    let ai = a;
    let ci = c + at(j);
    for (let i = 1; i < m; i += 2, ai += 2 * next, ci += 2 * row) {
      if (ta) columns2x16(k, ai, step, packed, ci, row, cols, mode, bj);
      else rows2x16(k, ai, next, packed, ci, row, cols, mode, bj);
    }
    if (m & 1) row1x16(k, ai, step, packed, ci, cols, mode, bj);
  }
  if (j < n) {
    const cols = n - j;
    const bj = bias + at(j);
    let ai = a;
    let ci = c + at(j);
    let i = 0;
    for (; i + 4 <= m; i += 4, ai += 4 * next, ci += 4 * row) {
      if (ta) columns4x8(k, ai, step, packed, ci, row, cols, mode, bj);
      else rows4x8(k, ai, next, packed, ci, row, cols, mode, bj);
    }
    for (; i < m; i++, ai += next, ci += row) row1x8(k, ai, step, packed, ci, cols, mode, bj);
  }
}

/** 2 rows of A (lda bytes apart) times a panel of 16. */
function rows2x16(
  k: i32, a0: usize, lda: usize, b: usize, c: usize, ldc: usize, cols: i32, mode: i32, bias: usize,
): void {
  let a1 = a0 + lda;
  let s00 = splat(0), s01 = splat(0), s02 = splat(0), s03 = splat(0);
  let s10 = splat(0), s11 = splat(0), s12 = splat(0), s13 = splat(0);
  const end = b + at(k * 16);
  const last = end - 64;
  do {
    const b0 = v128.load(b), b1 = v128.load(b, 16), b2 = v128.load(b, 32), b3 = v128.load(b, 48);
    const u0 = v128.load_splat<f32>(a0), u1 = v128.load_splat<f32>(a1);
    s00 = madd(u0, b0, s00);
    s01 = madd(u0, b1, s01);
    s02 = madd(u0, b2, s02);
    s03 = madd(u0, b3, s03);
    s10 = madd(u1, b0, s10);
    s11 = madd(u1, b1, s11);
    s12 = madd(u1, b2, s12);
    s13 = madd(u1, b3, s13);
    if (b == last) break;
    const d0 = v128.load(b, 64), d1 = v128.load(b, 80), d2 = v128.load(b, 96), d3 = v128.load(b, 112);
    const v0 = v128.load_splat<f32>(a0, 4), v1 = v128.load_splat<f32>(a1, 4);
    s00 = madd(v0, d0, s00);
    s01 = madd(v0, d1, s01);
    s02 = madd(v0, d2, s02);
    s03 = madd(v0, d3, s03);
    s10 = madd(v1, d0, s10);
    s11 = madd(v1, d1, s11);
    s12 = madd(v1, d2, s12);
    s13 = madd(v1, d3, s13);
    a0 += 8;
    a1 += 8;
    b += 128;
  } while (b != end);
  put16(s00, s01, s02, s03, c, cols, mode, bias);
  put16(s10, s11, s12, s13, c + ldc, cols, mode, bias);
}

/** 2 columns of A (side by side; lda bytes from one k to the next) times a panel of 16. */
function columns2x16(
  k: i32, a: usize, lda: usize, b: usize, c: usize, ldc: usize, cols: i32, mode: i32, bias: usize,
): void {
  let s00 = splat(0), s01 = splat(0), s02 = splat(0), s03 = splat(0);
  let s10 = splat(0), s11 = splat(0), s12 = splat(0), s13 = splat(0);
  const end = b + at(k * 16);
  const last = end - 64;
  do {
    const b0 = v128.load(b), b1 = v128.load(b, 16), b2 = v128.load(b, 32), b3 = v128.load(b, 48);
    const u0 = v128.load_splat<f32>(a), u1 = v128.load_splat<f32>(a, 4);
    a += lda;
    s00 = madd(u0, b0, s00);
    s01 = madd(u0, b1, s01);
    s02 = madd(u0, b2, s02);
    s03 = madd(u0, b3, s03);
    s10 = madd(u1, b0, s10);
    s11 = madd(u1, b1, s11);
    s12 = madd(u1, b2, s12);
    s13 = madd(u1, b3, s13);
    if (b == last) break;
    const d0 = v128.load(b, 64), d1 = v128.load(b, 80), d2 = v128.load(b, 96), d3 = v128.load(b, 112);
    const v0 = v128.load_splat<f32>(a), v1 = v128.load_splat<f32>(a, 4);
    a += lda;
    s00 = madd(v0, d0, s00);
    s01 = madd(v0, d1, s01);
    s02 = madd(v0, d2, s02);
    s03 = madd(v0, d3, s03);
    s10 = madd(v1, d0, s10);
    s11 = madd(v1, d1, s11);
    s12 = madd(v1, d2, s12);
    s13 = madd(v1, d3, s13);
    b += 128;
  } while (b != end);
  put16(s00, s01, s02, s03, c, cols, mode, bias);
  put16(s10, s11, s12, s13, c + ldc, cols, mode, bias);
}

/** One row of A (elements `step` bytes apart) times a panel of 16. */
function row1x16(k: i32, a: usize, step: usize, b: usize, c: usize, cols: i32, mode: i32, bias: usize): void {
  let s0 = splat(0), s1 = splat(0), s2 = splat(0), s3 = splat(0);
  const end = b + at(k * 16);
  for (; b < end; b += 64, a += step) {
    const v = v128.load_splat<f32>(a);
    s0 = madd(v, v128.load(b), s0);
    s1 = madd(v, v128.load(b, 16), s1);
    s2 = madd(v, v128.load(b, 32), s2);
    s3 = madd(v, v128.load(b, 48), s3);
  }
  put16(s0, s1, s2, s3, c, cols, mode, bias);
}

/** 4 rows of A (lda bytes apart) times one panel. */
function rows4x8(
  k: i32, a0: usize, lda: usize, b: usize, c: usize, ldc: usize, cols: i32, mode: i32, bias: usize,
): void {
  const a1 = a0 + lda;
  const a2 = a1 + lda;
  const a3 = a2 + lda;
  let s00 = splat(0), s01 = splat(0), s10 = splat(0), s11 = splat(0);
  let s20 = splat(0), s21 = splat(0), s30 = splat(0), s31 = splat(0);
  const end = at(k);
  for (let i: usize = 0; i < end; i += 4, b += 32) {
    const b0 = v128.load(b);
    const b1 = v128.load(b, 16);
    let v = v128.load_splat<f32>(a0 + i);
    s00 = madd(v, b0, s00);
    s01 = madd(v, b1, s01);
    v = v128.load_splat<f32>(a1 + i);
    s10 = madd(v, b0, s10);
    s11 = madd(v, b1, s11);
    v = v128.load_splat<f32>(a2 + i);
    s20 = madd(v, b0, s20);
    s21 = madd(v, b1, s21);
    v = v128.load_splat<f32>(a3 + i);
    s30 = madd(v, b0, s30);
    s31 = madd(v, b1, s31);
  }
  put(s00, s01, c, cols, mode, bias);
  put(s10, s11, c + ldc, cols, mode, bias);
  put(s20, s21, c + 2 * ldc, cols, mode, bias);
  put(s30, s31, c + 3 * ldc, cols, mode, bias);
}

/** 4 columns of A (stored (K,M), so side by side; lda bytes from one k to the next) times one panel. */
function columns4x8(
  k: i32, a: usize, lda: usize, b: usize, c: usize, ldc: usize, cols: i32, mode: i32, bias: usize,
): void {
  let s00 = splat(0), s01 = splat(0), s10 = splat(0), s11 = splat(0);
  let s20 = splat(0), s21 = splat(0), s30 = splat(0), s31 = splat(0);
  const end = b + at(k * 8);
  for (; b < end; b += 32, a += lda) {
    const b0 = v128.load(b);
    const b1 = v128.load(b, 16);
    let v = v128.load_splat<f32>(a);
    s00 = madd(v, b0, s00);
    s01 = madd(v, b1, s01);
    v = v128.load_splat<f32>(a, 4);
    s10 = madd(v, b0, s10);
    s11 = madd(v, b1, s11);
    v = v128.load_splat<f32>(a, 8);
    s20 = madd(v, b0, s20);
    s21 = madd(v, b1, s21);
    v = v128.load_splat<f32>(a, 12);
    s30 = madd(v, b0, s30);
    s31 = madd(v, b1, s31);
  }
  put(s00, s01, c, cols, mode, bias);
  put(s10, s11, c + ldc, cols, mode, bias);
  put(s20, s21, c + 2 * ldc, cols, mode, bias);
  put(s30, s31, c + 3 * ldc, cols, mode, bias);
}

/** One row of A (elements `step` bytes apart) times one panel. Two chains for even and odd k hide the add's latency. */
function row1x8(k: i32, a: usize, step: usize, b: usize, c: usize, cols: i32, mode: i32, bias: usize): void {
  let s0 = splat(0), s1 = splat(0), t0 = splat(0), t1 = splat(0);
  let i = 0;
  for (; i + 2 <= k; i += 2, b += 64) {
    let v = v128.load_splat<f32>(a);
    a += step;
    s0 = madd(v, v128.load(b), s0);
    s1 = madd(v, v128.load(b, 16), s1);
    v = v128.load_splat<f32>(a);
    a += step;
    t0 = madd(v, v128.load(b, 32), t0);
    t1 = madd(v, v128.load(b, 48), t1);
  }
  if (i < k) {
    const v = v128.load_splat<f32>(a);
    s0 = madd(v, v128.load(b), s0);
    s1 = madd(v, v128.load(b, 16), s1);
  }
  put(f32x4.add(s0, t0), f32x4.add(s1, t1), c, cols, mode, bias);
}

// @ts-ignore: decorator
@inline
function put16(s0: v128, s1: v128, s2: v128, s3: v128, c: usize, cols: i32, mode: i32, bias: usize): void {
  put(s0, s1, c, min(8, cols), mode, bias);
  if (cols > 8) put(s2, s3, c + 32, cols - 8, mode, bias + 32);
}

/** 8 (or, at the edge, `cols`) finished sums of one row to C. */
// @ts-ignore: decorator
@inline
function put(s0: v128, s1: v128, c: usize, cols: i32, mode: i32, bias: usize): void {
  if (cols == 8) {
    if (mode == ADD) {
      s0 = f32x4.add(s0, v128.load(c));
      s1 = f32x4.add(s1, v128.load(c, 16));
    } else if (mode == BIAS) {
      s0 = f32x4.add(s0, v128.load(bias));
      s1 = f32x4.add(s1, v128.load(bias, 16));
    }
    v128.store(c, s0);
    v128.store(c, s1, 16);
  } else putEdge(s0, s1, c, cols, mode, bias);
}

function putEdge(s0: v128, s1: v128, c: usize, cols: i32, mode: i32, bias: usize): void {
  v128.store(TILE, s0);
  v128.store(TILE, s1, 16);
  for (let j = 0; j < cols; j++) {
    let v = load<f32>(TILE + at(j));
    if (mode == ADD) v += load<f32>(c + at(j));
    else if (mode == BIAS) v += load<f32>(bias + at(j));
    store<f32>(c + at(j), v);
  }
}
