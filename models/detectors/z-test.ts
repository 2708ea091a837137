import { historySums, historyTerms } from "./history.ts";
import type { DetectorKind } from "./kind.ts";
import { openBySums, sumsBlueprint } from "./sums.ts";
import { windowStream } from "./window-test.ts";

export const zTest: DetectorKind = {
  title: "z-test of the mean of the last rows against the history, channel by channel",
  about:
    "The plainest of all: how many standard errors the mean of a few rows is off the channel's mean. With rows = 1 the norm of the z-scores, the least that any other kind has to beat. Federates exactly, in one round. Rows of sensors are not independent, as the test supposes, so its values are divided by their usual size on held-back data as well. Neyman and Pearson 1933; any textbook.",
  input: "series",
  learns: "by sums",
  scaling: "channels",
  normalized: true,
  hyperparameters: {
    rows: {
      default: 10,
      least: 1,
      most: 128,
      about: "rows of the window whose mean is tested; 1: every row by itself",
      source: "as the moving average of the reference table of the data sets",
      search: [1, 5, 10, 30],
    },
  },
  blueprint: (options) => sumsBlueprint(options, historyTerms),
  async open(options) {
    const { channels, tuned } = options;
    return openBySums(
      options,
      historySums(options, ({ mean, sigma }) =>
        windowStream(
          channels,
          tuned.rows!,
          (c, count, average) => ((average - mean[c]!) / sigma[c]!) * Math.sqrt(count),
        ),
      ),
    );
  },
};
