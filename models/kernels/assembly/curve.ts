import { exp4, expm14, log1p4, normalCdf4, sigmoid4 } from "./math";
import { at, ld, splat, st } from "./vector";

// Activations whose slope can't be written in their output: the way back reads the input. The same numbers stand in
// models/engine/activations.ts, with what the parameters a, b and c are.

const RECTIFIER: i32 = 0;
const ELU: i32 = 1;
const GELU: i32 = 2;
const GELU_TANH: i32 = 3;
const SOFTPLUS: i32 = 4;
const SOFTSIGN: i32 = 5;
const SWISH: i32 = 6;
const MISH: i32 = 7;
const HARD_SWISH: i32 = 8;

// gelu's approximation x sigmoid(2 u): u = sqrt(2/pi) (x + 0.044715 x^3). Source: Hendrycks & Gimpel 2016, arXiv 1606.08415.
const GELU_1: f32 = 1.5957691216057308; // 2 sqrt(2/pi)
const GELU_3: f32 = 0.07135481282052;
const INVERSE_SQRT_2_PI: f32 = 0.3989422804014327;

/** Below it the smooth ones are 0, and past it on both sides their slopes are 0 and 1: e^x, which never is 0, times a huge x would not be. */
const FLAT: f32 = -80;

/** y = f(x). y may be x. */
export function curve(kind: i32, x: usize, y: usize, n: i32, a: f32, b: f32, c: f32): void {
  // One place for full vectors and the tail: the formulas are long, and stand in the code once.
  for (let i = 0; i < n; i += 4) {
    const k = min(4, n - i);
    st(y + at(i), value4(kind, ld(x + at(i), k), a, b, c), k);
  }
}

/** dx = dy f'(x). dx may be dy. */
export function curveBackward(
  kind: i32, x: usize, dy: usize, dx: usize, n: i32, a: f32, b: f32, c: f32,
): void {
  for (let i = 0; i < n; i += 4) {
    const k = min(4, n - i);
    st(dx + at(i), f32x4.mul(ld(dy + at(i), k), slope4(kind, ld(x + at(i), k), a, b, c)), k);
  }
}

// The branch on `kind` goes the same way for a whole buffer, so it is predicted.
// @ts-ignore: decorator
@inline
function value4(kind: i32, x: v128, a: f32, b: f32, c: f32): v128 {
  switch (kind) {
    case RECTIFIER: {
      // x above the threshold b, a (x - b) below it, at most c.
      const below = f32x4.mul(f32x4.sub(x, splat(b)), splat(a));
      return f32x4.pmin(v128.bitselect(x, below, f32x4.gt(x, splat(b))), splat(c));
    }
    case ELU: {
      // b times: x, or a (e^x - 1) below 0.
      const below = f32x4.mul(expm14(f32x4.pmin(x, splat(0))), splat(a));
      return f32x4.mul(v128.bitselect(x, below, f32x4.gt(x, splat(0))), splat(b));
    }
    case GELU:
      x = f32x4.pmax(x, splat(FLAT));
      return f32x4.mul(x, normalCdf4(x));
    case GELU_TANH:
      x = f32x4.pmax(x, splat(FLAT));
      return f32x4.mul(x, sigmoid4(geluInner4(x)));
    case SOFTPLUS:
      return f32x4.add(f32x4.pmax(x, splat(0)), log1p4(exp4(f32x4.neg(f32x4.abs(x)))));
    case SOFTSIGN:
      return f32x4.div(x, f32x4.add(f32x4.abs(x), splat(1)));
    case SWISH:
      x = f32x4.pmax(x, splat(FLAT));
      return f32x4.mul(x, sigmoid4(x));
    case MISH: {
      x = f32x4.pmax(x, splat(FLAT));
      const n = mishN4(x);
      return f32x4.div(f32x4.mul(x, n), f32x4.add(n, splat(2)));
    }
    default:
      return f32x4.mul(x, hardGate4(x));
  }
}

