import { at } from "./vector";

/**
 * Squared error of p against y, both (rows,cols). A NaN in y is a missing target: it adds nothing. weight (rows) or 0.
 * out: two f64, the weighted sum of squares and the number of targets present. When dp is not 0, it becomes the
 * gradient of sum / present.
 */
export function squaredError(p: usize, y: usize, weight: usize, rows: i32, cols: i32, dp: usize, out: usize): void {
  let sum: f64 = 0;
  let present: i32 = 0;
  let o: usize = 0;
  for (let i = 0; i < rows; i++) {
    const w: f32 = weight ? load<f32>(weight + at(i)) : 1;
    for (let j = 0; j < cols; j++, o += 4) {
      const target = load<f32>(y + o);
      if (target != target) {
        if (dp) store<f32>(dp + o, 0);
        continue;
      }
      const e = load<f32>(p + o) - target;
      present++;
      sum += <f64>w * <f64>e * <f64>e;
      if (dp) store<f32>(dp + o, e * w);
    }
  }
  store<f64>(out, sum);
  store<f64>(out + 8, <f64>present);
  if (dp && present) scale(dp, rows * cols, 2 / <f32>present);
}

/** x[i] *= factor */
export function scale(p: usize, n: i32, factor: f32): void {
  const f = f32x4.splat(factor);
  const end = p + at(n & ~3);
  for (; p < end; p += 16) v128.store(p, f32x4.mul(v128.load(p), f));
  for (let i = 0; i < (n & 3); i++) store<f32>(p + at(i), load<f32>(p + at(i)) * factor);
}
