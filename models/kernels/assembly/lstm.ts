import { activate, activateRows, SIGMOID, slope0, slope1, slope2, slope4, slopeHi, slopeLo, TANH } from "./activation";
import { addTo } from "./elementwise";
import { BIAS, ZERO, gemm, gemv } from "./gemm";
import { carry, setAside } from "./mask";
import { gate4, tanh4 } from "./math";
import { packAcross, packBelow, stepProduct } from "./step-product";
import { columnSums } from "./tensor";
import { at, ld, madd, splat, st } from "./vector";

// Gate order i, f, g, o (Keras: i, f, c, o). s = recurrent activation, f = activation:
//   i, f, o = s(x W + h R + b)   g = f(x W + h R + b)   c_t = f c_{t-1} + i g   h_t = o f(c_t)
// Source: Hochreiter & Schmidhuber 1997, with the forget gate of Gers et al. 2000, laid out as in Keras.
// mask (T,B), or 0: at a masked step a row's state, and so its output, stays as it was.

/** Rows that go through a step together: the height of a block of the product, and their gates stay in L1. */
const ROWS: i32 = 4;

/**
 * x (T,B,C), w (C,4H), r (H,4H), b (4H) or 0 -> hs (T,B,H). Kept for the way back: gates (T,B,4H) after activation,
 * cells (T,B,H) = c_t, squashed (T,B,H) = f(c_t). zeros (B,H): the state before the first step. packed: [W; R] in panels.
 */
export function lstmForward(
  x: usize, w: usize, r: usize, b: usize, mask: usize, hs: usize, gates: usize, cells: usize, squashed: usize,
  zeros: usize, packed: usize, T: i32, B: i32, C: i32, H: i32, act: i32, recAct: i32,
): void {
  const G = 4 * H;
  const D = C + H;
  packBelow(w, G, C, G, packed, 0, D);
  packBelow(r, G, H, G, packed, C, D);
  const usual = act == TANH && recAct == SIGMOID;
  const start = b ? BIAS : ZERO;
  for (let t = 0; t < T; t++) {
    for (let i = 0; i < B; i += ROWS) {
      const m = min(ROWS, B - i);
      const row = t * B + i;
      const z = gates + at(row * G);
      const h = hs + at(row * H);
      const c = cells + at(row * H);
      const q = squashed + at(row * H);
      const hPrev = t > 0 ? h - at(B * H) : zeros;
      const cPrev = t > 0 ? c - at(B * H) : zeros;
      stepProduct(m, G, x + at(row * C), C, C, hPrev, H, t > 0 ? H : 0, packed, D, z, G, start, b);
      if (usual) usualCells(z, cPrev, c, q, h, m, H);
      else {
        activateRows(recAct, z, m, 2 * H, G);
        activateRows(act, z + at(2 * H), m, H, G);
        activateRows(recAct, z + at(3 * H), m, H, G);
        nextCells(z, cPrev, c, q, m, H);
        activate(act, q, m * H);
        nextOutputs(z, q, h, m, H);
      }
      if (mask) {
        carry(mask + at(row), hPrev, h, m, H);
        carry(mask + at(row), cPrev, c, m, H);
      }
    }
  }
}

/**
 * dy: (T,B,H) when `sequences`, else (B,H) for the last step only. gates is turned in place into the gradient before
 * the activations. dh, dc (B,H), aside (2,B,H): scratch. dw, dr, db += ; dx (T,B,C) or 0 = .
 */
export function lstmBackward(
  x: usize, w: usize, r: usize, mask: usize, hs: usize, gates: usize, cells: usize, squashed: usize, zeros: usize,
  dy: usize, sequences: bool, dh: usize, dc: usize, aside: usize, dx: usize, dw: usize, dr: usize, db: usize,
  packed: usize, T: i32, B: i32, C: i32, H: i32, act: i32, recAct: i32,
): void {
  const G = 4 * H;
  packAcross(r, G, G, H, packed);
  memory.fill(dc, 0, at(B * H));
  const usual = act == TANH && recAct == SIGMOID;
  for (let t = T - 1; t >= 0; t--) {
    for (let i = 0; i < B; i += ROWS) {
      const m = min(ROWS, B - i);
      const n = m * H;
      const row = t * B + i;
      const z = gates + at(row * G);
      const cPrev = t > 0 ? cells + at((row - B) * H) : zeros;
      const q = squashed + at(row * H);
      const dhi = dh + at(i * H);
      const dci = dc + at(i * H);
      const asideH = aside + at(i * H);
      const asideC = asideH + at(B * H);
      if (t == T - 1) memory.copy(dhi, dy + at((sequences ? row : i) * H), at(n));
      else {
        if (mask) addTo(dhi, asideH, n);
        if (sequences) addTo(dhi, dy + at(row * H), n);
      }
      if (mask) {
        setAside(mask + at(row), dhi, asideH, m, H);
        setAside(mask + at(row), dci, asideC, m, H);
      }
      if (usual) usualGradients(z, cPrev, q, dhi, dci, m, H);
      else gateGradients(z, cPrev, q, dhi, dci, m, H, act, recAct);
      if (mask) addTo(dci, asideC, n);
      if (t > 0) stepProduct(m, H, z, G, G, 0, 0, 0, packed, G, dhi, H, ZERO, 0);
    }
  }
  gemm(true, false, C, G, T * B, x, C, gates, G, dw, G, true, 0);
  if (T > 1) gemm(true, false, H, G, (T - 1) * B, hs, H, gates + at(B * G), G, dr, G, true, 0);
  if (db) columnSums(gates, G, T * B, G, db);
  if (dx) gemm(false, true, T * B, C, G, gates, G, w, G, dx, C, false, 0);
}

