import { createRandom, type Random } from "../engine/random.ts";
import { changeFor } from "./augmentation.ts";
import type { Estimator, EstimatorOptions, ScaledPart } from "./kind.ts";
import { withLinearPart } from "./linear-part.ts";
import { compileNetwork, fitNetwork, meanLoss } from "./network.ts";
import { LINEAR_LAYER } from "./topology.ts";
import { type WindowSamples, windowSamples } from "./window-samples.ts";
import { hideRow, windowStream } from "./window-stream.ts";

/** Stream of the seed that says which rows are hidden. */
const HIDING_STREAM = 2 ** 21;

/**
 * A network that fills in what is hidden: x: (batch, window, channels + 1), the last channel 1 where a row is hidden and has the values of the row before it, -> y: (batch,
 * window, channels). Only hidden rows count in the loss. While training the newest row and a share (`hidden`) of the others are hidden; to judge a row, that
 * row alone. Pretraining hides stretches of rows.
 */
export async function openMaskedReconstruction(options: EstimatorOptions): Promise<Estimator> {
  const { channels, spec, tuned } = options;
  const model = await compileNetwork(options, channels + 1);
  const { window, stride } = spec;
  const windows = (
    parts: readonly ScaledPart[],
    { hides, ...how }: Pick<WindowSamples, "stride" | "change"> & { hides(row: number): boolean },
  ) =>
    windowSamples(parts, {
      rows: window,
      ...how,
      write({ seen, wanted }, { x, y }) {
        for (let i = 0; i < window; i++) {
          const at = i * (channels + 1);
          const target = y.subarray(i * channels, (i + 1) * channels);
          if (hides(i)) {
            hideRow(x, at, channels);
            target.set(wanted.subarray(i * channels, (i + 1) * channels));
          } else {
            x.set(seen.subarray(i * channels, (i + 1) * channels), at);
            x[at + channels] = 0;
            target.fill(Number.NaN);
          }
        }
      },
    });
  const isNewest = (row: number) => row === window - 1;
  const network: Estimator = {
    layout: model.layout,
    weights: () => model.weights(),
    setWeights: (flat) => model.setWeights(flat),
    samples: (parts) => windows(parts, { stride, hides: isNewest }).count,
    async train(parts, options) {
      const random = createRandom(options.seed, HIDING_STREAM);
      const change = await changeFor(options, { rows: window, channels, forecasts: true });
      const hides =
        options.training.pretext === "masked"
          ? stretches(random)
          : (row: number) => isNewest(row) || random.uniform() < tuned.hidden!;
      return fitNetwork(model, windows(parts, { stride, hides, change }), options, {
        freeze: [LINEAR_LAYER],
      });
    },
    loss: (parts) => meanLoss(model, windows(parts, { stride: window, hides: isNewest })),
    residuals: channels,
    stream: () => windowStream({ model, window, channels, sees: "place", at: (window - 1) * channels }),
    dispose: () => model.dispose(),
  };
  return withLinearPart(network, { ...options, model });
}

/**
 * Of pretraining: stretches of rows wherever they fall, the newest row no more than others. Source: Zerveas et al. 2021, arXiv 2010.02803, section 3.2, r = 0.15 and
 * l_m = 3, with whole rows hidden.
 */
function stretches(random: Random): (row: number) => boolean {
  const [share, length] = [0.15, 3];
  let hides = false;
  return (row) => {
    const drawn = random.uniform();
    if (row === 0) hides = drawn < share;
    else hides = hides ? drawn >= 1 / length : drawn < share / (1 - share) / length;
    return hides;
  };
}
