import { exp4, log1 } from "./math";
import { at, ld, splat, st } from "./vector";

/** y = e^(x - max) / sum, each row of (rows,cols) by itself. y may be x. */
export function softmax(x: usize, y: usize, rows: i32, cols: i32): void {
  for (let i = 0; i < rows; i++, x += at(cols), y += at(cols)) softmaxRow(x, y, cols);
}

/** One row. What is not there (lanes past the end) takes part in neither maximum nor sum. */
export function softmaxRow(x: usize, y: usize, cols: i32): void {
  const full = cols & ~3;
  const rest = cols & 3;
  let top: f32 = -Infinity;
  if (full) {
    let m = v128.load(x);
    for (let j = 4; j < full; j += 4) m = f32x4.pmax(m, v128.load(x + at(j)));
    top = max(
      max(f32x4.extract_lane(m, 0), f32x4.extract_lane(m, 1)),
      max(f32x4.extract_lane(m, 2), f32x4.extract_lane(m, 3)),
    );
  }
  for (let j = full; j < cols; j++) top = max(top, load<f32>(x + at(j)));
  const shift = splat(top);
  let s = splat(0);
  for (let j = 0; j < full; j += 4) {
    const e = exp4(f32x4.sub(v128.load(x + at(j)), shift));
    v128.store(y + at(j), e);
    s = f32x4.add(s, e);
  }
  if (rest) {
    st(y + at(full), exp4(f32x4.sub(ld(x + at(full), rest), shift)), rest);
    s = f32x4.add(s, ld(y + at(full), rest)); // the missing lanes are read as zero
  }
  const factor = splat(1 / sum4(s));
  for (let j = 0; j < full; j += 4) v128.store(y + at(j), f32x4.mul(v128.load(y + at(j)), factor));
  if (rest) st(y + at(full), f32x4.mul(ld(y + at(full), rest), factor), rest);
}

/** dx = y (dy - sum(y dy)), row by row. dx may be dy. */
export function softmaxBackward(y: usize, dy: usize, dx: usize, rows: i32, cols: i32): void {
  for (let i = 0; i < rows; i++, y += at(cols), dy += at(cols), dx += at(cols)) {
    let s = splat(0);
    for (let j = 0; j < cols; j += 4) {
      const k = min(4, cols - j);
      s = f32x4.add(s, f32x4.mul(ld(y + at(j), k), ld(dy + at(j), k)));
    }
    const dot = splat(sum4(s));
    for (let j = 0; j < cols; j += 4) {
      const k = min(4, cols - j);
      st(dx + at(j), f32x4.mul(ld(y + at(j), k), f32x4.sub(ld(dy + at(j), k), dot)), k);
    }
  }
}

/** y = x - max - ln(sum of e^(x - max)), each row of (rows,cols) by itself. y must not be x. */
export function logSoftmax(x: usize, y: usize, rows: i32, cols: i32): void {
  for (let i = 0; i < rows; i++, x += at(cols), y += at(cols)) {
    let top: f32 = -Infinity;
    for (let j = 0; j < cols; j++) top = max(top, load<f32>(x + at(j)));
    softmaxRow(x, y, cols);
    // The largest probability is 1 / sum.
    let largest: f32 = 0;
    for (let j = 0; j < cols; j++) largest = max(largest, load<f32>(y + at(j)));
    const shift = splat(top - log1(largest));
    for (let j = 0; j < cols; j += 4) {
      const k = min(4, cols - j);
      st(y + at(j), f32x4.sub(ld(x + at(j), k), shift), k);
    }
  }
}

/** dx = dy - e^y sum(dy), row by row. dx may be dy. */
export function logSoftmaxBackward(y: usize, dy: usize, dx: usize, rows: i32, cols: i32): void {
  for (let i = 0; i < rows; i++, y += at(cols), dy += at(cols), dx += at(cols)) {
    let s = splat(0);
    for (let j = 0; j < cols; j += 4) s = f32x4.add(s, ld(dy + at(j), min(4, cols - j)));
    const total = splat(sum4(s));
    for (let j = 0; j < cols; j += 4) {
      const k = min(4, cols - j);
      const part = f32x4.mul(exp4(ld(y + at(j), k)), total);
      st(dx + at(j), f32x4.sub(ld(dy + at(j), k), part), k);
    }
  }
}

/** The sum of the four lanes. */
// @ts-ignore: decorator
@inline
export function sum4(v: v128): f32 {
  return (
    f32x4.extract_lane(v, 0) + f32x4.extract_lane(v, 1) + (f32x4.extract_lane(v, 2) + f32x4.extract_lane(v, 3))
  );
}
