import { FleetError } from "../../protocol/errors.ts";
import type { Layout } from "../../protocol/frame.ts";

/**
 * The mean of v v' over samples, v = (1, x): sizes, means and products of every pair, as the upper triangle row by row. Means of x are the first row, its
 * covariance is what the means leave of the rest. (n + 1)(n + 2) / 2 numbers for n entries of x.
 */
export interface Products {
  /** Entries of v. */
  readonly size: number;
  readonly layout: Layout;
  /** Of independent entries with mean 0 and variance 1. */
  readonly prior: Float32Array;
  /** v (size) is added to sums, at the latest by `flush`: a few at a time, which takes a third of the time that one by one does. */
  add(v: Float64Array, sums: Float64Array): void;
  flush(sums: Float64Array): void;
  /** The mean of v[i] v[j]. */
  mean(means: Float64Array, i: number, j: number): number;
}

/** The most that one tensor of a weight frame may have (protocol/frame.ts). */
const MOST = 2 ** 20;

const BLOCK = 4;

/** Throws BAD_INPUT where the triangle would not fit into a weight frame. entries: of x. */
export function products(entries: number): Products {
  const size = entries + 1;
  const length = (size * (size + 1)) / 2;
  if (length > MOST) {
    throw new FleetError(
      "BAD_INPUT",
      `the products of ${entries} values are ${length} numbers, more than the ${MOST} of a version; take fewer channels or lags`,
    );
  }
  const place = (i: number, j: number) => i * size - (i * (i - 1)) / 2 + j - i;
  const prior = new Float32Array(length);
  for (let i = 0; i < size; i++) prior[place(i, i)] = 1;
  const block = Array.from({ length: BLOCK }, () => new Float64Array(size));
  let waiting = 0;
  const flush = (sums: Float64Array) => {
    const [a, b, c, d] = block as [Float64Array, Float64Array, Float64Array, Float64Array];
    for (let row = waiting; row < BLOCK; row++) block[row]!.fill(0);
    waiting = 0;
    for (let i = 0, k = 0; i < size; i++) {
      const [ai, bi, ci, di] = [a[i]!, b[i]!, c[i]!, d[i]!];
      // Constant channels are zeros after scaling.
      if (ai === 0 && bi === 0 && ci === 0 && di === 0) k += size - i;
      else
        for (let j = i; j < size; j++, k++) sums[k]! += ai * a[j]! + bi * b[j]! + (ci * c[j]! + di * d[j]!);
    }
  };
  return {
    size,
    layout: [{ name: "products", shape: [length] }],
    prior,
    add(v, sums) {
      block[waiting++]!.set(v);
      if (waiting === BLOCK) flush(sums);
    },
    flush,
    mean: (means, i, j) => means[i <= j ? place(i, j) : place(j, i)]!,
  };
}

/** Mean (n) and covariance (n, n) of x, from the means of v v'. */
export function meanAndCovariance({ size, mean }: Products, means: Float64Array) {
  const n = size - 1;
  const mu = Float64Array.from({ length: n }, (_, c) => mean(means, 0, c + 1));
  const covariance = new Float64Array(n * n);
  for (let i = 0; i < n; i++) {
    for (let j = 0; j < n; j++) covariance[i * n + j] = mean(means, i + 1, j + 1) - mu[i]! * mu[j]!;
  }
  return { mu, covariance };
}
