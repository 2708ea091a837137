import type { EstimatorOptions, Hyperparameter, ResidualStream } from "./kind.ts";
import { meanAndCovariance, products } from "./products.ts";
import type { Sums } from "./sums.ts";
import { type Eigen, fromEigen } from "./symmetric-eigen.ts";

/** The hyperparameter that such kinds share. */
export const normalized: Hyperparameter = {
  default: 1,
  least: 0,
  most: 1,
  about:
    "1: each channel's residual is divided by its usual size on held-back data, as a fleet's covariance, or last month's, is not quite this device's; 0: the plain statistic",
  source: "1 is the rule for every residual here; on data that drifts (jumpstarter2) 0 loses 0.1 AUROC",
  search: [0, 1],
};

/** A row's residuals are a symmetric matrix times (row - mu), one a channel. */
export interface Projection {
  /** (channels). */
  readonly mu: Float64Array;
  readonly matrix: Matrix;
  /** The Gaussian's negative log-likelihood per channel, but for a constant, is half the mean squared residual over `unit` plus `offset`: models are compared by it. */
  readonly unit: number;
  readonly offset: number;
}

type Matrix =
  /** (channels, channels), row-major. */
  | { readonly kind: "full"; readonly map: Float64Array }
  /** 1 + sum over k of changes[k] v_k v_k': a few directions change their size and the others stay as they are. vectors: (changes, channels). */
  | { readonly kind: "few"; readonly vectors: Float64Array; readonly changes: Float64Array };

/** What a kind makes of its covariance: how the length along each eigenvector changes. */
export interface Sizes {
  readonly eigen: Eigen;
  readonly size: (k: number) => number;
  readonly unit: number;
  readonly offset: number;
}

function matrixOf({ eigen, size }: Sizes): Matrix {
  const n = eigen.values.length;
  const changed = Array.from({ length: n }, (_, k) => k).filter((k) => size(k) !== 1);
  // Two products of (changes, channels) for one of (channels, channels).
  if (2 * changed.length >= n) return { kind: "full", map: fromEigen(eigen, size) };
  const vectors = new Float64Array(changed.length * n);
  changed.forEach((k, i) => {
    vectors.set(eigen.vectors.subarray(k * n, (k + 1) * n), i * n);
  });
  return { kind: "few", vectors, changes: Float64Array.from(changed, (k) => size(k) - 1) };
}

/** Kinds that look at one row at a time, through a matrix that they make of its covariance. */
export function projectionSums(
  { channels }: EstimatorOptions,
  sizesOf: (covariance: Float64Array) => Sizes,
): Sums<Projection> {
  const sums = products(channels, 0);
  const residual = new Float32Array(channels);
  const off = new Float64Array(channels);
  return {
    layout: sums.layout,
    prior: sums.prior,
    residuals: channels,
    before: 0,
    add: sums.add,
    solve(means) {
      const { mu, covariance } = meanAndCovariance(sums, means);
      const sizes = sizesOf(covariance);
      return { mu, matrix: matrixOf(sizes), unit: sizes.unit, offset: sizes.offset };
    },
    loss(learned, values, at) {
      project(learned, values.subarray(at, at + channels), { off, out: residual });
      let sum = 0;
      for (let c = 0; c < channels; c++) sum += residual[c]! ** 2;
      return sum / channels / 2 / learned.unit + learned.offset;
    },
    stream: (learned) => projectionStream(learned),
  };
}

/** off: (channels), scratch. */
function project(
  { mu, matrix }: Projection,
  row: Float32Array,
  { off, out }: { readonly off: Float64Array; readonly out: Float32Array },
): void {
  const n = mu.length;
  for (let c = 0; c < n; c++) off[c] = row[c]! - mu[c]!;
  if (matrix.kind === "full") {
    for (let i = 0; i < n; i++) out[i] = dot(matrix.map, i * n, off);
    return;
  }
  const { vectors, changes } = matrix;
  // One direction after the other is all at once, as they are orthogonal.
  for (let k = 0; k < changes.length; k++) {
    const times = changes[k]! * dot(vectors, k * n, off);
    for (let c = 0, at = k * n; c < n; c++, at++) off[c]! += times * vectors[at]!;
  }
  out.set(off);
}

/** Four sums, which a processor adds at the same time. */
function dot(a: Float64Array, from: number, b: Float64Array): number {
  const n = b.length;
  let [w, x, y, z] = [0, 0, 0, 0];
  let i = 0;
  for (let at = from; i + 3 < n; i += 4, at += 4) {
    w += a[at]! * b[i]!;
    x += a[at + 1]! * b[i + 1]!;
    y += a[at + 2]! * b[i + 2]!;
    z += a[at + 3]! * b[i + 3]!;
  }
  for (; i < n; i++) w += a[from + i]! * b[i]!;
  return w + x + (y + z);
}

/** Missing values have been filled with the last ones, so that the others can be judged; they themselves have no residual. */
function projectionStream(learned: Projection): ResidualStream {
  const residual = new Float32Array(learned.mu.length);
  const scratch = { off: new Float64Array(learned.mu.length), out: residual };
  const none = new Float32Array(0);
  return {
    stateSize: 0,
    push(row, target) {
      project(learned, row, scratch);
      for (let c = 0; c < residual.length; c++) if (Number.isNaN(target[c]!)) residual[c] = Number.NaN;
      return residual;
    },
    state: () => none,
    restore() {},
    reset() {},
    dispose() {},
  };
}
