import { madd } from "./vector";

// Functions of four lanes, to about 1e-6 relative.

// pmin and pmax are one machine instruction each; min and max, which order -0 and quieten NaN, are many. With x first, a
// NaN goes through.

/** Added to a float below 2^22, it rounds to the nearest integer and leaves that integer in the low mantissa bits. */
const ROUND: f32 = 12582912.0; // 1.5 * 2^23

/**
 * e^x. x = n ln2 + r with |r| <= ln2/2, a degree 5 polynomial for e^r, and 2^n put together in the exponent bits.
 * Clamped to [-87.3, 88], so it never gives 0, a subnormal or Inf.
 * Source: Moshier, Cephes mathematical library, single/expf.c.
 */
// @ts-ignore: decorator
@inline
export function exp4(x: v128): v128 {
  x = f32x4.pmin(f32x4.pmax(x, f32x4.splat(-87.3)), f32x4.splat(88.0));
  const shifted = madd(x, f32x4.splat(1.44269504088896341), f32x4.splat(ROUND));
  const n = f32x4.sub(shifted, f32x4.splat(ROUND));
  // ln2 in two parts, so that n ln2 is subtracted without loss.
  let r = f32x4.sub(x, f32x4.mul(n, f32x4.splat(0.693359375)));
  r = f32x4.sub(r, f32x4.mul(n, f32x4.splat(-2.12194440e-4)));
  let p = madd(f32x4.splat(1.9875691500e-4), r, f32x4.splat(1.3981999507e-3));
  p = madd(p, r, f32x4.splat(8.3334519073e-3));
  p = madd(p, r, f32x4.splat(4.1665795894e-2));
  p = madd(p, r, f32x4.splat(1.6666665459e-1));
  p = madd(p, r, f32x4.splat(5.0000001201e-1));
  p = f32x4.add(madd(p, f32x4.mul(r, r), r), f32x4.splat(1));
  // 2^n: n moves from the low bits of `shifted` to the exponent, everything above it falls off.
  const power = i32x4.add(i32x4.shl(shifted, 23), i32x4.splat(0x3f800000));
  return f32x4.mul(p, power);
}

/**
 * e^-x. As exp4, with a polynomial of degree 5 fitted (minimax, 1e-7 relative) to e^-r itself, and n added to the
 * exponent of its value. Clamped to [-87.3, 86], where the sum of exponents stays in range.
 */
// @ts-ignore: decorator
@inline
function expNegative4(x: v128): v128 {
  x = f32x4.pmin(f32x4.pmax(x, f32x4.splat(-87.3)), f32x4.splat(86.0));
  const shifted = madd(x, f32x4.splat(-1.44269504088896341), f32x4.splat(ROUND));
  const n = f32x4.sub(shifted, f32x4.splat(ROUND));
  let r = madd(n, f32x4.splat(0.693359375), x);
  r = madd(n, f32x4.splat(-2.12194440e-4), r);
  const r2 = f32x4.mul(r, r);
  const p0 = madd(r, f32x4.splat(-9.999997070126152e-1), f32x4.splat(1));
  const p2 = madd(r, f32x4.splat(-1.6667636583970458e-1), f32x4.splat(4.9999149188672953e-1));
  const p4 = madd(r, f32x4.splat(-8.290306258763919e-3), f32x4.splat(4.189797593447257e-2));
  const p = madd(madd(p4, r2, p2), r2, p0);
  return i32x4.add(p, i32x4.shl(shifted, 23));
}

// @ts-ignore: decorator
@inline
export function sigmoid4(x: v128): v128 {
  return f32x4.div(f32x4.splat(1), f32x4.add(f32x4.splat(1), expNegative4(x)));
}

