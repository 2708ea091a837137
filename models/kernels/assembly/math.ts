// exp, tanh and sigmoid of four lanes, to about 1e-6 relative.

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
  const shifted = f32x4.add(f32x4.mul(x, f32x4.splat(1.44269504088896341)), f32x4.splat(ROUND));
  const n = f32x4.sub(shifted, f32x4.splat(ROUND));
  // ln2 in two parts, so that n ln2 is subtracted without loss.
  let r = f32x4.sub(x, f32x4.mul(n, f32x4.splat(0.693359375)));
  r = f32x4.sub(r, f32x4.mul(n, f32x4.splat(-2.12194440e-4)));
  let p = f32x4.add(f32x4.mul(f32x4.splat(1.9875691500e-4), r), f32x4.splat(1.3981999507e-3));
  p = f32x4.add(f32x4.mul(p, r), f32x4.splat(8.3334519073e-3));
  p = f32x4.add(f32x4.mul(p, r), f32x4.splat(4.1665795894e-2));
  p = f32x4.add(f32x4.mul(p, r), f32x4.splat(1.6666665459e-1));
  p = f32x4.add(f32x4.mul(p, r), f32x4.splat(5.0000001201e-1));
  p = f32x4.add(f32x4.add(f32x4.mul(p, f32x4.mul(r, r)), r), f32x4.splat(1));
  // 2^n: n moves from the low bits of `shifted` to the exponent, everything above it falls off.
  const power = i32x4.add(i32x4.shl(shifted, 23), i32x4.splat(0x3f800000));
  return f32x4.mul(p, power);
}

// @ts-ignore: decorator
@inline
export function sigmoid4(x: v128): v128 {
  return f32x4.div(f32x4.splat(1), f32x4.add(f32x4.splat(1), exp4(f32x4.neg(x))));
}

/**
 * tanh as an odd polynomial of degree 13 over an even one of degree 6; +-1 outside +-7.9.
 * The form 1 - 2/(1 + e^2x) would lose all relative accuracy near 0.
 * Source: Eigen, generic_fast_tanh_float (MathFunctionsImpl.h).
 */
// @ts-ignore: decorator
@inline
export function tanh4(x: v128): v128 {
  x = f32x4.pmin(f32x4.pmax(x, f32x4.splat(-7.90531110763549805)), f32x4.splat(7.90531110763549805));
  const s = f32x4.mul(x, x);
  let p = f32x4.add(f32x4.mul(s, f32x4.splat(-2.76076847742355e-16)), f32x4.splat(2.00018790482477e-13));
  p = f32x4.add(f32x4.mul(p, s), f32x4.splat(-8.60467152213735e-11));
  p = f32x4.add(f32x4.mul(p, s), f32x4.splat(5.12229709037114e-8));
  p = f32x4.add(f32x4.mul(p, s), f32x4.splat(1.48572235717979e-5));
  p = f32x4.add(f32x4.mul(p, s), f32x4.splat(6.37261928875436e-4));
  p = f32x4.add(f32x4.mul(p, s), f32x4.splat(4.89352455891786e-3));
  let q = f32x4.add(f32x4.mul(s, f32x4.splat(1.19825839466702e-6)), f32x4.splat(1.18534705686654e-4));
  q = f32x4.add(f32x4.mul(q, s), f32x4.splat(2.26843463243900e-3));
  q = f32x4.add(f32x4.mul(q, s), f32x4.splat(4.89352518554385e-3));
  return f32x4.div(f32x4.mul(p, x), q);
}
