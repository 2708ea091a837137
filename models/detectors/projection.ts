import type { EstimatorOptions, Hyperparameter, ResidualStream } from "./kind.ts";
import { meanAndCovariance, products } from "./products.ts";
import type { Sums } from "./sums.ts";

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

/** A row's residuals are map (row - mu), one a channel. */
export interface Projection {
  /** (channels). */
  readonly mu: Float64Array;
  /** (channels, channels), row-major. */
  readonly map: Float64Array;
  /** The Gaussian's negative log-likelihood per channel, but for a constant, is half the mean squared residual over `unit` plus `offset`: models are compared by it. */
  readonly unit: number;
  readonly offset: number;
}

/** Kinds that look at one row at a time, through a matrix that they make of its covariance. */
export function projectionSums(
  { channels }: EstimatorOptions,
  mapOf: (covariance: Float64Array) => Omit<Projection, "mu">,
): Sums<Projection> {
  const sums = products(channels, 0);
  const residual = new Float32Array(channels);
  return {
    layout: sums.layout,
    prior: sums.prior,
    residuals: channels,
    before: 0,
    add: sums.add,
    solve(means) {
      const { mu, covariance } = meanAndCovariance(sums, means);
      return { mu, ...mapOf(covariance) };
    },
    loss(learned, values, at) {
      project(learned, values.subarray(at, at + channels), residual);
      let sum = 0;
      for (let c = 0; c < channels; c++) sum += residual[c]! ** 2;
      return sum / channels / 2 / learned.unit + learned.offset;
    },
    stream: (learned) => projectionStream(learned),
  };
}

function project({ mu, map }: Projection, row: Float32Array, out: Float32Array): void {
  const n = mu.length;
  for (let i = 0; i < n; i++) {
    let sum = 0;
    for (let j = 0; j < n; j++) sum += map[i * n + j]! * (row[j]! - mu[j]!);
    out[i] = sum;
  }
}

/** Missing values have been filled with the last ones, so that the others can be judged; they themselves have no residual. */
function projectionStream(learned: Projection): ResidualStream {
  const residual = new Float32Array(learned.mu.length);
  const none = new Float32Array(0);
  return {
    stateSize: 0,
    push(row, target) {
      project(learned, row, residual);
      for (let c = 0; c < residual.length; c++) if (Number.isNaN(target[c]!)) residual[c] = Number.NaN;
      return residual;
    },
    state: () => none,
    restore() {},
    reset() {},
    dispose() {},
  };
}
