import { at, ld, splat, st } from "./vector";

// One pass over the flat weights w (n), their gradients g (n) and the optimizer's own state.

/** The sum of squares, in f64: NaN or Inf when any element is. */
export function sumOfSquares(p: usize, n: i32): f64 {
  let sum: f64 = 0;
  for (let i = 0; i < n; i++) {
    const v = <f64>load<f32>(p + at(i));
    sum += v * v;
  }
  return sum;
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
  const r = splat(rate);
  const m = splat(momentum);
  for (let i = 0; i < n; i += 4) {
    const k = min(4, n - i);
    const o = at(i);
    const grad = ld(g + o, k);
    let step = grad;
    if (v) {
      const velocity = f32x4.add(f32x4.mul(m, ld(v + o, k)), grad);
      st(v + o, velocity, k);
      step = nesterov ? f32x4.add(grad, f32x4.mul(m, velocity)) : velocity;
    }
    st(w + o, f32x4.sub(ld(w + o, k), f32x4.mul(r, step)), k);
  }
}

/**
 * m = b1 m + (1 - b1) g; v = b2 v + (1 - b2) g^2; w -= rate (m / c1) / (sqrt(v / c2) + eps), where c1 = 1 - b1^t and
 * c2 = 1 - b2^t. Source: Kingma & Ba 2015, arXiv 1412.6980, Algorithm 1; eps stands where tfjs has it.
 */
export function adam(
  w: usize, g: usize, m: usize, v: usize, n: i32, rate: f32, b1: f32, b2: f32, eps: f32, c1: f32, c2: f32,
): void {
  const B1 = splat(b1), B2 = splat(b2), D1 = splat(1 - b1), D2 = splat(1 - b2), E = splat(eps);
  const R = splat(rate / c1), C2 = splat(1 / c2);
  for (let i = 0; i < n; i += 4) {
    const k = min(4, n - i);
    const o = at(i);
    const grad = ld(g + o, k);
    const mean = f32x4.add(f32x4.mul(B1, ld(m + o, k)), f32x4.mul(D1, grad));
    const variance = f32x4.add(f32x4.mul(B2, ld(v + o, k)), f32x4.mul(D2, f32x4.mul(grad, grad)));
    st(m + o, mean, k);
    st(v + o, variance, k);
    const root = f32x4.add(f32x4.sqrt(f32x4.mul(variance, C2)), E);
    st(w + o, f32x4.sub(ld(w + o, k), f32x4.div(f32x4.mul(R, mean), root)), k);
  }
}
