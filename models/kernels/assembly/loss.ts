import { exp4, log4, tanh4 } from "./math";
import { sum4 } from "./softmax";
import { at, ld, splat, st } from "./vector";

// Losses of each element by itself, of p against y, both (rows,cols). A NaN in y is a missing target: it adds nothing. weight (rows) or 0.
// out: two f64, the weighted sum of the loss and the number of targets present. When dp is not 0, it becomes the gradient of
// factor * sum / present.

const SQUARED: i32 = 0;
const ABSOLUTE: i32 = 1;
const HUBER: i32 = 2;
const BINARY: i32 = 3;
const BINARY_LOGITS: i32 = 4;
const LOG_COSH: i32 = 5;
const POISSON: i32 = 6;

/** Probabilities are kept this far from 0 and 1: Keras and tfjs. */
export const EPSILON: f32 = 1e-7;

/** Sums of so many floats are kept in f32 before they go into the f64. */
const CHUNK: i32 = 256;

/** (p - y)^2 */
export function squaredError(
  p: usize, y: usize, weight: usize, rows: i32, cols: i32, factor: f32, dp: usize, out: usize,
): void {
  pointwise(SQUARED, p, y, weight, rows, cols, factor, dp, out, 0);
}

/** |p - y| */
export function absoluteError(
  p: usize, y: usize, weight: usize, rows: i32, cols: i32, factor: f32, dp: usize, out: usize,
): void {
  pointwise(ABSOLUTE, p, y, weight, rows, cols, factor, dp, out, 0);
}

/** With e = p - y: e^2 / 2 where |e| <= delta, else delta (|e| - delta / 2). Source: Huber 1964. */
export function huber(
  p: usize, y: usize, weight: usize, rows: i32, cols: i32, factor: f32, dp: usize, out: usize, delta: f32,
): void {
  pointwise(HUBER, p, y, weight, rows, cols, factor, dp, out, delta);
}

/** -y ln p - (1 - y) ln(1 - p), p kept within [1e-7, 1 - 1e-7]. */
export function binaryCrossentropy(
  p: usize, y: usize, weight: usize, rows: i32, cols: i32, factor: f32, dp: usize, out: usize,
): void {
  pointwise(BINARY, p, y, weight, rows, cols, factor, dp, out, 0);
}

/** The same of sigmoid(p), as max(p, 0) - p y + ln(1 + e^-|p|), which no p makes too large. */
export function binaryCrossentropyLogits(
  p: usize, y: usize, weight: usize, rows: i32, cols: i32, factor: f32, dp: usize, out: usize,
): void {
  pointwise(BINARY_LOGITS, p, y, weight, rows, cols, factor, dp, out, 0);
}

/** ln cosh(p - y) */
export function logCosh(
  p: usize, y: usize, weight: usize, rows: i32, cols: i32, factor: f32, dp: usize, out: usize,
): void {
  pointwise(LOG_COSH, p, y, weight, rows, cols, factor, dp, out, 0);
}

/** p - y ln(p + 1e-7) */
export function poisson(
  p: usize, y: usize, weight: usize, rows: i32, cols: i32, factor: f32, dp: usize, out: usize,
): void {
  pointwise(POISSON, p, y, weight, rows, cols, factor, dp, out, 0);
}

/** `kind` is a constant wherever this is inlined, so each loss is a loop of its own; the last elements of a row share one function. */
// @ts-ignore: decorator
@inline
function pointwise(
  kind: i32, p: usize, y: usize, weight: usize, rows: i32, cols: i32, factor: f32, dp: usize, out: usize, delta: f32,
): void {
  let sum: f64 = 0;
  let present: i32 = 0;
  let o: usize = 0;
  for (let i = 0; i < rows; i++) {
    const w: f32 = weight ? load<f32>(weight + at(i)) : 1;
    const W = splat(w);
    for (let from = 0; from < cols; from += CHUNK) {
      const n = min(CHUNK, cols - from);
      const end = o + at(n & ~3);
      let s = splat(0);
      for (; o < end; o += 16) {
        const target = v128.load(y + o);
        const there = f32x4.eq(target, target);
        s = f32x4.add(s, element(kind, v128.load(p + o), target, there, W, dp ? dp + o : 0, 4, delta));
        present += popcnt(i32x4.bitmask(there));
      }
      const rest = n & 3;
      if (rest) {
        const target = ld(y + o, rest);
        // Lanes past the end are not there, as NaN is not.
        const there = v128.and(f32x4.eq(target, target), first(rest));
        s = f32x4.add(s, anyElement(kind, ld(p + o, rest), target, there, W, dp ? dp + o : 0, rest, delta));
        present += popcnt(i32x4.bitmask(there));
        o += at(rest);
      }
      sum += <f64>w * <f64>sum4(s);
    }
  }
  finish(sum, present, dp, rows * cols, factor, out);
}

function anyElement(
  kind: i32, v: v128, target: v128, there: v128, w: v128, d: usize, k: i32, delta: f32,
): v128 {
  return element(kind, v, target, there, w, d, k, delta);
}