/**
 * tanh as x P(x^2) / Q(x^2) with P of degree 3 and Q of degree 4, fitted (minimax, 1.2e-7 relative) up to 7.8, past
 * which it stays at 1 - 3e-7. The form 1 - 2/(1 + e^2x) would lose all relative accuracy near 0.
 *
 * Polynomials in pairs (Estrin), as what bounds these functions is how many of their long chains the processor's queue
 * of waiting arithmetic holds: length of the chain times number of operations.
 */
// @ts-ignore: decorator
@inline
export function tanh4(x: v128): v128 {
  x = f32x4.pmin(f32x4.pmax(x, f32x4.splat(-7.8)), f32x4.splat(7.8));
  const s = f32x4.mul(x, x);
  const s2 = f32x4.mul(s, s);
  const p0 = madd(s, f32x4.splat(1.294311760481948e-1), f32x4.splat(9.999998828467583e-1));
  const p2 = madd(s, f32x4.splat(1.1635735922296575e-5), f32x4.splat(2.969890754992661e-3));
  const q0 = madd(s, f32x4.splat(4.6276354583598583e-1), f32x4.splat(1));
  const q2 = madd(s, f32x4.splat(2.413548420499663e-4), f32x4.splat(2.3892404970836827e-2));
  const q = madd(madd(s2, f32x4.splat(2.526241440083923e-7), q2), s2, q0);
  return f32x4.div(f32x4.mul(madd(p2, s2, p0), x), q);
}

/**
 * sigmoid for the gates of recurrent layers, 1/2 + 1/2 tanh(x/2) with the halves in the coefficients of tanh4: to 1e-7
 * absolute, always above 0, with little more than half of sigmoid4's work and chain.
 */
// @ts-ignore: decorator
@inline
export function gate4(x: v128): v128 {
  x = f32x4.pmin(f32x4.pmax(x, f32x4.splat(-15.6)), f32x4.splat(15.6));
  const s = f32x4.mul(x, x);
  const s2 = f32x4.mul(s, s);
  const p0 = madd(s, f32x4.splat(0.008089448503012174), f32x4.splat(0.24999997071168958));
  const p2 = madd(s, f32x4.splat(4.5452093446470996e-08), f32x4.splat(4.640454304676033e-05));
  const q0 = madd(s, f32x4.splat(0.11569088645899646), f32x4.splat(1));
  const q2 = madd(s, f32x4.splat(3.7711694070307232e-06), f32x4.splat(0.0014932753106773017));
  const q = madd(madd(s2, f32x4.splat(9.868130625327824e-10), q2), s2, q0);
  return f32x4.add(f32x4.div(f32x4.mul(madd(p2, s2, p0), x), q), f32x4.splat(0.5));
}

/**
 * ln x for normal x > 0: x = 2^e m with m in [sqrt 1/2, sqrt 2), a degree 8 polynomial for ln m.
 * Source: Moshier, Cephes mathematical library, single/logf.c.
 */
// @ts-ignore: decorator
@inline
export function log4(x: v128): v128 {
  // Taken from the bits of sqrt 1/2, so that the exponent steps at it and not at 1.
  const shifted = i32x4.sub(x, i32x4.splat(0x3f3504f3));
  const e = f32x4.convert_i32x4_s(i32x4.shr_s(shifted, 23));
  const m = i32x4.add(v128.and(shifted, i32x4.splat(0x007fffff)), i32x4.splat(0x3f3504f3));
  const f = f32x4.sub(m, f32x4.splat(1));
  const z = f32x4.mul(f, f);
  let p = f32x4.add(f32x4.mul(f32x4.splat(7.0376836292e-2), f), f32x4.splat(-1.151461031e-1));
  p = f32x4.add(f32x4.mul(p, f), f32x4.splat(1.167699874e-1));
  p = f32x4.add(f32x4.mul(p, f), f32x4.splat(-1.2420140846e-1));
  p = f32x4.add(f32x4.mul(p, f), f32x4.splat(1.4249322787e-1));
  p = f32x4.add(f32x4.mul(p, f), f32x4.splat(-1.6668057665e-1));
  p = f32x4.add(f32x4.mul(p, f), f32x4.splat(2.0000714765e-1));
  p = f32x4.add(f32x4.mul(p, f), f32x4.splat(-2.4999993993e-1));
  p = f32x4.add(f32x4.mul(p, f), f32x4.splat(3.3333331174e-1));
  p = f32x4.mul(f32x4.mul(p, f), z);
  // ln 2 in two parts, the small one first.
  p = f32x4.add(p, f32x4.mul(e, f32x4.splat(-2.1219444e-4)));
  p = f32x4.sub(p, f32x4.mul(z, f32x4.splat(0.5)));
  return f32x4.add(f32x4.add(f, p), f32x4.mul(e, f32x4.splat(0.693359375)));
}