/** One step of one stream: h, c (H) are the state, in and out. mask (1) or 0. z (5H): scratch. */
export function lstmStep(
  x: usize, w: usize, r: usize, b: usize, mask: usize, h: usize, c: usize, z: usize,
  C: i32, H: i32, act: i32, recAct: i32,
): void {
  if (mask && load<f32>(mask) == 0) return;
  const G = 4 * H;
  if (b) memory.copy(z, b, at(G));
  else memory.fill(z, 0, at(G));
  gemv(x, w, G, z, C, G);
  gemv(h, r, G, z, H, G);
  activate(recAct, z, 2 * H);
  activate(act, z + at(2 * H), H);
  activate(recAct, z + at(3 * H), H);
  const q = z + at(G);
  nextCells(z, c, c, q, 1, H);
  activate(act, q, H);
  nextOutputs(z, q, h, 1, H);
}

// The usual activations, tanh and sigmoid, have loops of their own: all of a step in one pass.

/** Gates before activation in z -> after it; c, q = tanh c, h. */
function usualCells(z: usize, cPrev: usize, c: usize, q: usize, h: usize, B: i32, H: i32): void {
  const H1 = at(H);
  // Two loops, so that no chain is as long as a gate's and the cell's together.
  let p = z;
  let to = c;
  for (let i = 0; i < B; i++, p += 3 * H1) {
    const end = p + at(H & ~3);
    for (; p < end; p += 16, cPrev += 16, to += 16) usualGates(p, H1, cPrev, to, 4);
    const rest = H & 3;
    if (!rest) continue;
    usualGates(p, H1, cPrev, to, rest);
    p += at(rest);
    cPrev += at(rest);
    to += at(rest);
  }
  z += 3 * H1;
  for (let i = 0; i < B; i++, z += 3 * H1) {
    const end = z + at(H & ~3);
    for (; z < end; z += 16, c += 16, q += 16, h += 16) usualOutput(z, c, q, h, 4);
    const rest = H & 3;
    if (!rest) continue;
    usualOutput(z, c, q, h, rest);
    z += at(rest);
    c += at(rest);
    q += at(rest);
    h += at(rest);
  }
}

// @ts-ignore: decorator
@inline
function usualGates(p: usize, H1: usize, cPrev: usize, c: usize, n: i32): void {
  const i = gate4(ld(p, n));
  const f = gate4(ld(p + H1, n));
  const g = tanh4(ld(p + 2 * H1, n));
  const o = gate4(ld(p + 3 * H1, n));
  st(p, i, n);
  st(p + H1, f, n);
  st(p + 2 * H1, g, n);
  st(p + 3 * H1, o, n);
  st(c, madd(i, g, f32x4.mul(f, ld(cPrev, n))), n);
}

// @ts-ignore: decorator
@inline
function usualOutput(o: usize, c: usize, qp: usize, h: usize, n: i32): void {
  const q = tanh4(ld(c, n));
  st(qp, q, n);
  st(h, f32x4.mul(ld(o, n), q), n);
}

/** As gateGradients. */
function usualGradients(z: usize, cPrev: usize, q: usize, dh: usize, dc: usize, B: i32, H: i32): void {
  const H1 = at(H);
  for (let i = 0; i < B; i++, z += 3 * H1) {
    const end = z + at(H & ~3);
    for (; z < end; z += 16, cPrev += 16, q += 16, dh += 16, dc += 16) usualGradient(z, H1, cPrev, q, dh, dc, 4);
    const rest = H & 3;
    if (!rest) continue;
    usualGradient(z, H1, cPrev, q, dh, dc, rest);
    const step = at(rest);
    z += step;
    cPrev += step;
    q += step;
    dh += step;
    dc += step;
  }
}

