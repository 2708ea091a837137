import { activate, activateBackward } from "./activation";
import { BIAS, ZERO, gemm, gemv } from "./gemm";
import { packAcross, packBelow, stepProduct } from "./step-product";
import { columnSums } from "./tensor";
import { addTo } from "./elementwise";
import { carry, setAside } from "./mask";
import { at } from "./vector";

// h_t = f(x_t W + h_{t-1} R + b). Everything is time-major: step t of a (T,B,H) buffer is one contiguous (B,H) slice.
// mask (T,B), or 0: at a masked step a row's state, and so its output, stays as it was.

/** x (T,B,C), w (C,H), r (H,H), b (H) or 0 -> hs (T,B,H). zeros (B,H). packed: scratch for [W; R] in panels. */
export function rnnForward(
  x: usize, w: usize, r: usize, b: usize, mask: usize, hs: usize, zeros: usize, packed: usize,
  T: i32, B: i32, C: i32, H: i32, act: i32,
): void {
  const D = C + H;
  packBelow(w, H, C, H, packed, 0, D);
  packBelow(r, H, H, H, packed, C, D);
  const slice = B * H;
  for (let t = 0; t < T; t++) {
    const h = hs + at(t * slice);
    const hPrev = t > 0 ? h - at(slice) : zeros;
    stepProduct(B, H, x + at(t * B * C), C, C, hPrev, H, t > 0 ? H : 0, packed, D, h, H, b ? BIAS : ZERO, b);
    activate(act, h, slice);
    if (mask) carry(mask + at(t * B), hPrev, h, B, H);
  }
}

/**
 * dy: (T,B,H) when `sequences`, else (B,H) for the last step only. dz (T,B,H): scratch, the gradient before f. aside (B,H): scratch.
 * dw, dr, db += ; dx (T,B,C) or 0 = .
 */
export function rnnBackward(
  x: usize, w: usize, r: usize, mask: usize, hs: usize, dy: usize, sequences: bool, dz: usize, aside: usize,
  dx: usize, dw: usize, dr: usize, db: usize, packed: usize, T: i32, B: i32, C: i32, H: i32, act: i32,
): void {
  packAcross(r, H, H, H, packed);
  const slice = B * H;
  for (let t = T - 1; t >= 0; t--) {
    const d = dz + at(t * slice);
    if (t == T - 1) memory.copy(d, sequences ? dy + at(t * slice) : dy, at(slice));
    else {
      stepProduct(B, H, d + at(slice), H, H, 0, 0, 0, packed, H, d, H, ZERO, 0);
      if (mask) addTo(d, aside, slice);
      if (sequences) addTo(d, dy + at(t * slice), slice);
    }
    if (mask) setAside(mask + at(t * B), d, aside, B, H);
    activateBackward(act, hs + at(t * slice), d, slice);
  }
  gemm(true, false, C, H, T * B, x, C, dz, H, dw, H, true, 0);
  if (T > 1) gemm(true, false, H, H, (T - 1) * B, hs, H, dz + at(slice), H, dr, H, true, 0);
  if (db) columnSums(dz, H, T * B, H, db);
  if (dx) gemm(false, true, T * B, C, H, dz, H, w, H, dx, C, false, 0);
}

/** One step of one stream: h (H) is the state, in and out. mask (1) or 0. z (H): scratch. */
export function rnnStep(
  x: usize, w: usize, r: usize, b: usize, mask: usize, h: usize, z: usize, C: i32, H: i32, act: i32,
): void {
  if (mask && load<f32>(mask) == 0) return;
  if (b) memory.copy(z, b, at(H));
  else memory.fill(z, 0, at(H));
  gemv(x, w, H, z, C, H);
  gemv(h, r, H, z, H, H);
  activate(act, z, H);
  memory.copy(h, z, at(H));
}
