import { exp4, sigmoid4, tanh4 } from "./math";
import { at, ld, madd, st } from "./vector";

// The same numbers stand in models/engine/activations.ts.
export const LINEAR: i32 = 0;
export const RELU: i32 = 1;
export const TANH: i32 = 2;
export const SIGMOID: i32 = 3;
export const HARD_SIGMOID: i32 = 4;
export const RELU6: i32 = 5;
export const EXPONENTIAL: i32 = 6;
export const HARD_SIGMOID_3: i32 = 7;

// @ts-ignore: decorator
@inline
function relu4(x: v128): v128 {
  return f32x4.pmax(x, f32x4.splat(0));
}

/** clip(0.2 x + 0.5, 0, 1): the one of tfjs and Keras 2. */
// @ts-ignore: decorator
@inline
function hardSigmoid4(x: v128): v128 {
  const y = madd(x, f32x4.splat(0.2), f32x4.splat(0.5));
  return f32x4.pmin(f32x4.pmax(y, f32x4.splat(0)), f32x4.splat(1));
}

/** relu6(x + 3) / 6: the hard sigmoid of Keras 3. */
// @ts-ignore: decorator
@inline
function hardSigmoidOfKeras3(x: v128): v128 {
  const y = f32x4.mul(f32x4.add(x, f32x4.splat(3)), f32x4.splat(1.0 / 6.0));
  return f32x4.pmin(f32x4.pmax(y, f32x4.splat(0)), f32x4.splat(1));
}

// @ts-ignore: decorator
@inline
function relu64(x: v128): v128 {
  return f32x4.pmin(f32x4.pmax(x, f32x4.splat(0)), f32x4.splat(6));
}

/** x[i] = f(x[i]) in place. One loop per function keeps its constants in registers. */
export function activate(kind: i32, p: usize, n: i32): void {
  const full = n & ~3;
  const rest = n & 3;
  const end = p + at(full);
  if (kind == SIGMOID) {
    for (; p < end; p += 16) v128.store(p, sigmoid4(v128.load(p)));
    if (rest) st(p, sigmoid4(ld(p, rest)), rest);
  } else if (kind == TANH) {
    for (; p < end; p += 16) v128.store(p, tanh4(v128.load(p)));
    if (rest) st(p, tanh4(ld(p, rest)), rest);
  } else if (kind == RELU) {
    for (; p < end; p += 16) v128.store(p, relu4(v128.load(p)));
    if (rest) st(p, relu4(ld(p, rest)), rest);
  } else if (kind == HARD_SIGMOID) {
    for (; p < end; p += 16) v128.store(p, hardSigmoid4(v128.load(p)));
    if (rest) st(p, hardSigmoid4(ld(p, rest)), rest);
  } else if (kind == RELU6) {
    for (; p < end; p += 16) v128.store(p, relu64(v128.load(p)));
    if (rest) st(p, relu64(ld(p, rest)), rest);
  } else if (kind == EXPONENTIAL) {
    for (; p < end; p += 16) v128.store(p, exp4(v128.load(p)));
    if (rest) st(p, exp4(ld(p, rest)), rest);
  } else if (kind == HARD_SIGMOID_3) {
    for (; p < end; p += 16) v128.store(p, hardSigmoidOfKeras3(v128.load(p)));
    if (rest) st(p, hardSigmoidOfKeras3(ld(p, rest)), rest);
  }
}

/** `activate` on `cols` columns of each of `rows` rows that are `stride` floats apart. */
export function activateRows(kind: i32, p: usize, rows: i32, cols: i32, stride: i32): void {
  if (kind == LINEAR) return;
  for (let i = 0; i < rows; i++, p += at(stride)) activate(kind, p, cols);
}

/**
 * f'(x) written in a = f(x): ((c2 a + c1) a + c0) where lo < a < hi, else 0. One form for all kinds, so that the gate
 * loops have no branch: sigmoid a - a^2, tanh 1 - a^2, linear 1, relu 1 for a > 0, relu6 1 for 0 < a < 6, hard sigmoid 0.2
 * (Keras 3: 1/6) for 0 < a < 1, exponential a.
 */
// @ts-ignore: decorator
@inline
export function slope4(a: v128, c0: v128, c1: v128, c2: v128, lo: v128, hi: v128): v128 {
  const v = madd(madd(a, c2, c1), a, c0);
  return v128.and(v, v128.and(f32x4.gt(a, lo), f32x4.lt(a, hi)));
}

export function slope0(kind: i32): v128 {
  if (kind == SIGMOID || kind == EXPONENTIAL) return f32x4.splat(0);
  if (kind == HARD_SIGMOID) return f32x4.splat(0.2);
  if (kind == HARD_SIGMOID_3) return f32x4.splat(1.0 / 6.0);
  return f32x4.splat(1);
}

export function slope1(kind: i32): v128 {
  return f32x4.splat(kind == SIGMOID || kind == EXPONENTIAL ? 1 : 0);
}

export function slope2(kind: i32): v128 {
  return f32x4.splat(kind == SIGMOID || kind == TANH ? -1 : 0);
}

export function slopeLo(kind: i32): v128 {
  const flat = kind == RELU || kind == RELU6 || kind == HARD_SIGMOID || kind == HARD_SIGMOID_3;
  return f32x4.splat(flat ? 0 : -Infinity);
}

export function slopeHi(kind: i32): v128 {
  if (kind == RELU6) return f32x4.splat(6);
  return f32x4.splat(kind == HARD_SIGMOID || kind == HARD_SIGMOID_3 ? 1 : Infinity);
}

/** g[i] *= f'(x[i]), with a = f(x) at hand. */
export function activateBackward(kind: i32, a: usize, g: usize, n: i32): void {
  if (kind == LINEAR) return;
  const end = a + at(n & ~3);
  const rest = n & 3;
  if (kind == RELU) {
    const zero = f32x4.splat(0);
    for (; a < end; a += 16, g += 16) v128.store(g, v128.and(v128.load(g), f32x4.gt(v128.load(a), zero)));
    if (rest) st(g, v128.and(ld(g, rest), f32x4.gt(ld(a, rest), zero)), rest);
    return;
  }
  const c0 = slope0(kind);
  const c1 = slope1(kind);
  const c2 = slope2(kind);
  const lo = slopeLo(kind);
  const hi = slopeHi(kind);
  for (; a < end; a += 16, g += 16) {
    v128.store(g, f32x4.mul(v128.load(g), slope4(v128.load(a), c0, c1, c2, lo, hi)));
  }
  if (rest) st(g, f32x4.mul(ld(g, rest), slope4(ld(a, rest), c0, c1, c2, lo, hi)), rest);
}
