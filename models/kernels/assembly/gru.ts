import { activate, activateRows, SIGMOID, slope0, slope1, slope2, slope4, slopeHi, slopeLo, TANH } from "./activation";
import { addTo } from "./elementwise";
import { ADD, BIAS, ZERO, gemm, gemv } from "./gemm";
import { carry, setAside } from "./mask";
import { gate4, tanh4 } from "./math";
import { packAcross, packBelow, panelFloats, stepProduct } from "./step-product";
import { columnSums } from "./tensor";
import { at, ld, madd, splat, st } from "./vector";

// Gate order z, r, n (Keras: z, r, h). s = recurrent activation, f = activation:
//   z, r = s(x W + h R + b)   h_t = z h_{t-1} + (1 - z) n
//   resetAfter false: n = f(x Wn + (r h) Rn + bn)                  b (3H)
//   resetAfter true:  n = f(x Wn + bn + r (h Rn + b'n))            b (2,3H), second row b' for the recurrent side
// Source: Cho et al. 2014, arXiv 1406.1078 (v1: reset after, v3: reset before), laid out as in Keras.
// mask (T,B), or 0: at a masked step a row's state, and so its output, stays as it was.

/** Rows that go through a step together: the height of a block of the product, and their gates stay in L1. */
const ROWS: i32 = 4;

/**
 * x (T,B,C), w (C,3H), r (H,3H), b or 0 -> hs (T,B,H). Kept for the way back: gates (T,B,3H) after activation;
 * inner (T,B,H): r h_{t-1} when the reset comes before, h_{t-1} Rn + b'n when after. zeros (B,H): the state before the
 * first step. packed: [W; R] in panels, those of z and r and those of n. bias (3H): scratch for the joined biases.
 */
export function gruForward(
  x: usize, w: usize, r: usize, b: usize, mask: usize, hs: usize, gates: usize, inner: usize, zeros: usize,
  packed: usize, bias: usize, T: i32, B: i32, C: i32, H: i32, act: i32, recAct: i32, resetAfter: bool,
): void {
  const G = 3 * H;
  const D = C + H;
  if (b && resetAfter) {
    // Of b', only the part for n must wait: the rest is added with b.
    memory.copy(bias, b, at(G));
    addTo(bias, b + at(G), 2 * H);
  } else bias = b;
  const biasN = bias + at(2 * H);
  const lateBias = b + at(G + 2 * H);
  const packedN = packed + at(panelFloats(D, 2 * H));
  packBelow(w, G, C, 2 * H, packed, 0, D);
  packBelow(r, G, H, 2 * H, packed, C, D);
  packBelow(w + at(2 * H), G, C, H, packedN, 0, D);
  packBelow(r + at(2 * H), G, H, H, packedN, C, D);
  const usual = act == TANH && recAct == SIGMOID;
  const start = b ? BIAS : ZERO;
  for (let t = 0; t < T; t++) {
    const K = t > 0 ? H : 0;
    for (let i = 0; i < B; i += ROWS) {
      const m = min(ROWS, B - i);
      const row = t * B + i;
      const xi = x + at(row * C);
      const z = gates + at(row * G);
      const n = z + at(2 * H);
      const h = hs + at(row * H);
      const u = inner + at(row * H);
      const hPrev = t > 0 ? h - at(B * H) : zeros;
      stepProduct(m, 2 * H, xi, C, C, hPrev, H, K, packed, D, z, G, start, bias);
      if (resetAfter) {
        stepProduct(m, H, xi, C, C, 0, 0, 0, packedN, D, n, G, start, biasN);
        stepProduct(m, H, hPrev, H, K, 0, 0, 0, packedN + at(C * 16), D, u, H, start, lateBias);
        if (usual) {
          usualGates(z, 0, u, m, H);
          usualMix(z, hPrev, h, m, H);
        } else {
          activateRows(recAct, z, m, 2 * H, G);
          addReset(z, u, m, H);
        }
      } else {
        if (usual) usualGates(z, hPrev, u, m, H);
        else {
          activateRows(recAct, z, m, 2 * H, G);
          multiplyReset(z, hPrev, u, m, H);
        }
        stepProduct(m, H, xi, C, C, u, H, K, packedN, D, n, G, start, biasN);
        if (usual) usualMix(z, hPrev, h, m, H);
      }
      if (!usual) {
        activateRows(act, n, m, H, G);
        mix(z, hPrev, h, m, H);
      }
      if (mask) carry(mask + at(row), hPrev, h, m, H);
    }
  }
}

/**
 * dy: (T,B,H) when `sequences`, else (B,H) for the last step only. gates is turned in place into the gradient before
 * the activations, and inner (reset after) into the gradient of h R + b' for n. dh, du, aside (B,H): scratch.
 * dw, dr, db += ; dx (T,B,C) or 0 = .
 */
