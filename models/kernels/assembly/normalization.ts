import { sum4 } from "./softmax";
import { columnSums } from "./tensor";
import { at, ld, madd, splat, st } from "./vector";

// gamma and beta, and their gradients, may be 0 (none): then they are 1 and 0.

/**
 * y = (x - mean) / sqrt(variance + epsilon) gamma + beta, each row of (rows,cols) by its own mean and (biased) variance. stats
 * (rows,2) keeps mean and 1 / sqrt(variance + epsilon). Source: Ba et al. 2016, arXiv 1607.06450.
 */
export function layerNormForward(
  x: usize, gamma: usize, beta: usize, y: usize, stats: usize, rows: i32, cols: i32, epsilon: f32,
): void {
  const full = cols & ~3;
  const rest = cols & 3;
  for (let i = 0; i < rows; i++, x += at(cols), y += at(cols), stats += 8) {
    let s = splat(0);
    for (let j = 0; j < full; j += 4) s = f32x4.add(s, v128.load(x + at(j)));
    if (rest) s = f32x4.add(s, ld(x + at(full), rest));
    const mean = sum4(s) / <f32>cols;
    const m = splat(mean);
    s = splat(0);
    for (let j = 0; j < full; j += 4) {
      const d = f32x4.sub(v128.load(x + at(j)), m);
      s = madd(d, d, s);
    }
    let squares = sum4(s);
    for (let j = full; j < cols; j++) squares += (load<f32>(x + at(j)) - mean) * (load<f32>(x + at(j)) - mean);
    const inverse = <f32>1 / sqrt<f32>(squares / <f32>cols + epsilon);
    store<f32>(stats, mean);
    store<f32>(stats, inverse, 4);
    const scale = splat(inverse);
    for (let j = 0; j < full; j += 4) st(y + at(j), normalized(x, gamma, beta, j, 4, m, scale), 4);
    if (rest) st(y + at(full), normalized(x, gamma, beta, full, rest, m, scale), rest);
  }
}

// @ts-ignore: decorator
@inline
function normalized(x: usize, gamma: usize, beta: usize, j: i32, n: i32, mean: v128, scale: v128): v128 {
  let v = f32x4.mul(f32x4.sub(ld(x + at(j), n), mean), scale);
  if (gamma) v = f32x4.mul(v, ld(gamma + at(j), n));
  return beta ? f32x4.add(v, ld(beta + at(j), n)) : v;
}

/**
 * dgamma, dbeta (or 0) += ; dx (or 0) = . With h = (x - mean) inverse and g = dy gamma, dx = inverse (g - mean(g) - h mean(g h)).
 */
