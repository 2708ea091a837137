import { fillKept } from "./random";
import { at, ld, splat, st } from "./vector";

// What recurrent layers do around their kernels. Everything is time-major: (T, n) with n = B * channels.

/** to_t = from_t, or from_(T-1-t) backwards; each step times factors (n), or 0 for none. Its own way back. */
export function arrangeSteps(from: usize, to: usize, factors: usize, T: i32, n: i32, backwards: bool): void {
  const bytes = at(n);
  for (let t = 0; t < T; t++, to += bytes) {
    const p = from + (<usize>(backwards ? T - 1 - t : t)) * bytes;
    if (!factors) {
      memory.copy(to, p, bytes);
      continue;
    }
    for (let j = 0; j < n; j += 4) {
      const k = min(4, n - j);
      const o = at(j);
      st(to + o, f32x4.mul(ld(p + o, k), ld(factors + o, k)), k);
    }
  }
}

/**
 * to (n): 0 with the probability `rate`, else 1 / (1 - rate). random: the four words of a generator, moved on.
 * Source: Srivastava et al. 2014, in the form that leaves scoring as it is.
 */
export function dropFactors(random: usize, to: usize, n: i32, rate: f32): void {
  fillKept(random, to, n, <u32>(<f64>rate * 4294967296.0), 1 / (1 - rate));
}

/** How the two directions of a bidirectional layer become one. The same numbers stand in models/engine/layers/bidirectional.ts. */
const CONCAT: i32 = 0;
const SUM: i32 = 1;
const AVERAGE: i32 = 2;

/**
 * a (T,B,H) first step first, b (T,B,H) last step first -> y (T,B,H), or (T,B,2H) for CONCAT. T is 1 for a last step
 * alone.
 */
export function mergeDirections(a: usize, b: usize, y: usize, T: i32, B: i32, H: i32, mode: i32): void {
  const row = at(H);
  const n = B * H;
  for (let t = 0; t < T; t++) {
    let p = a + at(t * n);
    let q = b + at((T - 1 - t) * n);
    if (mode == CONCAT) {
      for (let i = 0; i < B; i++, p += row, q += row, y += 2 * row) {
        memory.copy(y, p, row);
        memory.copy(y + row, q, row);
      }
      continue;
    }
    for (let j = 0; j < n; j += 4) {
      const k = min(4, n - j);
      const u = ld(p + at(j), k);
      const v = ld(q + at(j), k);
      if (mode == SUM) st(y + at(j), f32x4.add(u, v), k);
      else if (mode == AVERAGE) st(y + at(j), f32x4.mul(f32x4.add(u, v), splat(0.5)), k);
      else st(y + at(j), f32x4.mul(u, v), k);
    }
    y += at(n);
  }
}

/** da, db = from dy, in the orders of a and b. */
export function mergeDirectionsBackward(
  a: usize, b: usize, dy: usize, da: usize, db: usize, T: i32, B: i32, H: i32, mode: i32,
): void {
  const row = at(H);
  const n = B * H;
  const half = splat(mode == AVERAGE ? 0.5 : 1);
  for (let t = 0; t < T; t++) {
    const front = at(t * n);
    const back = at((T - 1 - t) * n);
    if (mode == CONCAT) {
      for (let i: usize = 0; i < <usize>B; i++, dy += 2 * row) {
        memory.copy(da + front + i * row, dy, row);
        memory.copy(db + back + i * row, dy + row, row);
      }
      continue;
    }
    for (let j = 0; j < n; j += 4) {
      const k = min(4, n - j);
      const o = at(j);
      const d = f32x4.mul(ld(dy + o, k), half);
      if (mode == SUM || mode == AVERAGE) {
        st(da + front + o, d, k);
        st(db + back + o, d, k);
      } else {
        st(da + front + o, f32x4.mul(d, ld(b + back + o, k)), k);
        st(db + back + o, f32x4.mul(d, ld(a + front + o, k)), k);
      }
    }
    dy += at(n);
  }
}