export function gruBackward(
  x: usize, w: usize, r: usize, mask: usize, hs: usize, gates: usize, inner: usize, zeros: usize,
  dy: usize, sequences: bool, dh: usize, du: usize, aside: usize, dx: usize, dw: usize, dr: usize, db: usize,
  packed: usize, T: i32, B: i32, C: i32, H: i32, act: i32, recAct: i32, resetAfter: bool,
): void {
  const G = 3 * H;
  packAcross(r, G, G, H, packed);
  const packedN = packed + at(2 * H * 16);
  memory.fill(dh, 0, at(B * H));
  const usual = act == TANH && recAct == SIGMOID;
  for (let t = T - 1; t >= 0; t--) {
    for (let i = 0; i < B; i += ROWS) {
      const m = min(ROWS, B - i);
      const row = t * B + i;
      const z = gates + at(row * G);
      const hPrev = t > 0 ? hs + at((row - B) * H) : zeros;
      const u = inner + at(row * H);
      const d = dh + at(i * H);
      const asideH = aside + at(i * H);
      if (sequences) addTo(d, dy + at(row * H), m * H);
      else if (t == T - 1) addTo(d, dy + at(i * H), m * H);
      if (mask) setAside(mask + at(row), d, asideH, m, H);
      // From here d turns from the gradient of h_t into that of h_{t-1}, part by part.
      if (resetAfter) {
        if (usual) usualAfterGradients(z, u, hPrev, d, m, H);
        else {
          outputGradients(z, hPrev, d, m, H, act, recAct);
          resetAfterGradients(z, u, m, H, recAct);
        }
        if (t > 0) stepProduct(m, H, z, G, 2 * H, u, H, H, packed, G, d, H, ADD, 0);
      } else {
        const dui = du + at(i * H);
        outputGradients(z, hPrev, d, m, H, act, recAct);
        stepProduct(m, H, z + at(2 * H), G, H, 0, 0, 0, packedN, G, dui, H, ZERO, 0);
        resetBeforeGradients(z, hPrev, dui, d, m, H, recAct);
        if (t > 0) stepProduct(m, H, z, G, 2 * H, 0, 0, 0, packed, G, d, H, ADD, 0);
      }
      if (mask) addTo(d, asideH, m * H);
    }
  }
  const later = gates + at(B * G);
  gemm(true, false, C, G, T * B, x, C, gates, G, dw, G, true, 0);
  if (T > 1) {
    gemm(true, false, H, 2 * H, (T - 1) * B, hs, H, later, G, dr, G, true, 0);
    const drN = dr + at(2 * H);
    const slice = at(B * H);
    if (resetAfter) gemm(true, false, H, H, (T - 1) * B, hs, H, inner + slice, H, drN, G, true, 0);
    else gemm(true, false, H, H, (T - 1) * B, inner + slice, H, later + at(2 * H), G, drN, G, true, 0);
  }
  if (db) {
    columnSums(gates, G, T * B, G, db);
    if (resetAfter) {
      columnSums(gates, G, T * B, 2 * H, db + at(G));
      columnSums(inner, H, T * B, H, db + at(G + 2 * H));
    }
  }
  if (dx) gemm(false, true, T * B, C, G, gates, G, w, G, dx, C, false, 0);
}

/** One step of one stream: h (H) is the state, in and out. mask (1) or 0. z (4H): scratch. zeros (H). */
export function gruStep(
  x: usize, w: usize, r: usize, b: usize, mask: usize, h: usize, z: usize, zeros: usize,
  C: i32, H: i32, act: i32, recAct: i32, resetAfter: bool,
): void {
  if (mask && load<f32>(mask) == 0) return;
  const G = 3 * H;
  const n = z + at(2 * H);
  const u = z + at(G);
  if (b) {
    memory.copy(z, b, at(G));
    if (resetAfter) addTo(z, b + at(G), 2 * H);
  } else memory.fill(z, 0, at(G));
  gemv(x, w, G, z, C, G);
  if (resetAfter) {
    memory.copy(u, b ? b + at(G + 2 * H) : zeros, at(H));
    gemv(h, r + at(2 * H), G, u, H, H);
  }
  gemv(h, r, G, z, H, 2 * H);
  activate(recAct, z, 2 * H);
  if (resetAfter) addReset(z, u, 1, H);
  else {
    multiplyReset(z, h, u, 1, H);
    gemv(u, r + at(2 * H), G, n, H, H);
  }
  activate(act, n, H);
  mix(z, h, h, 1, H);
}

// The usual activations, tanh and sigmoid, have loops of their own: all of a step in one pass.

