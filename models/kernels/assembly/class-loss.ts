import { EPSILON, finish } from "./loss";
import { exp4, log1, log4 } from "./math";
import { sum4 } from "./softmax";
import { at, ld, splat, st } from "./vector";

// Losses of a whole row of p (rows,cols): a row is one target, and missing where any NaN is in its y. Else as in loss.ts: weight (rows) or 0,
// out two f64, dp the gradient of factor * sum / rows present.

/** -sum y ln q, with q = p / sum p kept within [1e-7, 1 - 1e-7], as Keras and tfjs have it. y: (rows,cols). */
export function categoricalCrossentropy(
  p: usize, y: usize, weight: usize, rows: i32, cols: i32, factor: f32, dp: usize, out: usize,
): void {
  const step = at(cols);
  let sum: f64 = 0;
  let present: i32 = 0;
  for (let i = 0; i < rows; i++, p += step, y += step) {
    const d = dp ? dp + at(i * cols) : 0;
    if (isMissing(y, cols)) {
      if (d) memory.fill(d, 0, step);
      continue;
    }
    present++;
    const w: f32 = weight ? load<f32>(weight + at(i)) : 1;
    const all = splat(rowSum(p, cols));
    let l = splat(0);
    let dot = splat(0); // of dl/dq and q: what the division by the sum takes off
    for (let j = 0; j < cols; j += 4) {
      const k = min(4, cols - j);
      const q = f32x4.div(ld(p + at(j), k), all);
      const t = ld(y + at(j), k);
      const kept = f32x4.pmin(f32x4.pmax(q, splat(EPSILON)), splat(1 - EPSILON));
      l = f32x4.sub(l, f32x4.mul(t, log4(kept)));
      dot = f32x4.sub(dot, v128.and(t, f32x4.eq(kept, q)));
    }
    sum += <f64>w * <f64>sum4(l);
    if (d == 0) continue;
    const taken = splat(sum4(dot));
    const outer = f32x4.div(splat(w), all);
    for (let j = 0; j < cols; j += 4) {
      const k = min(4, cols - j);
      const q = f32x4.div(ld(p + at(j), k), all);
      const kept = f32x4.pmin(f32x4.pmax(q, splat(EPSILON)), splat(1 - EPSILON));
      const g = v128.and(f32x4.div(f32x4.neg(ld(y + at(j), k)), kept), f32x4.eq(kept, q));
      st(d + at(j), f32x4.mul(outer, f32x4.sub(g, taken)), k);
    }
  }
  finish(sum, present, dp, rows * cols, factor, out);
}

/** The same of softmax(p), as sum y (ln sum e^p - p), which no p makes too large. */
export function categoricalCrossentropyLogits(
  p: usize, y: usize, weight: usize, rows: i32, cols: i32, factor: f32, dp: usize, out: usize,
): void {
  const step = at(cols);
  let sum: f64 = 0;
  let present: i32 = 0;
  for (let i = 0; i < rows; i++, p += step, y += step) {
    const d = dp ? dp + at(i * cols) : 0;
    if (isMissing(y, cols)) {
      if (d) memory.fill(d, 0, step);
      continue;
    }
    present++;
    const w: f32 = weight ? load<f32>(weight + at(i)) : 1;
    const whole = splat(logSumExp(p, cols));
    const mass = splat(rowSum(y, cols));
    let l = splat(0);
    for (let j = 0; j < cols; j += 4) {
      const k = min(4, cols - j);
      const t = ld(y + at(j), k);
      const below = f32x4.sub(whole, ld(p + at(j), k));
      l = f32x4.add(l, f32x4.mul(t, below));
      if (d) {
        const g = f32x4.sub(f32x4.mul(mass, exp4(f32x4.neg(below))), t);
        st(d + at(j), f32x4.mul(splat(w), g), k);
      }
    }
    sum += <f64>w * <f64>sum4(l);
  }
  finish(sum, present, dp, rows * cols, factor, out);
}

/** categoricalCrossentropy where y (rows) holds the number of the class. */
export function sparseCrossentropy(
  p: usize, y: usize, weight: usize, rows: i32, cols: i32, factor: f32, dp: usize, out: usize,
): void {
  const step = at(cols);
  let sum: f64 = 0;
  let present: i32 = 0;
  for (let i = 0; i < rows; i++, p += step, y += 4) {
    const d = dp ? dp + at(i * cols) : 0;
    const target = load<f32>(y);
    if (target != target) {
      if (d) memory.fill(d, 0, step);
      continue;
    }
    present++;
    const w: f32 = weight ? load<f32>(weight + at(i)) : 1;
    const o = at(<i32>target);
    const all = rowSum(p, cols);
    const q = load<f32>(p + o) / all;
    const kept: f32 = min(max(q, EPSILON), 1 - EPSILON);
    sum -= <f64>w * <f64>log1(kept);
    if (d == 0) continue;
    if (kept != q) {
      memory.fill(d, 0, step);
      continue;
    }
    const outer: f32 = w / all;
    for (let j = 0; j < cols; j += 4) st(d + at(j), splat(outer), min(4, cols - j));
    store<f32>(d + o, outer * (1 - 1 / q));
  }
  finish(sum, present, dp, rows * cols, factor, out);
}