/** ln x of one float. */
// @ts-ignore: decorator
@inline
export function log1(x: f32): f32 {
  return f32x4.extract_lane(log4(f32x4.splat(x)), 0);
}

/**
 * ln(1 + x) for x >= 0. What 1 + x rounds away is made good by the factor x / ((1 + x) - 1).
 * Source: Goldberg 1991, What every computer scientist should know about floating-point arithmetic, theorem 4.
 */
// @ts-ignore: decorator
@inline
export function log1p4(x: v128): v128 {
  const w = f32x4.add(x, f32x4.splat(1));
  const d = f32x4.sub(w, f32x4.splat(1));
  const y = f32x4.div(f32x4.mul(log4(w), x), d);
  return v128.bitselect(x, y, f32x4.eq(d, f32x4.splat(0)));
}

/** e^x - 1 as 2t / (1 - t) with t = tanh(x/2), so that nothing cancels near 0; for x below 15. */
// @ts-ignore: decorator
@inline
export function expm14(x: v128): v128 {
  const t = tanh4(f32x4.mul(x, f32x4.splat(0.5)));
  return f32x4.div(f32x4.add(t, t), f32x4.sub(f32x4.splat(1), t));
}

/**
 * The normal distribution's cdf, 1/2 erfc(-x / sqrt 2): relative to its own size to 1e-6 (1 + x^2 / 4), which is what
 * rounding x^2 leaves of e^(-x^2 / 2).
 * Source: Press et al., Numerical Recipes, 2nd edition, section 6.2 (Chebyshev fit of erfc, 1.2e-7 relative).
 */
// @ts-ignore: decorator
@inline
export function normalCdf4(x: v128): v128 {
  const z = f32x4.mul(f32x4.abs(x), f32x4.splat(0.7071067811865476));
  const t = f32x4.div(f32x4.splat(1), f32x4.add(f32x4.mul(z, f32x4.splat(0.5)), f32x4.splat(1)));
  let p = f32x4.add(f32x4.mul(t, f32x4.splat(0.17087277)), f32x4.splat(-0.82215223));
  p = f32x4.add(f32x4.mul(p, t), f32x4.splat(1.48851587));
  p = f32x4.add(f32x4.mul(p, t), f32x4.splat(-1.13520398));
  p = f32x4.add(f32x4.mul(p, t), f32x4.splat(0.27886807));
  p = f32x4.add(f32x4.mul(p, t), f32x4.splat(-0.18628806));
  p = f32x4.add(f32x4.mul(p, t), f32x4.splat(0.09678418));
  p = f32x4.add(f32x4.mul(p, t), f32x4.splat(0.37409196));
  p = f32x4.add(f32x4.mul(p, t), f32x4.splat(1.00002368));
  p = f32x4.add(f32x4.mul(p, t), f32x4.splat(-1.26551223));
  const square = f32x4.mul(f32x4.mul(x, x), f32x4.splat(0.5));
  const tail = f32x4.mul(f32x4.mul(t, exp4(f32x4.sub(p, square))), f32x4.splat(0.5));
  const positive = f32x4.gt(x, f32x4.splat(0));
  return v128.bitselect(f32x4.sub(f32x4.splat(1), tail), tail, positive);
}
