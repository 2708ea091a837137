import type { EstimatorOptions, ResidualStream } from "./kind.ts";
import { floors } from "./stream-scorer.ts";
import type { Sums } from "./sums.ts";

/** What the plain tests know of each channel's past. */
export interface History {
  /** (channels) each, in z-scores of the scaler; sigma with a floor, as a channel that never moved has none. */
  readonly mean: Float64Array;
  readonly sigma: Float64Array;
}

/** Kinds that judge every channel by itself against the mean and variance of its past: sums of (1, z, z^2). */
export function historySums(
  { channels }: EstimatorOptions,
  stream: (history: History) => ResidualStream,
): Sums<History> {
  const size = 1 + 2 * channels;
  return {
    layout: [{ name: "moments", shape: [size] }],
    prior: Float32Array.from({ length: size }, (_, k) => (k === 0 || k > channels ? 1 : 0)),
    residuals: channels,
    before: 0,
    add(rows, sums) {
      for (let at = 0; at < rows.length; at += channels) {
        sums[0]! += 1;
        for (let c = 0; c < channels; c++) {
          const z = rows[at + c]!;
          sums[1 + c]! += z;
          sums[1 + channels + c]! += z * z;
        }
      }
    },
    solve(means) {
      const mean = means.slice(1, 1 + channels);
      const sigma = mean.map((m, c) =>
        Math.max(floors.residual, Math.sqrt(Math.max(0, means[1 + channels + c]! - m * m))),
      );
      return { mean, sigma };
    },
    // The Gaussian's negative log-likelihood per channel, but for a constant.
    loss({ mean, sigma }, values, at) {
      let sum = 0;
      for (let c = 0; c < channels; c++)
        sum += ((values[at + c]! - mean[c]!) / sigma[c]!) ** 2 / 2 + Math.log(sigma[c]!);
      return sum / channels;
    },
    likelihood: true,
    stream,
  };
}

export const historyTerms =
  "mean over rows of 1, of every channel's z-score, of every channel's squared z-score";