// @ts-ignore: decorator
@inline
function usualGradient(p: usize, H1: usize, cPrev: usize, qp: usize, dhp: usize, dcp: usize, n: i32): void {
  const one = splat(1);
  const i = ld(p, n);
  const f = ld(p + H1, n);
  const g = ld(p + 2 * H1, n);
  const o = ld(p + 3 * H1, n);
  const q = ld(qp, n);
  const dh = ld(dhp, n);
  const dho = f32x4.mul(dh, o);
  const dc = madd(dho, f32x4.sub(one, f32x4.mul(q, q)), ld(dcp, n));
  const dci = f32x4.mul(dc, i);
  const dcf = f32x4.mul(dc, f);
  st(p, f32x4.mul(f32x4.mul(dci, g), f32x4.sub(one, i)), n);
  st(p + H1, f32x4.mul(f32x4.mul(dcf, ld(cPrev, n)), f32x4.sub(one, f)), n);
  st(p + 2 * H1, f32x4.mul(dci, f32x4.sub(one, f32x4.mul(g, g))), n);
  st(p + 3 * H1, f32x4.mul(f32x4.mul(dho, q), f32x4.sub(one, o)), n);
  st(dcp, dcf, n);
}

/** c = f c_{t-1} + i g, and a copy of it to q. */
function nextCells(z: usize, cPrev: usize, c: usize, q: usize, B: i32, H: i32): void {
  const H1 = at(H);
  const H2 = at(2 * H);
  for (let i = 0; i < B; i++, z += at(4 * H)) {
    const end = z + at(H & ~3);
    let p = z;
    for (; p < end; p += 16, cPrev += 16, c += 16, q += 16) nextCell(p, H1, H2, cPrev, c, q, 4);
    const rest = H & 3;
    if (rest) {
      nextCell(p, H1, H2, cPrev, c, q, rest);
      cPrev += at(rest);
      c += at(rest);
      q += at(rest);
    }
  }
}

// @ts-ignore: decorator
@inline
function nextCell(p: usize, H1: usize, H2: usize, cPrev: usize, c: usize, q: usize, n: i32): void {
  const v = madd(ld(p, n), ld(p + H2, n), f32x4.mul(ld(p + H1, n), ld(cPrev, n)));
  st(c, v, n);
  st(q, v, n);
}

/** h = o q */
function nextOutputs(z: usize, q: usize, h: usize, B: i32, H: i32): void {
  z += at(3 * H);
  for (let i = 0; i < B; i++, z += at(4 * H)) {
    let j = 0;
    for (; j + 4 <= H; j += 4, q += 16, h += 16) v128.store(h, f32x4.mul(v128.load(z + at(j)), v128.load(q)));
    const rest = H & 3;
    if (rest) {
      st(h, f32x4.mul(ld(z + at(j), rest), ld(q, rest)), rest);
      q += at(rest);
      h += at(rest);
    }
  }
}

/** In: gates in z, dh, dc from the step after. Out: gradients before the activations in z, dc for the step before. */
function gateGradients(
  z: usize, cPrev: usize, q: usize, dh: usize, dc: usize, B: i32, H: i32, act: i32, recAct: i32,
): void {
  const f0 = slope0(act), f1 = slope1(act), f2 = slope2(act), fl = slopeLo(act), fh = slopeHi(act);
  const s0 = slope0(recAct), s1 = slope1(recAct), s2 = slope2(recAct), sl = slopeLo(recAct), sh = slopeHi(recAct);
  const H1 = at(H);
  for (let row = 0; row < B; row++, z += 4 * H1) {
    for (let j = 0; j < H; j += 4) {
      const n = min(4, H - j);
      const p = z + at(j);
      if (n == 4) {
        gateGradient(p, H1, cPrev, q, dh, dc, 4, f0, f1, f2, fl, fh, s0, s1, s2, sl, sh);
      } else {
        gateGradient(p, H1, cPrev, q, dh, dc, n, f0, f1, f2, fl, fh, s0, s1, s2, sl, sh);
      }
      const step = at(n);
      cPrev += step;
      q += step;
      dh += step;
      dc += step;
    }
  }
}

// @ts-ignore: decorator
@inline
function gateGradient(
  p: usize, H1: usize, cPrev: usize, qp: usize, dhp: usize, dcp: usize, n: i32,
  f0: v128, f1: v128, f2: v128, fl: v128, fh: v128, s0: v128, s1: v128, s2: v128, sl: v128, sh: v128,
): void {
  const i = ld(p, n);
  const f = ld(p + H1, n);
  const g = ld(p + 2 * H1, n);
  const o = ld(p + 3 * H1, n);
  const q = ld(qp, n);
  const dh = ld(dhp, n);
  const dc = madd(f32x4.mul(dh, o), slope4(q, f0, f1, f2, fl, fh), ld(dcp, n));
  st(p + 3 * H1, f32x4.mul(f32x4.mul(dh, q), slope4(o, s0, s1, s2, sl, sh)), n);
  st(p, f32x4.mul(f32x4.mul(dc, g), slope4(i, s0, s1, s2, sl, sh)), n);
  st(p + 2 * H1, f32x4.mul(f32x4.mul(dc, i), slope4(g, f0, f1, f2, fl, fh)), n);
  st(p + H1, f32x4.mul(f32x4.mul(dc, ld(cPrev, n)), slope4(f, s0, s1, s2, sl, sh)), n);
  st(dcp, f32x4.mul(dc, f), n);
}
