import { type History, historySums, historyTerms } from "./history.ts";
import type { DetectorKind, ResidualStream } from "./kind.ts";
import { openBySums, sumsBlueprint } from "./sums.ts";

export const ewmaZ: DetectorKind = {
  title: "z-score of every channel's exponential average",
  about:
    "A control chart for every channel: small shifts that last show, single spikes hardly. Knows no relation between channels, so it says plainly which one moved. Federates exactly, in one round. The chart's sigma holds for independent rows; rows of sensors are not, so the z-scores are divided by their usual size on held-back data as well. Roberts 1959, Technometrics 1(3).",
  input: "series",
  learns: "by sums",
  scaling: "channels",
  normalized: true,
  hyperparameters: {
    rows: {
      default: 10,
      least: 1,
      most: 1000,
      about: "time constant of the average; every new row counts 1/rows",
      source: "Lucas and Saccucci 1990, Technometrics 32(1): weights of 0.05 to 0.25 for small shifts",
      search: [4, 10, 20],
    },
  },
  blueprint: (options) => sumsBlueprint(options, historyTerms),
  async open(options) {
    return openBySums(
      options,
      historySums(options, (history) => averageStream(history, options.tuned.rows!)),
    );
  },
};

/** The average starts at the history's mean, as a chart does, and a missing value leaves it where it was. */
function averageStream({ mean, sigma }: History, rows: number): ResidualStream {
  const rate = 1 / rows;
  // The variance that such an average of independent rows comes to: Roberts 1959.
  const shrink = Math.sqrt(rate / (2 - rate));
  const average = Float32Array.from(mean);
  const residual = new Float32Array(mean.length);
  return {
    stateSize: mean.length,
    push(_row, target) {
      for (let c = 0; c < residual.length; c++) {
        const z = target[c]!;
        if (!Number.isNaN(z)) average[c]! += rate * (z - average[c]!);
        residual[c] = Number.isNaN(z) ? Number.NaN : (average[c]! - mean[c]!) / (shrink * sigma[c]!);
      }
      return residual;
    },
    state: () => average.slice(),
    restore: (state) => average.set(state),
    reset: () => average.set(mean),
    dispose() {},
  };
}
