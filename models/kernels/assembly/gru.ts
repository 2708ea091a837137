import { activate, activateRows, slope0, slope1, slope2, slope4, slopeHi, slopeLo } from "./activation";
import { addTo } from "./elementwise";
import { gemm, gemmPacked, gemv, pack, packedFloats, packTransposed } from "./gemm";
import { carry, setAside } from "./mask";
import { columnSums } from "./tensor";
import { at, ld, st } from "./vector";

// Gate order z, r, n (Keras: z, r, h). s = recurrent activation, f = activation:
//   z, r = s(x W + h R + b)   h_t = z h_{t-1} + (1 - z) n
//   resetAfter false: n = f(x Wn + (r h) Rn + bn)                  b (3H)
//   resetAfter true:  n = f(x Wn + bn + r (h Rn + b'n))            b (2,3H), second row b' for the recurrent side
// Source: Cho et al. 2014, arXiv 1406.1078 (v1: reset after, v3: reset before), laid out as in Keras.
// mask (T,B), or 0: at a masked step a row's state, and so its output, stays as it was.

/**
 * x (T,B,C), w (C,3H), r (H,3H), b or 0 -> hs (T,B,H). Kept for the way back: gates (T,B,3H) after activation;
 * inner (T,B,H): r h_{t-1} when the reset comes before, h_{t-1} Rn + b'n when after. zeros (B,H): the state before the
 * first step. packed: R in panels. bias (3H): scratch for the joined biases.
 */
export function gruForward(
  x: usize, w: usize, r: usize, b: usize, mask: usize, hs: usize, gates: usize, inner: usize, zeros: usize,
  packed: usize, bias: usize, T: i32, B: i32, C: i32, H: i32, act: i32, recAct: i32, resetAfter: bool,
): void {
  const G = 3 * H;
  if (b && resetAfter) {
    // Of b', only the part for n must wait: the rest is added with b.
    memory.copy(bias, b, at(G));
    addTo(bias, b + at(G), 2 * H);
  } else bias = b;
  gemm(false, false, T * B, G, C, x, C, w, G, gates, G, false, bias);
  const packedN = packed + at(packedFloats(H, 2 * H));
  pack(r, G, H, 2 * H, packed);
  pack(r + at(2 * H), G, H, H, packedN);
  const slice = B * H;
  for (let t = 0; t < T; t++) {
    const z = gates + at(t * B * G);
    const h = hs + at(t * slice);
    const hPrev = t > 0 ? h - at(slice) : zeros;
    const u = inner + at(t * slice);
    if (t > 0) gemmPacked(B, 2 * H, H, hPrev, H, packed, z, G, 1, 0);
    activateRows(recAct, z, B, 2 * H, G);
    if (resetAfter) {
      const bn = b ? b + at(G + 2 * H) : zeros;
      gemmPacked(B, H, H, hPrev, H, packedN, u, H, 2, bn);
      addReset(z, u, B, H);
    } else {
      multiplyReset(z, hPrev, u, B, H);
      if (t > 0) gemmPacked(B, H, H, u, H, packedN, z + at(2 * H), G, 1, 0);
    }
    activateRows(act, z + at(2 * H), B, H, G);
    mix(z, hPrev, h, B, H);
    if (mask) carry(mask + at(t * B), hPrev, h, B, H);
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
  const slice = B * H;
  const packedN = packed + at(packedFloats(2 * H, H));
  packTransposed(r, G, 2 * H, H, packed);
  packTransposed(r + at(2 * H), G, H, H, packedN);
  memory.fill(dh, 0, at(slice));
  for (let t = T - 1; t >= 0; t--) {
    const z = gates + at(t * B * G);
    const s = at(t * slice);
    const hPrev = t > 0 ? hs + s - at(slice) : zeros;
    const u = inner + s;
    if (sequences) addTo(dh, dy + s, slice);
    else if (t == T - 1) addTo(dh, dy, slice);
    if (mask) setAside(mask + at(t * B), dh, aside, B, H);
    // From here dh turns from the gradient of h_t into that of h_{t-1}, part by part.
    outputGradients(z, hPrev, dh, B, H, act, recAct);
    if (resetAfter) resetAfterGradients(z, u, B, H, recAct);
    else {
      gemmPacked(B, H, H, z + at(2 * H), G, packedN, du, H, 0, 0);
      resetBeforeGradients(z, hPrev, du, dh, B, H, recAct);
    }
    if (t > 0) {
      if (resetAfter) gemmPacked(B, H, H, u, H, packedN, dh, H, 1, 0);
      gemmPacked(B, H, 2 * H, z, G, packed, dh, H, 1, 0);
    }
    if (mask) addTo(dh, aside, slice);
  }
  const later = gates + at(B * G);
  gemm(true, false, C, G, T * B, x, C, gates, G, dw, G, true, 0);
  if (T > 1) {
    gemm(true, false, H, 2 * H, (T - 1) * B, hs, H, later, G, dr, G, true, 0);
    const drN = dr + at(2 * H);
    if (resetAfter) gemm(true, false, H, H, (T - 1) * B, hs, H, inner + at(slice), H, drN, G, true, 0);
    else gemm(true, false, H, H, (T - 1) * B, inner + at(slice), H, later + at(2 * H), G, drN, G, true, 0);
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

/** n += r u */
function addReset(z: usize, u: usize, B: i32, H: i32): void {
  const H1 = at(H);
  for (let i = 0; i < B; i++, z += 3 * H1) {
    for (let j = 0; j < H; j += 4) {
      const n = min(4, H - j);
      const p = z + H1 + at(j);
      if (n == 4) v128.store(p + H1, f32x4.add(v128.load(p + H1), f32x4.mul(v128.load(p), v128.load(u))));
      else st(p + H1, f32x4.add(ld(p + H1, n), f32x4.mul(ld(p, n), ld(u, n))), n);
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
  st(h, f32x4.add(c, f32x4.mul(ld(p, n), f32x4.sub(ld(hPrev, n), c))), n);
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
      st(dh, f32x4.add(ld(dh, n), f32x4.mul(d, r)), n);
      st(p, f32x4.mul(f32x4.mul(d, ld(hPrev, n)), slope4(r, s0, s1, s2, sl, sh)), n);
      hPrev += at(n);
      du += at(n);
      dh += at(n);
    }
  }
}
