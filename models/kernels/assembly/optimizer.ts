import { sum4 } from "./softmax";
import { at, ld, splat, st } from "./vector";

// One pass over the flat weights w (n), their gradients g (n) and the optimizer's own state.

/** The sum of squares, in f64: NaN or Inf when any element is. */
export function sumOfSquares(p: usize, n: i32): f64 {
  let even = f64x2.splat(0);
  let odd = f64x2.splat(0);
  const end = p + at(n & ~3);
  for (; p < end; p += 16) {
    const v = v128.load(p);
    const low = f64x2.promote_low_f32x4(v);
    const high = f64x2.promote_low_f32x4(i64x2.shuffle(v, v, 1, 0));
    even = f64x2.add(even, f64x2.mul(low, low));
    odd = f64x2.add(odd, f64x2.mul(high, high));
  }
  const s = f64x2.add(even, odd);
  let sum = f64x2.extract_lane(s, 0) + f64x2.extract_lane(s, 1);
  for (let i = 0; i < (n & 3); i++) {
    const v = <f64>load<f32>(p + at(i));
    sum += v * v;
  }
  return sum;
}

/** to += factor from */
export function addScaled(to: usize, from: usize, n: i32, factor: f32): void {
  const f = splat(factor);
  for (let i = 0; i < n; i += 4) {
    const k = min(4, n - i);
    const o = at(i);
    st(to + o, f32x4.add(ld(to + o, k), f32x4.mul(f, ld(from + o, k))), k);
  }
}

/** p[i] kept within [-limit, limit]. */
export function clampTo(p: usize, n: i32, limit: f32): void {
  const low = splat(-limit), high = splat(limit);
  for (let i = 0; i < n; i += 4) {
    const k = min(4, n - i);
    st(p + at(i), f32x4.pmin(f32x4.pmax(ld(p + at(i), k), low), high), k);
  }
}

/** g += l1 sign(w) + 2 l2 w. Gives l1 sum |w| + l2 sum w^2. g may be 0. */
export function penalty(w: usize, g: usize, n: i32, l1: f32, l2: f32): f64 {
  let sum: f64 = 0;
  const sign = i32x4.splat(0x80000000);
  const L1 = splat(l1), L2 = splat(2 * l2);
  for (let i = 0; i < n; i += 4) {
    const k = min(4, n - i);
    const o = at(i);
    const v = ld(w + o, k);
    const part = f32x4.add(f32x4.mul(L1, f32x4.abs(v)), f32x4.mul(f32x4.mul(splat(l2), v), v));
    sum += <f64>sum4(part);
    if (g == 0) continue;
    const slope = v128.andnot(v128.or(v128.and(v, sign), L1), f32x4.eq(v, splat(0)));
    st(g + o, f32x4.add(ld(g + o, k), f32x4.add(slope, f32x4.mul(L2, v))), k);
  }
  return sum;
}

/** Each column of w (rows,cols) is scaled to a Euclidean length of at most `most`; with most 0, of exactly 1. As Keras: / (1e-7 + length). */
export function holdNorms(w: usize, rows: i32, cols: i32, most: f32): void {
  for (let j = 0; j < cols; j += 4) {
    const k = min(4, cols - j);
    let s = splat(0);
    for (let i = 0; i < rows; i++) {
      const v = ld(w + at(i * cols + j), k);
      s = f32x4.add(s, f32x4.mul(v, v));
    }
    const length = f32x4.sqrt(s);
    const wanted = most > 0 ? f32x4.pmin(length, splat(most)) : splat(1);
    const factor = f32x4.div(wanted, f32x4.add(splat(1e-7), length));
    for (let i = 0; i < rows; i++) {
      const p = w + at(i * cols + j);
      st(p, f32x4.mul(ld(p, k), factor), k);
    }
  }
}

/** w[i] = max(w[i], 0) */
export function holdNonNegative(w: usize, n: i32): void {
  for (let i = 0; i < n; i += 4) {
    const k = min(4, n - i);
    st(w + at(i), f32x4.pmax(ld(w + at(i), k), splat(0)), k);
  }
}

/** g += mu (w - anchor). Source: Li et al. 2020 (FedProx), arXiv 1812.06127, the gradient of mu/2 |w - w^t|^2. */
export function proximal(g: usize, w: usize, anchor: usize, n: i32, mu: f32): void {
  const m = splat(mu);
  for (let i = 0; i < n; i += 4) {
    const k = min(4, n - i);
    const o = at(i);
    st(g + o, f32x4.add(ld(g + o, k), f32x4.mul(m, f32x4.sub(ld(w + o, k), ld(anchor + o, k)))), k);
  }
}

/** v = momentum v + g; w -= rate v, or with Nesterov rate (g + momentum v). v may be 0 (no momentum). */
export function sgd(w: usize, g: usize, v: usize, n: i32, rate: f32, momentum: f32, nesterov: bool): void {
  const R = splat(rate), M = splat(momentum);
  const full = at(n & ~3);
  for (let o: usize = 0; o < full; o += 16) sgd4(w + o, g + o, v ? v + o : 0, 4, R, M, nesterov);
  if (n & 3) sgd4(w + full, g + full, v ? v + full : 0, n & 3, R, M, nesterov);
}