// @ts-ignore: decorator
@inline
function slope4(kind: i32, x: v128, a: f32, b: f32, c: f32): v128 {
  switch (kind) {
    case RECTIFIER: {
      const slope = v128.bitselect(splat(1), splat(a), f32x4.gt(x, splat(b)));
      return v128.and(slope, f32x4.lt(x, splat(c)));
    }
    case ELU: {
      const below = f32x4.mul(exp4(f32x4.pmin(x, splat(0))), splat(a));
      return f32x4.mul(v128.bitselect(splat(1), below, f32x4.gt(x, splat(0))), splat(b));
    }
    case GELU: {
      x = flattened4(x);
      const density = f32x4.mul(
        exp4(f32x4.mul(f32x4.mul(x, x), splat(-0.5))),
        splat(INVERSE_SQRT_2_PI),
      );
      return f32x4.add(normalCdf4(x), f32x4.mul(x, density));
    }
    case GELU_TANH: {
      x = flattened4(x);
      const inner = f32x4.add(
        f32x4.mul(f32x4.mul(x, x), splat(3 * GELU_3)),
        splat(GELU_1),
      );
      return gated4(x, sigmoid4(geluInner4(x)), inner);
    }
    case SOFTPLUS:
      return sigmoid4(x);
    case SOFTSIGN: {
      const d = f32x4.add(f32x4.abs(x), splat(1));
      return f32x4.div(splat(1), f32x4.mul(d, d));
    }
    case SWISH:
      x = flattened4(x);
      return gated4(x, sigmoid4(x), splat(1));
    case MISH: {
      x = flattened4(x);
      // tanh(softplus) + x sech^2(softplus) sigmoid(x), all in n.
      const n = mishN4(x);
      const d = f32x4.add(n, splat(2));
      const sech2 = f32x4.div(f32x4.mul(f32x4.add(n, splat(1)), splat(4)), f32x4.mul(d, d));
      return f32x4.add(f32x4.div(n, d), f32x4.mul(f32x4.mul(x, sech2), sigmoid4(x)));
    }
    default: {
      const inside = v128.and(f32x4.gt(x, splat(-3)), f32x4.lt(x, splat(3)));
      return f32x4.add(hardGate4(x), v128.and(f32x4.mul(x, splat(1.0 / 6.0)), inside));
    }
  }
}

// @ts-ignore: decorator
@inline
function flattened4(x: v128): v128 {
  return f32x4.pmin(f32x4.pmax(x, splat(FLAT)), splat(-FLAT));
}

/** The slope of x sigmoid(v(x)) where s is that sigmoid and dv the slope of v: s (1 + x (1 - s) dv). */
// @ts-ignore: decorator
@inline
function gated4(x: v128, s: v128, dv: v128): v128 {
  const rest = f32x4.mul(f32x4.mul(x, f32x4.sub(splat(1), s)), dv);
  return f32x4.mul(s, f32x4.add(rest, splat(1)));
}

// @ts-ignore: decorator
@inline
function geluInner4(x: v128): v128 {
  return f32x4.mul(x, f32x4.add(f32x4.mul(f32x4.mul(x, x), splat(GELU_3)), splat(GELU_1)));
}

/** n = e (e + 2) with e = e^x: then tanh(softplus(x)) = n / (n + 2). Past x = 20 the quotient is 1 anyway. */
// @ts-ignore: decorator
@inline
function mishN4(x: v128): v128 {
  const e = exp4(f32x4.pmin(x, splat(20)));
  return f32x4.mul(e, f32x4.add(e, splat(2)));
}

/** relu6(x + 3) / 6 */
// @ts-ignore: decorator
@inline
function hardGate4(x: v128): v128 {
  const y = f32x4.mul(f32x4.add(x, splat(3)), splat(1.0 / 6.0));
  return f32x4.pmin(f32x4.pmax(y, splat(0)), splat(1));
}
