import { createRandom } from "../engine/random.ts";
import type { Estimator, EstimatorOptions, ScaledPart } from "./kind.ts";
import { withLinearPart } from "./linear-part.ts";
import { compileNetwork, fitNetwork, meanLoss } from "./network.ts";
import { LINEAR_LAYER } from "./topology.ts";
import { rowsOf, windowSamples } from "./window-samples.ts";
import { hideRow, windowStream } from "./window-stream.ts";

/** Stream of the seed that says which rows are hidden. */
const HIDING_STREAM = 2 ** 21;

/**
 * A network that fills in what is hidden: x: (batch, window, channels + 1), the last channel 1 where a row is hidden and has the values of the row before it, -> y: (batch,
 * window, channels). Only hidden rows count in the loss. While training the newest row and a share (`hidden`) of the others are hidden; to judge a row, that
 * row alone.
 */
export async function openMaskedReconstruction(options: EstimatorOptions): Promise<Estimator> {
  const { channels, spec, tuned } = options;
  const model = await compileNetwork(options, channels + 1);
  const { window, stride } = spec;
  const windows = (parts: readonly ScaledPart[], stride: number, hides: (row: number) => boolean) =>
    windowSamples(parts, {
      rows: window,
      stride,
      write(part, first, { x, y }) {
        for (let i = 0; i < window; i++) {
          const row = rowsOf(part, first + i, 1);
          const at = i * (channels + 1);
          const target = y.subarray(i * channels, (i + 1) * channels);
          if (i === window - 1 || hides(i)) {
            hideRow(x, at, channels);
            target.set(row);
          } else {
            x.set(row, at);
            x[at + channels] = 0;
            target.fill(Number.NaN);
          }
        }
      },
    });
  const newest = () => false;
  const network: Estimator = {
    layout: model.layout,
    weights: () => model.weights(),
    setWeights: (flat) => model.setWeights(flat),
    samples: (parts) => windows(parts, stride, newest).count,
    train(parts, options) {
      const random = createRandom(options.seed, HIDING_STREAM);
      return fitNetwork(
        model,
        windows(parts, stride, () => random.uniform() < tuned.hidden!),
        options,
        { freeze: [LINEAR_LAYER] },
      );
    },
    loss: (parts) => meanLoss(model, windows(parts, window, newest)),
    residuals: channels,
    stream: () => windowStream({ model, window, channels, sees: "place", at: (window - 1) * channels }),
    dispose: () => model.dispose(),
  };
  return withLinearPart(network, { ...options, model });
}