// Two loops, so that no chain is as long as a gate's and the next one's together.

/** z and r after activation, u = r h_{t-1}; or, where hPrev is 0, n += r u. */
function usualGates(z: usize, hPrev: usize, u: usize, B: i32, H: i32): void {
  const H1 = at(H);
  for (let i = 0; i < B; i++, z += 3 * H1) {
    for (let j = 0; j < H; j += 4) {
      const n = min(4, H - j);
      if (n == 4) usualGate(z + at(j), H1, hPrev, u, 4);
      else usualGate(z + at(j), H1, hPrev, u, n);
      if (hPrev) hPrev += at(n);
      u += at(n);
    }
  }
}

// @ts-ignore: decorator
@inline
function usualGate(p: usize, H1: usize, hPrev: usize, u: usize, k: i32): void {
  const r = gate4(ld(p + H1, k));
  st(p, gate4(ld(p, k)), k);
  st(p + H1, r, k);
  if (hPrev) st(u, f32x4.mul(r, ld(hPrev, k)), k);
  else st(p + 2 * H1, madd(r, ld(u, k), ld(p + 2 * H1, k)), k);
}

/** n after activation, and h. */
function usualMix(z: usize, hPrev: usize, h: usize, B: i32, H: i32): void {
  const H2 = at(2 * H);
  for (let i = 0; i < B; i++, z += at(3 * H)) {
    for (let j = 0; j < H; j += 4) {
      const n = min(4, H - j);
      if (n == 4) usualMixOne(z + at(j), H2, hPrev, h, 4);
      else usualMixOne(z + at(j), H2, hPrev, h, n);
      hPrev += at(n);
      h += at(n);
    }
  }
}

// @ts-ignore: decorator
@inline
function usualMixOne(p: usize, H2: usize, hPrev: usize, h: usize, k: i32): void {
  const n = tanh4(ld(p + H2, k));
  st(p + H2, n, k);
  st(h, madd(ld(p, k), f32x4.sub(ld(hPrev, k), n), n), k);
}

/** outputGradients and resetAfterGradients in one. */
function usualAfterGradients(z: usize, u: usize, hPrev: usize, dh: usize, B: i32, H: i32): void {
  const H1 = at(H);
  for (let i = 0; i < B; i++, z += 3 * H1) {
    for (let j = 0; j < H; j += 4) {
      const n = min(4, H - j);
      if (n == 4) usualAfterGradient(z + at(j), H1, u, hPrev, dh, 4);
      else usualAfterGradient(z + at(j), H1, u, hPrev, dh, n);
      u += at(n);
      hPrev += at(n);
      dh += at(n);
    }
  }
}

// @ts-ignore: decorator
@inline
function usualAfterGradient(p: usize, H1: usize, up: usize, hPrev: usize, dhp: usize, k: i32): void {
  const one = splat(1);
  const z = ld(p, k);
  const r = ld(p + H1, k);
  const n = ld(p + 2 * H1, k);
  const u = ld(up, k);
  const dh = ld(dhp, k);
  const dz = f32x4.mul(dh, z);
  const dn = f32x4.mul(f32x4.sub(dh, dz), f32x4.sub(one, f32x4.mul(n, n)));
  const dnr = f32x4.mul(dn, r);
  st(p, f32x4.mul(f32x4.mul(dz, f32x4.sub(ld(hPrev, k), n)), f32x4.sub(one, z)), k);
  st(p + H1, f32x4.mul(f32x4.mul(dnr, u), f32x4.sub(one, r)), k);
  st(p + 2 * H1, dn, k);
  st(up, dnr, k);
  st(dhp, dz, k);
}

/** n += r u */
function addReset(z: usize, u: usize, B: i32, H: i32): void {
  const H1 = at(H);
  for (let i = 0; i < B; i++, z += 3 * H1) {
    for (let j = 0; j < H; j += 4) {
      const n = min(4, H - j);
      const p = z + H1 + at(j);
      if (n == 4) v128.store(p + H1, madd(v128.load(p), v128.load(u), v128.load(p + H1)));
      else st(p + H1, madd(ld(p, n), ld(u, n), ld(p + H1, n)), n);
      u += at(n);
    }
  }
}

/** u = r h */
function multiplyReset(z: usize, h: usize, u: usize, B: i32, H: i32): void {
  const H1 = at(H);
  for (let i = 0; i < B; i++, z += 3 * H1) {
    for (let j = 0; j < H; j += 4) {
      const n = min(4, H - j);
      const p = z + H1 + at(j);
      if (n == 4) v128.store(u, f32x4.mul(v128.load(p), v128.load(h)));
      else st(u, f32x4.mul(ld(p, n), ld(h, n)), n);
      u += at(n);
      h += at(n);
    }
  }
}