// @ts-ignore: decorator
@inline
function sgd4(w: usize, g: usize, v: usize, k: i32, R: v128, M: v128, nesterov: bool): void {
  const grad = ld(g, k);
  let step = grad;
  if (v) {
    const velocity = f32x4.add(f32x4.mul(M, ld(v, k)), grad);
    st(v, velocity, k);
    step = nesterov ? f32x4.add(grad, f32x4.mul(M, velocity)) : velocity;
  }
  st(w, f32x4.sub(ld(w, k), f32x4.mul(R, step)), k);
}

/**
 * m = b1 m + (1 - b1) g; v = b2 v + (1 - b2) g^2; w -= rate (m / c1) / (sqrt(v / c2) + eps) + rate decay w, where c1 = 1 - b1^t and
 * c2 = 1 - b2^t. Source: Kingma & Ba 2015, arXiv 1412.6980, Algorithm 1; eps stands where tfjs has it; the decay is that of AdamW, Loshchilov &
 * Hutter 2019, arXiv 1711.05101, Algorithm 2.
 */
export function adam(
  w: usize, g: usize, m: usize, v: usize, n: i32,
  rate: f32, b1: f32, b2: f32, eps: f32, c1: f32, c2: f32, decay: f32,
): void {
  const B1 = splat(b1), B2 = splat(b2), D1 = splat(1 - b1), D2 = splat(1 - b2), E = splat(eps);
  const R = splat(rate / c1), C2 = splat(1 / c2), KEPT = splat(1 - rate * decay);
  const full = at(n & ~3);
  for (let o: usize = 0; o < full; o += 16) adam4(w + o, g + o, m + o, v + o, 4, B1, B2, D1, D2, E, R, C2, KEPT);
  if (n & 3) adam4(w + full, g + full, m + full, v + full, n & 3, B1, B2, D1, D2, E, R, C2, KEPT);
}

// @ts-ignore: decorator
@inline
function adam4(
  w: usize, g: usize, m: usize, v: usize, k: i32,
  B1: v128, B2: v128, D1: v128, D2: v128, E: v128, R: v128, C2: v128, KEPT: v128,
): void {
  const grad = ld(g, k);
  const mean = f32x4.add(f32x4.mul(B1, ld(m, k)), f32x4.mul(D1, grad));
  const variance = f32x4.add(f32x4.mul(B2, ld(v, k)), f32x4.mul(D2, f32x4.mul(grad, grad)));
  st(m, mean, k);
  st(v, variance, k);
  const root = f32x4.add(f32x4.sqrt(f32x4.mul(variance, C2)), E);
  st(w, f32x4.sub(f32x4.mul(KEPT, ld(w, k)), f32x4.div(f32x4.mul(R, mean), root)), k);
}

/**
 * v = rho v + (1 - rho) g^2; step = rate g / sqrt(v + eps), with u the velocity momentum u + step; w -= step. Centered: c = rho c + (1 - rho) g and
 * v - c^2 stands for v. c and u may be 0 (not centered, no momentum). Source: Tieleman & Hinton 2012, lecture 6.5; eps inside the root, as in
 * tfjs. Where centered, tfjs takes eps off instead of adding it, and has the root of a negative number at small gradients; TensorFlow adds it.
 */
export function rmsprop(
  w: usize, g: usize, v: usize, c: usize, u: usize, n: i32, rate: f32, rho: f32, momentum: f32, eps: f32,
): void {
  const RHO = splat(rho), D = splat(1 - rho), R = splat(rate), M = splat(momentum), E = splat(eps);
  for (let i = 0; i < n; i += 4) {
    const k = min(4, n - i);
    const o = at(i);
    const grad = ld(g + o, k);
    let square = f32x4.add(f32x4.mul(RHO, ld(v + o, k)), f32x4.mul(D, f32x4.mul(grad, grad)));
    st(v + o, square, k);
    if (c) {
      const mean = f32x4.add(f32x4.mul(RHO, ld(c + o, k)), f32x4.mul(D, grad));
      st(c + o, mean, k);
      // Rounding may bring the variance below zero.
      square = f32x4.pmax(f32x4.sub(square, f32x4.mul(mean, mean)), splat(0));
    }
    let step = f32x4.div(f32x4.mul(R, grad), f32x4.sqrt(f32x4.add(square, E)));
    if (u) {
      step = f32x4.add(f32x4.mul(M, ld(u + o, k)), step);
      st(u + o, step, k);
    }
    st(w + o, f32x4.sub(ld(w + o, k), step), k);
  }
}

/** v += g^2; w -= rate g / sqrt(v + eps). Source: Duchi, Hazan & Singer 2011; eps where tfjs has it. */
export function adagrad(w: usize, g: usize, v: usize, n: i32, rate: f32, eps: f32): void {
  const R = splat(rate), E = splat(eps);
  for (let i = 0; i < n; i += 4) {
    const k = min(4, n - i);
    const o = at(i);
    const grad = ld(g + o, k);
    const square = f32x4.add(ld(v + o, k), f32x4.mul(grad, grad));
    st(v + o, square, k);
    st(w + o, f32x4.sub(ld(w + o, k), f32x4.div(f32x4.mul(R, grad), f32x4.sqrt(f32x4.add(square, E)))), k);
  }
}
