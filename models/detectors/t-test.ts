import { historySums, historyTerms } from "./history.ts";
import type { DetectorKind } from "./kind.ts";
import { floors } from "./stream-scorer.ts";
import { openBySums, sumsBlueprint } from "./sums.ts";
import { windowStream } from "./window-test.ts";

export const tTest: DetectorKind = {
  title: "t-test of a window's mean against the history, channel by channel",
  about:
    "As z-test, but the mean is measured by the scatter within its own window: a channel that is noisier than usual needs a larger shift, one that stands still off its mean shows at once. The history is long, so its mean counts as known (one-sample test); t becomes the z of the same probability, by Wallace's formula, so that short windows do not alarm by their heavy tails. Federates exactly, in one round. Divided by its usual size on held-back data, as rows of sensors are not independent. Student 1908, Biometrika 6(1); Wallace 1959, Annals of Mathematical Statistics 30(4).",
  input: "series",
  learns: "by sums",
  scaling: "channels",
  normalized: true,
  hyperparameters: {
    rows: {
      default: 16,
      least: 3,
      most: 128,
      about: "rows of the window",
      source: "chosen: half a training window; below about ten the window's own variance is mostly luck",
      search: [10, 16, 32],
    },
  },
  blueprint: (options) => sumsBlueprint(options, historyTerms),
  async open(options) {
    const { channels, tuned } = options;
    return openBySums(
      options,
      historySums(options, ({ mean, sigma }) =>
        windowStream(channels, tuned.rows!, (c, count, average, variance) => {
          // A window that stands still has no scatter of its own.
          const scatter = Math.max(floors.residual * sigma[c]!, Math.sqrt(variance));
          return normalOfT(((average - mean[c]!) / scatter) * Math.sqrt(count), count - 1);
        }),
      ),
    );
  },
};

/**
 * The z that a normal variable passes as rarely as t with so many degrees of freedom passes t: within 0.02 at 5 % and 0.07 at 0.1 % from three degrees on. NaN for
 * none. Source: Wallace 1959, Annals of Mathematical Statistics 30(4), the simple approximation.
 */
export function normalOfT(t: number, freedom: number): number {
  if (!(freedom > 0)) return Number.NaN;
  const z = ((8 * freedom + 1) / (8 * freedom + 3)) * Math.sqrt(freedom * Math.log1p((t * t) / freedom));
  return t < 0 ? -z : z;
}
