import { at, ld, madd, splat, st } from "./vector";

// C (M,N) = or += A B, in the manner of BLIS: B is packed in panels 8 columns wide (zero-padded), so that the inner
// kernel reads it in one straight line whatever its form was; a 4x8 block of C lives in 8 vector registers.

const KC: i32 = 256; // depth of a packed block: a panel is 8 KiB and stays in L1
const NC: i32 = 128; // columns of a packed block: 128 KiB, stays in L2
const MC: i32 = 64; // rows of A that pass over a packed block before the next ones

const BLOCK: usize = memory.data(256 * 128 * 4, 16);
const TILE: usize = memory.data(8 * 4, 16); // (8): where a row goes that sticks out over the edge of C

/** What C starts from. */
const ZERO: i32 = 0;
const ADD: i32 = 1;
const BIAS: i32 = 2;

/** Floats that `pack` writes for B (K,N). */
export function packedFloats(k: i32, n: i32): i32 {
  return k * ((n + 7) & ~7);
}

/** B (K,N) with row stride ldb -> panels (N/8, K, 8), columns past N are zero. */
export function pack(b: usize, ldb: i32, k: i32, n: i32, out: usize): void {
  const step = at(ldb);
  for (let j = 0; j < n; j += 8) {
    let p = b + at(j);
    const cols = n - j;
    if (cols >= 8) {
      for (let i = 0; i < k; i++, p += step, out += 32) {
        v128.store(out, v128.load(p));
        v128.store(out, v128.load(p, 16), 16);
      }
    } else {
      for (let i = 0; i < k; i++, p += step, out += 32) {
        v128.store(out, splat(0));
        v128.store(out, splat(0), 16);
        for (let c = 0; c < cols; c++) store<f32>(out + at(c), load<f32>(p + at(c)));
      }
    }
  }
}

/** As `pack`, where B is stored transposed: b is (N,K) with row stride ldb. */
export function packTransposed(b: usize, ldb: i32, k: i32, n: i32, out: usize): void {
  for (let j = 0; j < n; j += 8) {
    const cols = min(8, n - j);
    for (let c = 0; c < 8; c++) {
      const p = b + at((j + c) * ldb);
      for (let i = 0; i < k; i++) store<f32>(out + at(i * 8 + c), c < cols ? load<f32>(p + at(i)) : 0);
    }
    out += at(k * 8);
  }
}

/** C (M,N) from A (M,K; row stride lda) and packed B. bias (N) is read in mode BIAS only. */
export function gemmPacked(
  m: i32, n: i32, k: i32,
  a: usize, lda: i32, packed: usize, c: usize, ldc: i32, mode: i32, bias: usize,
): void {
  block(m, n, k, a, lda, false, packed, k, c, ldc, mode, bias);
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
        block(min(MC, m - ic), nc, depth, ap, lda, ta, BLOCK, depth, c + at(ic * ldc + jc), ldc, mode, bias + at(jc));
      }
    }
  }
}

/** y (N) += x (K) W, W (K,N) with row stride ldw: the product of stateful stepping, where packing would not pay. */
export function gemv(x: usize, w: usize, ldw: i32, y: usize, k: i32, n: i32): void {
  const step = at(ldw);
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

/** One packed block against `m` rows. `ta`: A is stored (K,M). `depth` is the K of the panels. */
function block(
  m: i32, n: i32, k: i32, a: usize, lda: i32, ta: bool,
  packed: usize, depth: i32, c: usize, ldc: i32, mode: i32, bias: usize,
): void {
  const panel = at(depth * 8);
  const full = m & ~3;
  for (let j = 0; j < n; j += 8) {
    const cols = min(8, n - j);
    const cj = c + at(j);
    const bj = bias + at(j);
    for (let i = 0; i < full; i += 4) {
      if (ta) columns4x8(k, a + at(i), at(lda), packed, cj + at(i * ldc), at(ldc), cols, mode, bj);
      else rows4x8(k, a + at(i * lda), at(lda), packed, cj + at(i * ldc), at(ldc), cols, mode, bj);
    }
    for (let i = full; i < m; i++) {
      if (ta) row1x8(k, a + at(i), at(lda), packed, cj + at(i * ldc), cols, mode, bj);
      else row1x8(k, a + at(i * lda), 4, packed, cj + at(i * ldc), cols, mode, bj);
    }
    packed += panel;
  }
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
  const end2 = end & ~7;
  let i: usize = 0;
  for (; i < end2; i += 8, b += 64) {
    let b0 = v128.load(b);
    let b1 = v128.load(b, 16);
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
    b0 = v128.load(b, 32);
    b1 = v128.load(b, 48);
    v = v128.load_splat<f32>(a0 + i, 4);
    s00 = madd(v, b0, s00);
    s01 = madd(v, b1, s01);
    v = v128.load_splat<f32>(a1 + i, 4);
    s10 = madd(v, b0, s10);
    s11 = madd(v, b1, s11);
    v = v128.load_splat<f32>(a2 + i, 4);
    s20 = madd(v, b0, s20);
    s21 = madd(v, b1, s21);
    v = v128.load_splat<f32>(a3 + i, 4);
    s30 = madd(v, b0, s30);
    s31 = madd(v, b1, s31);
  }
  if (i < end) {
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