/** categoricalCrossentropyLogits where y (rows) holds the number of the class. */
export function sparseCrossentropyLogits(
  p: usize, y: usize, weight: usize, rows: i32, cols: i32, factor: f32, dp: usize, out: usize,
): void {
  const step = at(cols);
  let sum: f64 = 0;
  let present: i32 = 0;
  for (let i = 0; i < rows; i++, p += step, y += 4) {
    const d = dp ? dp + at(i * cols) : 0;
    const target = load<f32>(y);
    if (target != target) {
      if (d) memory.fill(d, 0, step);
      continue;
    }
    present++;
    const w: f32 = weight ? load<f32>(weight + at(i)) : 1;
    const o = at(<i32>target);
    const whole = logSumExp(p, cols);
    sum += <f64>w * <f64>(whole - load<f32>(p + o));
    if (d == 0) continue;
    for (let j = 0; j < cols; j += 4) {
      const k = min(4, cols - j);
      st(d + at(j), f32x4.mul(splat(w), exp4(f32x4.sub(ld(p + at(j), k), splat(whole)))), k);
    }
    store<f32>(d + o, load<f32>(d + o) - w);
  }
  finish(sum, present, dp, rows * cols, factor, out);
}

/** sum y ln(y / p), both kept within [1e-7, 1]. Source: Kullback & Leibler 1951. */
export function kullbackLeibler(
  p: usize, y: usize, weight: usize, rows: i32, cols: i32, factor: f32, dp: usize, out: usize,
): void {
  const step = at(cols);
  let sum: f64 = 0;
  let present: i32 = 0;
  for (let i = 0; i < rows; i++, p += step, y += step) {
    const d = dp ? dp + at(i * cols) : 0;
    if (isMissing(y, cols)) {
      if (d) memory.fill(d, 0, step);
      continue;
    }
    present++;
    const w: f32 = weight ? load<f32>(weight + at(i)) : 1;
    let l = splat(0);
    for (let j = 0; j < cols; j += 4) {
      const k = min(4, cols - j);
      const t = ld(y + at(j), k);
      const v = ld(p + at(j), k);
      const kept = f32x4.pmin(f32x4.pmax(v, splat(EPSILON)), splat(1));
      const share = f32x4.pmin(f32x4.pmax(t, splat(EPSILON)), splat(1));
      l = f32x4.add(l, f32x4.mul(t, log4(f32x4.div(share, kept))));
      if (d) {
        const g = f32x4.div(f32x4.mul(t, splat(-w)), kept);
        st(d + at(j), v128.and(g, f32x4.eq(kept, v)), k);
      }
    }
    sum += <f64>w * <f64>sum4(l);
  }
  finish(sum, present, dp, rows * cols, factor, out);
}

/** Minus the cosine of the angle between p and y; squared lengths below 1e-7 count as 1e-7, as in tfjs. */
export function cosineDistance(
  p: usize, y: usize, weight: usize, rows: i32, cols: i32, factor: f32, dp: usize, out: usize,
): void {
  const step = at(cols);
  let sum: f64 = 0;
  let present: i32 = 0;
  for (let i = 0; i < rows; i++, p += step, y += step) {
    const d = dp ? dp + at(i * cols) : 0;
    if (isMissing(y, cols)) {
      if (d) memory.fill(d, 0, step);
      continue;
    }
    present++;
    const w: f32 = weight ? load<f32>(weight + at(i)) : 1;
    let pp = splat(0);
    let yy = splat(0);
    let py = splat(0);
    for (let j = 0; j < cols; j += 4) {
      const k = min(4, cols - j);
      const v = ld(p + at(j), k);
      const t = ld(y + at(j), k);
      pp = f32x4.add(pp, f32x4.mul(v, v));
      yy = f32x4.add(yy, f32x4.mul(t, t));
      py = f32x4.add(py, f32x4.mul(v, t));
    }
    const square = sum4(pp);
    const length: f32 = sqrt(max(square, EPSILON));
    const other: f32 = sqrt(max(sum4(yy), EPSILON));
    const cosine: f32 = sum4(py) / (length * other);
    sum -= <f64>w * <f64>cosine;
    if (d == 0) continue;
    // Where p is too short to have a direction, its length is a constant.
    const along = splat(square >= EPSILON ? (w * cosine) / (length * length) : 0);
    const towards = splat(-w / (length * other));
    for (let j = 0; j < cols; j += 4) {
      const k = min(4, cols - j);
      st(d + at(j), f32x4.add(f32x4.mul(along, ld(p + at(j), k)), f32x4.mul(towards, ld(y + at(j), k))), k);
    }
  }
  finish(sum, present, dp, rows * cols, factor, out);
}

function isMissing(y: usize, cols: i32): bool {
  let odd = i32x4.splat(0);
  for (let j = 0; j < cols; j += 4) {
    const t = ld(y + at(j), min(4, cols - j));
    odd = v128.or(odd, f32x4.ne(t, t));
  }
  return v128.any_true(odd);
}

function rowSum(p: usize, cols: i32): f32 {
  let s = splat(0);
  for (let j = 0; j < cols; j += 4) s = f32x4.add(s, ld(p + at(j), min(4, cols - j)));
  return sum4(s);
}

/** ln sum e^x, with the largest x taken out first. */
function logSumExp(x: usize, cols: i32): f32 {
  let top = load<f32>(x);
  for (let j = 1; j < cols; j++) top = max(top, load<f32>(x + at(j)));
  const shift = splat(top);
  const full = cols & ~3;
  let s = splat(0);
  for (let j = 0; j < full; j += 4) s = f32x4.add(s, exp4(f32x4.sub(v128.load(x + at(j)), shift)));
  let total = sum4(s);
  for (let j = full; j < cols; j++) {
    total += f32x4.extract_lane(exp4(f32x4.sub(splat(load<f32>(x + at(j))), shift)), 0);
  }
  return top + log1(total);
}
