import { ADD, BIAS } from "./gemm";
import { at, madd, splat } from "./vector";

// The small products of one time step: a few rows (a batch) of two inputs that stand apart, x_t and h_(t-1), times one
// matrix [W; R] that is packed once for the whole sequence. So a step's gates are written once, with their bias.
//
// One step of k a turn, and no more sums and operands than the 15 free vector registers: V8 moves all loads of a turn in
// front of its arithmetic, so that a longer turn spills.

const WIDTH: i32 = 16; // columns of a panel
const ROW: usize = 64; // bytes of one row of a panel
const TILE: usize = memory.data(16 * 4, 16); // (16): a row that sticks out over the edge of C

/** Floats of panels for (k,n). The same stands in models/engine/layers/recurrent.ts. */
export function panelFloats(k: i32, n: i32): i32 {
  return k * ((n + WIDTH - 1) & -WIDTH);
}

/**
 * M (k,n; row stride ldm) as rows first .. first + k of panels (n/16, depth, 16); columns past n are zero. W and R go
 * one below the other.
 */
export function packBelow(m: usize, ldm: i32, k: i32, n: i32, panels: usize, first: i32, depth: i32): void {
  for (let j = 0; j < n; j += WIDTH) {
    let from = m + at(j);
    let to = panels + at(j * depth + first * WIDTH);
    const cols = at(min(WIDTH, n - j));
    for (let i = 0; i < k; i++, from += at(ldm), to += ROW) {
      if (cols < ROW) memory.fill(to, 0, ROW);
      memory.copy(to, from, cols);
    }
  }
}

/** As `packBelow` from the first row on, where M is stored transposed: (n,k) with row stride ldm. */
export function packAcross(m: usize, ldm: i32, k: i32, n: i32, panels: usize): void {
  for (let j = 0; j < n; j += WIDTH, panels += at(k * WIDTH)) {
    for (let c = 0; c < WIDTH; c++) {
      const from = m + at((j + c) * ldm);
      for (let i = 0; i < k; i++) store<f32>(panels + at(i * WIDTH + c), j + c < n ? load<f32>(from + at(i)) : 0);
    }
  }
}

/**
 * C (m,n) = its start (mode) + a (m,ka) A + b (m,kb) B, where the panels (n/16, depth, 16) hold A in their first ka rows
 * and B below. kb may be 0. bias (n) is read in mode BIAS only.
 */
export function stepProduct(
  m: i32, n: i32, a: usize, lda: i32, ka: i32, b: usize, ldb: i32, kb: i32,
  panels: usize, depth: i32, c: usize, ldc: i32, mode: i32, bias: usize,
): void {
  const panel = at(depth * WIDTH);
  for (let j = 0; j < n; j += WIDTH, panels += panel, c += ROW, bias += ROW) {
    const cols = min(WIDTH, n - j);
    let i = 0;
    if (cols <= 8) {
      for (; i + 4 <= m; i += 4) {
        rows4x8(a + at(i * lda), at(lda), ka, b + at(i * ldb), at(ldb), kb, panels, c + at(i * ldc), at(ldc), cols, mode, bias);
      }
    }
    for (; i + 2 <= m; i += 2) {
      rows2x16(a + at(i * lda), at(lda), ka, b + at(i * ldb), at(ldb), kb, panels, c + at(i * ldc), at(ldc), cols, mode, bias);
    }
    if (i < m) row1x16(a + at(i * lda), ka, b + at(i * ldb), kb, panels, c + at(i * ldc), cols, mode, bias);
  }
}

/** 2 rows of both inputs (lda, ldb bytes apart) times one panel. */
function rows2x16(
  a: usize, lda: usize, ka: i32, b: usize, ldb: usize, kb: i32,
  p: usize, c: usize, ldc: usize, cols: i32, mode: i32, bias: usize,
): void {
  let s0 = splat(0), s1 = splat(0), s2 = splat(0), s3 = splat(0);
  if (mode == BIAS && cols == WIDTH) {
    s0 = v128.load(bias);
    s1 = v128.load(bias, 16);
    s2 = v128.load(bias, 32);
    s3 = v128.load(bias, 48);
  }
  let t0 = s0, t1 = s1, t2 = s2, t3 = s3;
  let a1 = a + lda;
  let end = p + <usize>ka * ROW;
  let second = kb == 0;
  for (;;) {
    const last = end - ROW;
    while (p != end) {
      const p0 = v128.load(p), p1 = v128.load(p, 16), p2 = v128.load(p, 32), p3 = v128.load(p, 48);
      const v = v128.load_splat<f32>(a), w = v128.load_splat<f32>(a1);
      s0 = madd(v, p0, s0);
      s1 = madd(v, p1, s1);
      s2 = madd(v, p2, s2);
      s3 = madd(v, p3, s3);
      t0 = madd(w, p0, t0);
      t1 = madd(w, p1, t1);
      t2 = madd(w, p2, t2);
      t3 = madd(w, p3, t3);
      if (p == last) break;
      const q0 = v128.load(p, 64), q1 = v128.load(p, 80), q2 = v128.load(p, 96), q3 = v128.load(p, 112);
      const x = v128.load_splat<f32>(a, 4), y = v128.load_splat<f32>(a1, 4);
      s0 = madd(x, q0, s0);
      s1 = madd(x, q1, s1);
      s2 = madd(x, q2, s2);
      s3 = madd(x, q3, s3);
      t0 = madd(y, q0, t0);
      t1 = madd(y, q1, t1);
      t2 = madd(y, q2, t2);
      t3 = madd(y, q3, t3);
      p += 2 * ROW;
      a += 8;
      a1 += 8;
    }
    if (second) break;
    second = true;
    p = end;
    a = b;
    a1 = b + ldb;
    end += <usize>kb * ROW;
  }
  put(s0, s1, s2, s3, c, cols, mode, bias);
  put(t0, t1, t2, t3, c + ldc, cols, mode, bias);
}