/** h = n + z (hPrev - n) */
function mix(z: usize, hPrev: usize, h: usize, B: i32, H: i32): void {
  const H2 = at(2 * H);
  for (let i = 0; i < B; i++, z += at(3 * H)) {
    for (let j = 0; j < H; j += 4) {
      const n = min(4, H - j);
      const p = z + at(j);
      if (n == 4) mixOne(p, H2, hPrev, h, 4);
      else mixOne(p, H2, hPrev, h, n);
      hPrev += at(n);
      h += at(n);
    }
  }
}

// @ts-ignore: decorator
@inline
function mixOne(p: usize, H2: usize, hPrev: usize, h: usize, n: i32): void {
  const c = ld(p + H2, n);
  st(h, madd(ld(p, n), f32x4.sub(ld(hPrev, n), c), c), n);
}

/** z = dh (hPrev - n) s'(z), n = dh (1 - z) f'(n), dh = dh z. r stays as it is. */
function outputGradients(z: usize, hPrev: usize, dh: usize, B: i32, H: i32, act: i32, recAct: i32): void {
  const f0 = slope0(act), f1 = slope1(act), f2 = slope2(act), fl = slopeLo(act), fh = slopeHi(act);
  const s0 = slope0(recAct), s1 = slope1(recAct), s2 = slope2(recAct), sl = slopeLo(recAct), sh = slopeHi(recAct);
  const H2 = at(2 * H);
  for (let i = 0; i < B; i++, z += at(3 * H)) {
    for (let j = 0; j < H; j += 4) {
      const n = min(4, H - j);
      const p = z + at(j);
      if (n == 4) outputGradient(p, H2, hPrev, dh, 4, f0, f1, f2, fl, fh, s0, s1, s2, sl, sh);
      else outputGradient(p, H2, hPrev, dh, n, f0, f1, f2, fl, fh, s0, s1, s2, sl, sh);
      hPrev += at(n);
      dh += at(n);
    }
  }
}

// @ts-ignore: decorator
@inline
function outputGradient(
  p: usize, H2: usize, hPrev: usize, dhp: usize, n: i32,
  f0: v128, f1: v128, f2: v128, fl: v128, fh: v128, s0: v128, s1: v128, s2: v128, sl: v128, sh: v128,
): void {
  const z = ld(p, n);
  const c = ld(p + H2, n);
  const dh = ld(dhp, n);
  const dz = f32x4.mul(dh, z);
  st(p, f32x4.mul(f32x4.mul(dh, f32x4.sub(ld(hPrev, n), c)), slope4(z, s0, s1, s2, sl, sh)), n);
  st(p + H2, f32x4.mul(f32x4.sub(dh, dz), slope4(c, f0, f1, f2, fl, fh)), n);
  st(dhp, dz, n);
}

/** With n its gradient: u = n r, r = n u s'(r). */
function resetAfterGradients(z: usize, u: usize, B: i32, H: i32, recAct: i32): void {
  const s0 = slope0(recAct), s1 = slope1(recAct), s2 = slope2(recAct), sl = slopeLo(recAct), sh = slopeHi(recAct);
  const H1 = at(H);
  for (let i = 0; i < B; i++, z += 3 * H1) {
    for (let j = 0; j < H; j += 4) {
      const n = min(4, H - j);
      const p = z + H1 + at(j);
      const dn = ld(p + H1, n);
      const r = ld(p, n);
      st(p, f32x4.mul(f32x4.mul(dn, ld(u, n)), slope4(r, s0, s1, s2, sl, sh)), n);
      st(u, f32x4.mul(dn, r), n);
      u += at(n);
    }
  }
}

/** du: gradient of r h. dh += du r, r = du hPrev s'(r). */
function resetBeforeGradients(z: usize, hPrev: usize, du: usize, dh: usize, B: i32, H: i32, recAct: i32): void {
  const s0 = slope0(recAct), s1 = slope1(recAct), s2 = slope2(recAct), sl = slopeLo(recAct), sh = slopeHi(recAct);
  const H1 = at(H);
  for (let i = 0; i < B; i++, z += 3 * H1) {
    for (let j = 0; j < H; j += 4) {
      const n = min(4, H - j);
      const p = z + H1 + at(j);
      const d = ld(du, n);
      const r = ld(p, n);
      st(dh, madd(d, r, ld(dh, n)), n);
      st(p, f32x4.mul(f32x4.mul(d, ld(hPrev, n)), slope4(r, s0, s1, s2, sl, sh)), n);
      hPrev += at(n);
      du += at(n);
      dh += at(n);
    }
  }
}
