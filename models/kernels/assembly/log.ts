// Natural logarithms of four lanes.

/**
 * ln x for normal x > 0, to about 1e-7 relative: x = 2^e m with m in [sqrt(1/2), sqrt 2), a polynomial of degree 9 for ln m.
 * Source: Moshier, Cephes mathematical library, single/logf.c.
 */
// @ts-ignore: decorator
@inline
export function log4(x: v128): v128 {
  // The bits of sqrt(1/2) are taken off, so that the exponent's carry falls where m does; they are put back below.
  const shifted = i32x4.sub(x, i32x4.splat(0x3f3504f3));
  const e = f32x4.convert_i32x4_s(i32x4.shr_s(shifted, 23));
  const m = i32x4.add(v128.and(shifted, i32x4.splat(0x007fffff)), i32x4.splat(0x3f3504f3));
  const r = f32x4.sub(m, f32x4.splat(1));
  let p = f32x4.add(f32x4.mul(f32x4.splat(7.0376836292e-2), r), f32x4.splat(-1.1514610310e-1));
  p = f32x4.add(f32x4.mul(p, r), f32x4.splat(1.1676998740e-1));
  p = f32x4.add(f32x4.mul(p, r), f32x4.splat(-1.2420140846e-1));
  p = f32x4.add(f32x4.mul(p, r), f32x4.splat(1.4249322787e-1));
  p = f32x4.add(f32x4.mul(p, r), f32x4.splat(-1.6668057665e-1));
  p = f32x4.add(f32x4.mul(p, r), f32x4.splat(2.0000714765e-1));
  p = f32x4.add(f32x4.mul(p, r), f32x4.splat(-2.4999993993e-1));
  p = f32x4.add(f32x4.mul(p, r), f32x4.splat(3.3333331174e-1));
  const z = f32x4.mul(r, r);
  p = f32x4.mul(f32x4.mul(p, r), z);
  // ln2 in two parts, so that e ln2 is added without loss.
  p = f32x4.add(p, f32x4.mul(e, f32x4.splat(-2.12194440e-4)));
  p = f32x4.sub(p, f32x4.mul(z, f32x4.splat(0.5)));
  return f32x4.add(f32x4.add(r, p), f32x4.mul(e, f32x4.splat(0.693359375)));
}

/**
 * ln(1 + u) for u in (0, 1], with u's own relative accuracy where 1 + u has lost it: ln(w) u / (w - 1) with w = 1 + u.
 * Source: Goldberg 1991, What every computer scientist should know about floating-point arithmetic, theorem 4.
 */
// @ts-ignore: decorator
@inline
export function log1p4(u: v128): v128 {
  const w = f32x4.add(f32x4.splat(1), u);
  const d = f32x4.sub(w, f32x4.splat(1));
  const v = f32x4.div(f32x4.mul(log4(w), u), d);
  return v128.bitselect(u, v, f32x4.eq(d, f32x4.splat(0)));
}