/** 4 rows times the first 8 columns of a panel, of which only `cols` are there. */
function rows4x8(
  a: usize, lda: usize, ka: i32, b: usize, ldb: usize, kb: i32,
  p: usize, c: usize, ldc: usize, cols: i32, mode: i32, bias: usize,
): void {
  let s00 = splat(0), s01 = splat(0), s10 = splat(0), s11 = splat(0);
  let s20 = splat(0), s21 = splat(0), s30 = splat(0), s31 = splat(0);
  let end = p + <usize>ka * ROW;
  let second = false;
  for (;;) {
    let a1 = a + lda, a2 = a1 + lda, a3 = a2 + lda;
    for (; p < end; p += ROW, a += 4, a1 += 4, a2 += 4, a3 += 4) {
      const p0 = v128.load(p), p1 = v128.load(p, 16);
      let v = v128.load_splat<f32>(a);
      s00 = madd(v, p0, s00);
      s01 = madd(v, p1, s01);
      v = v128.load_splat<f32>(a1);
      s10 = madd(v, p0, s10);
      s11 = madd(v, p1, s11);
      v = v128.load_splat<f32>(a2);
      s20 = madd(v, p0, s20);
      s21 = madd(v, p1, s21);
      v = v128.load_splat<f32>(a3);
      s30 = madd(v, p0, s30);
      s31 = madd(v, p1, s31);
    }
    if (second) break;
    second = true;
    a = b;
    lda = ldb;
    end = p + <usize>kb * ROW;
  }
  const none = splat(0);
  putEdge(s00, s01, none, none, c, cols, mode, bias);
  putEdge(s10, s11, none, none, c + ldc, cols, mode, bias);
  putEdge(s20, s21, none, none, c + 2 * ldc, cols, mode, bias);
  putEdge(s30, s31, none, none, c + 3 * ldc, cols, mode, bias);
}

/** One row times one panel. */
function row1x16(
  a: usize, ka: i32, b: usize, kb: i32, p: usize, c: usize, cols: i32, mode: i32, bias: usize,
): void {
  let s0 = splat(0), s1 = splat(0), s2 = splat(0), s3 = splat(0);
  if (mode == BIAS && cols == WIDTH) {
    s0 = v128.load(bias);
    s1 = v128.load(bias, 16);
    s2 = v128.load(bias, 32);
    s3 = v128.load(bias, 48);
  }
  let end = p + <usize>ka * ROW;
  for (; p < end; p += ROW, a += 4) {
    const v = v128.load_splat<f32>(a);
    s0 = madd(v, v128.load(p), s0);
    s1 = madd(v, v128.load(p, 16), s1);
    s2 = madd(v, v128.load(p, 32), s2);
    s3 = madd(v, v128.load(p, 48), s3);
  }
  end = p + <usize>kb * ROW;
  for (; p < end; p += ROW, b += 4) {
    const v = v128.load_splat<f32>(b);
    s0 = madd(v, v128.load(p), s0);
    s1 = madd(v, v128.load(p, 16), s1);
    s2 = madd(v, v128.load(p, 32), s2);
    s3 = madd(v, v128.load(p, 48), s3);
  }
  put(s0, s1, s2, s3, c, cols, mode, bias);
}

/** 16 (or, at the edge, `cols`) finished sums of one row to C. A whole row has its bias already. */
// @ts-ignore: decorator
@inline
function put(s0: v128, s1: v128, s2: v128, s3: v128, c: usize, cols: i32, mode: i32, bias: usize): void {
  if (cols == WIDTH) {
    if (mode == ADD) {
      s0 = f32x4.add(s0, v128.load(c));
      s1 = f32x4.add(s1, v128.load(c, 16));
      s2 = f32x4.add(s2, v128.load(c, 32));
      s3 = f32x4.add(s3, v128.load(c, 48));
    }
    v128.store(c, s0);
    v128.store(c, s1, 16);
    v128.store(c, s2, 32);
    v128.store(c, s3, 48);
  } else putEdge(s0, s1, s2, s3, c, cols, mode, bias);
}

function putEdge(s0: v128, s1: v128, s2: v128, s3: v128, c: usize, cols: i32, mode: i32, bias: usize): void {
  v128.store(TILE, s0);
  v128.store(TILE, s1, 16);
  v128.store(TILE, s2, 32);
  v128.store(TILE, s3, 48);
  for (let j = 0; j < cols; j++) {
    let v = load<f32>(TILE + at(j));
    if (mode == ADD) v += load<f32>(c + at(j));
    else if (mode == BIAS) v += load<f32>(bias + at(j));
    store<f32>(c + at(j), v);
  }
}