/** The losses of four elements; what is not there has none. At d (or 0) goes the gradient, times w. */
// @ts-ignore: decorator
@inline
function element(
  kind: i32, v: v128, target: v128, there: v128, w: v128, d: usize, k: i32, delta: f32,
): v128 {
  const sign = i32x4.splat(0x80000000);
  const one = splat(1);
  let l = splat(0);
  let g = splat(0);
  if (kind == SQUARED) {
    const e = f32x4.sub(v, target);
    l = f32x4.mul(e, e);
    g = f32x4.add(e, e);
  } else if (kind == ABSOLUTE) {
    const e = f32x4.sub(v, target);
    l = f32x4.abs(e);
    // The sign of e; 0 where there is no error.
    g = v128.andnot(v128.or(v128.and(e, sign), one), f32x4.eq(e, splat(0)));
  } else if (kind == HUBER) {
    const e = f32x4.sub(v, target);
    const size = f32x4.abs(e);
    const near = f32x4.le(size, splat(delta));
    const square = f32x4.mul(f32x4.mul(e, e), splat(0.5));
    l = v128.bitselect(square, f32x4.mul(splat(delta), f32x4.sub(size, splat(0.5 * delta))), near);
    g = v128.bitselect(e, v128.or(v128.and(e, sign), splat(delta)), near);
  } else if (kind == BINARY) {
    const q = f32x4.pmin(f32x4.pmax(v, splat(EPSILON)), splat(1 - EPSILON));
    const rest = f32x4.sub(one, q);
    const no = f32x4.sub(one, target);
    l = f32x4.neg(f32x4.add(f32x4.mul(target, log4(q)), f32x4.mul(no, log4(rest))));
    g = f32x4.div(f32x4.sub(q, target), f32x4.mul(q, rest));
    g = v128.and(g, f32x4.eq(q, v)); // flat where it is cut off
  } else if (kind == BINARY_LOGITS) {
    // One e^-|v| for both: sigmoid(v) is 1 / (1 + e^-|v|), or that times e^-|v| where v < 0.
    const e = exp4(f32x4.neg(f32x4.abs(v)));
    const r = f32x4.div(one, f32x4.add(one, e));
    l = f32x4.add(f32x4.sub(f32x4.pmax(v, splat(0)), f32x4.mul(v, target)), log1pOf(e, r));
    const share = v128.bitselect(f32x4.mul(r, e), r, f32x4.lt(v, splat(0)));
    g = f32x4.sub(share, target);
  } else if (kind == LOG_COSH) {
    // |e| + ln(1 + e^-2|e|) - ln 2 cancels near 0; there its series takes over.
    const e = f32x4.sub(v, target);
    const size = f32x4.abs(e);
    const square = f32x4.mul(e, e);
    const series = f32x4.mul(square, f32x4.sub(splat(0.5), f32x4.mul(square, splat(1.0 / 12))));
    const u = exp4(f32x4.mul(size, splat(-2)));
    const tail = log1pOf(u, f32x4.div(one, f32x4.add(one, u)));
    l = f32x4.add(f32x4.sub(size, splat(0.6931471805599453)), tail);
    l = v128.bitselect(series, l, f32x4.lt(size, splat(0.1)));
    g = tanh4(e);
  } else {
    const q = f32x4.add(v, splat(EPSILON));
    l = f32x4.sub(v, f32x4.mul(target, log4(q)));
    g = f32x4.sub(one, f32x4.div(target, q));
  }
  if (d) st(d, v128.and(f32x4.mul(g, w), there), k);
  return v128.and(l, there);
}

/**
 * ln(1 + u) for u in [0, 1], given r = 1 / (1 + u): ln w of the rounded sum w, and to first order what the rounding lost, which is all of a small u.
 */
// @ts-ignore: decorator
@inline
function log1pOf(u: v128, r: v128): v128 {
  const w = f32x4.add(f32x4.splat(1), u);
  const lost = f32x4.sub(u, f32x4.sub(w, f32x4.splat(1)));
  return f32x4.add(log4(w), f32x4.mul(lost, r));
}

/** Ones in the first `n` (1..3) lanes. */
// @ts-ignore: decorator
@inline
function first(n: i32): v128 {
  return i32x4.lt_s(i32x4(0, 1, 2, 3), i32x4.splat(n));
}

/** Writes sum and count, and divides the gradient by the count. */
export function finish(sum: f64, present: i32, dp: usize, n: i32, factor: f32, out: usize): void {
  store<f64>(out, sum);
  store<f64>(out + 8, <f64>present);
  if (dp && present) scale(dp, n, factor / <f32>present);
}

/** x[i] *= factor */
export function scale(p: usize, n: i32, factor: f32): void {
  const f = f32x4.splat(factor);
  const end = p + at(n & ~3);
  for (; p < end; p += 16) v128.store(p, f32x4.mul(v128.load(p), f));
  for (let i = 0; i < (n & 3); i++) store<f32>(p + at(i), load<f32>(p + at(i)) * factor);
}