export function layerNormBackward(
  x: usize, gamma: usize, stats: usize, dy: usize, dx: usize, dgamma: usize, dbeta: usize, rows: i32, cols: i32,
): void {
  const full = cols & ~3;
  const rest = cols & 3;
  for (let i = 0; i < rows; i++, x += at(cols), dy += at(cols), stats += 8) {
    const mean = v128.load_splat<f32>(stats);
    const inverse = v128.load_splat<f32>(stats, 4);
    let sg = splat(0);
    let sgh = splat(0);
    for (let j = 0; j < full; j += 4) {
      const d = v128.load(dy + at(j));
      const dh = f32x4.mul(d, f32x4.mul(f32x4.sub(v128.load(x + at(j)), mean), inverse));
      addParts(dgamma, dbeta, j, 4, d, dh);
      sg = f32x4.add(sg, scaled(d, gamma, j, 4));
      sgh = f32x4.add(sgh, scaled(dh, gamma, j, 4));
    }
    if (rest) {
      const d = ld(dy + at(full), rest); // zero past the end, and so is all that it is a factor of
      const dh = f32x4.mul(d, f32x4.mul(f32x4.sub(ld(x + at(full), rest), mean), inverse));
      addParts(dgamma, dbeta, full, rest, d, dh);
      sg = f32x4.add(sg, scaled(d, gamma, full, rest));
      sgh = f32x4.add(sgh, scaled(dh, gamma, full, rest));
    }
    if (dx == 0) continue;
    // inverse (g - mean(g) - h mean(g h)) as g inverse - (x - mean) p - q
    const by = splat(1 / <f32>cols);
    const q = f32x4.mul(f32x4.mul(splat(sum4(sg)), by), inverse);
    const p = f32x4.mul(f32x4.mul(f32x4.mul(splat(sum4(sgh)), by), inverse), inverse);
    for (let j = 0; j < full; j += 4) {
      const g = f32x4.sub(f32x4.mul(scaled(v128.load(dy + at(j)), gamma, j, 4), inverse), q);
      v128.store(dx + at(j), f32x4.sub(g, f32x4.mul(f32x4.sub(v128.load(x + at(j)), mean), p)));
    }
    if (rest) {
      const g = f32x4.sub(f32x4.mul(scaled(ld(dy + at(full), rest), gamma, full, rest), inverse), q);
      st(dx + at(full), f32x4.sub(g, f32x4.mul(f32x4.sub(ld(x + at(full), rest), mean), p)), rest);
    }
    dx += at(cols);
  }
}

// @ts-ignore: decorator
@inline
function addParts(dgamma: usize, dbeta: usize, j: i32, n: i32, d: v128, dh: v128): void {
  if (dgamma) st(dgamma + at(j), f32x4.add(ld(dgamma + at(j), n), dh), n);
  if (dbeta) st(dbeta + at(j), f32x4.add(ld(dbeta + at(j), n), d), n);
}

// @ts-ignore: decorator
@inline
function scaled(v: v128, gamma: usize, j: i32, n: i32): v128 {
  return gamma ? f32x4.mul(v, ld(gamma + at(j), n)) : v;
}

const ROWS: i32 = 64; // summed by themselves before they go to the total: rounding grows with the rows of one sum

/** Mean and biased variance (cols) of the columns of x (rows,cols). */
export function columnMoments(x: usize, rows: i32, cols: i32, mean: usize, variance: usize): void {
  memory.fill(mean, 0, at(cols));
  memory.fill(variance, 0, at(cols));
  for (let i = 0; i < rows; i += ROWS) columnSums(x + at(i * cols), cols, min(ROWS, rows - i), cols, mean);
  divide(mean, cols, <f32>rows);
  for (let i = 0; i < rows; i += ROWS) {
    const m = min(ROWS, rows - i);
    for (let j = 0; j < cols; j += 4) {
      const n = min(4, cols - j);
      const center = ld(mean + at(j), n);
      let s = splat(0);
      let p = x + at(i * cols + j);
      for (let r = 0; r < m; r++, p += at(cols)) {
        const d = f32x4.sub(ld(p, n), center);
        s = madd(d, d, s);
      }
      st(variance + at(j), f32x4.add(ld(variance + at(j), n), s), n);
    }
  }
  divide(variance, cols, <f32>rows);
}

function divide(p: usize, n: i32, by: f32): void {
  for (let j = 0; j < n; j++) store<f32>(p + at(j), load<f32>(p + at(j)) / by);
}

/**
 * y = (x - mean) inverse gamma + beta by columns; sets inverse (cols) = 1 / sqrt(variance + epsilon).
 * Source: Ioffe & Szegedy 2015, arXiv 1502.03167.
 */
export function batchNormForward(
  x: usize, gamma: usize, beta: usize, mean: usize, variance: usize, inverse: usize, y: usize,
  rows: i32, cols: i32, epsilon: f32,
): void {
  for (let j = 0; j < cols; j++) {
    const root = sqrt<f32>(load<f32>(variance + at(j)) + epsilon);
    store<f32>(inverse + at(j), <f32>1 / root);
  }
  const full = cols & ~3;
  const rest = cols & 3;
  for (let i = 0; i < rows; i++, x += at(cols), y += at(cols)) {
    for (let j = 0; j < full; j += 4) {
      st(y + at(j), normalized(x, gamma, beta, j, 4, v128.load(mean + at(j)), v128.load(inverse + at(j))), 4);
    }
    if (rest) {
      const scale = ld(inverse + at(full), rest);
      st(y + at(full), normalized(x, gamma, beta, full, rest, ld(mean + at(full), rest), scale), rest);
    }
  }
}

/**
 * dgamma, dbeta (or 0) += ; dx (or 0) = . With h = (x - mean) inverse: dx = gamma inverse (dy - mean(dy) - h mean(dy h)) where mean and
 * variance were the batch's own, gamma inverse dy where they were `fixed`. sums: scratch (2,cols).
 */
export function batchNormBackward(
  x: usize, gamma: usize, mean: usize, inverse: usize, dy: usize, dx: usize, dgamma: usize, dbeta: usize,
  sums: usize, rows: i32, cols: i32, fixed: bool,
): void {
  const products = sums + at(cols);
  memory.fill(sums, 0, at(2 * cols));
  for (let i = 0; i < rows; i += ROWS) {
    const m = min(ROWS, rows - i);
    columnSums(dy + at(i * cols), cols, m, cols, sums);
    for (let j = 0; j < cols; j += 4) {
      const n = min(4, cols - j);
      const center = ld(mean + at(j), n);
      const scale = ld(inverse + at(j), n);
      let s = splat(0);
      let p = x + at(i * cols + j);
      let d = dy + at(i * cols + j);
      for (let r = 0; r < m; r++, p += at(cols), d += at(cols))
        s = madd(ld(d, n), f32x4.mul(f32x4.sub(ld(p, n), center), scale), s);
      st(products + at(j), f32x4.add(ld(products + at(j), n), s), n);
    }
  }
  for (let j = 0; j < cols; j++) {
    if (dbeta) store<f32>(dbeta + at(j), load<f32>(dbeta + at(j)) + load<f32>(sums + at(j)));
    if (dgamma) store<f32>(dgamma + at(j), load<f32>(dgamma + at(j)) + load<f32>(products + at(j)));
  }
  if (dx == 0) return;
  if (fixed) memory.fill(sums, 0, at(2 * cols));
  else divide(sums, 2 * cols, <f32>rows);
  const full = cols & ~3;
  const rest = cols & 3;
  for (let i = 0; i < rows; i++, x += at(cols), dy += at(cols), dx += at(cols)) {
    for (let j = 0; j < full; j += 4) st(dx + at(j), pulled(x, gamma, mean, inverse, dy, sums, products, j, 4), 4);
    if (rest) st(dx + at(full), pulled(x, gamma, mean, inverse, dy, sums, products, full, rest), rest);
  }
}

/** gamma inverse (dy - s - h p) of `n` columns from j on. */
// @ts-ignore: decorator
@inline
function pulled(
  x: usize, gamma: usize, mean: usize, inverse: usize, dy: usize, s: usize, p: usize, j: i32, n: i32,
): v128 {
  const scale = ld(inverse + at(j), n);
  const h = f32x4.mul(f32x4.sub(ld(x + at(j), n), ld(mean + at(j), n)), scale);
  const pull = madd(h, ld(p + at(j), n), ld(s + at(j), n));
  return scaled(f32x4.mul(f32x4.sub(ld(dy + at(j), n), pull), scale), gamma, j, n);
}

/** average (n) moves to value by the part 1 - momentum. */
export function movingAverage(average: usize, value: usize, n: i32, momentum: f32): void {
  for (let j = 0; j < n; j++) {
    const old = load<f32>(average + at(j));
    store<f32>(average + at(j), old - (old - load<f32>(value + at(j))) * (1 - momentum));
  }
}
