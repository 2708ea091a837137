import type { Model } from "../engine/compile.ts";
import type { Change } from "./augment/change.ts";
import { changeFor } from "./augmentation.ts";
import type { Estimator, EstimatorOptions, ScaledPart } from "./kind.ts";
import { compileNetwork, fitNetwork, meanLoss } from "./network.ts";
import { windowSamples } from "./window-samples.ts";
import { windowStream } from "./window-stream.ts";

export interface Reconstruction {
  /** Rows from one training window's start to the next. */
  readonly stride: number;
  /** true: the network gives the window's rows last one first. */
  readonly reversed?: boolean;
}

/** An autoencoder of a version. More at `reconstruction`. */
export async function openReconstruction(
  options: EstimatorOptions,
  { reversed = false }: { readonly reversed?: boolean } = {},
): Promise<Estimator> {
  return reconstruction(await compileNetwork(options), { stride: options.spec.stride, reversed });
}

/**
 * A network that gives back what it was given through something too narrow for all of it: x: (batch, window, channels) -> y: the same shape, or, for rows
 * that stand for themselves, (batch, channels) -> (batch, channels). A row's residual is that of the window that ends with it.
 */
export function reconstruction(model: Model, { stride, reversed = false }: Reconstruction): Estimator {
  const channels = model.inputShape.at(-1)!;
  const window = model.inputShape.length === 1 ? 1 : model.inputShape[0]!;
  const windows = (parts: readonly ScaledPart[], stride: number, change?: Change) =>
    windowSamples(parts, {
      rows: window,
      stride,
      change,
      write({ seen, wanted }, { x, y }) {
        x.set(seen);
        for (let i = 0; i < window; i++) {
          const row = reversed ? window - 1 - i : i;
          y.set(wanted.subarray(row * channels, (row + 1) * channels), i * channels);
        }
      },
    });
  // Single rows are far cheaper than windows, and neighbours tell no more of each other than strangers do.
  const between = window === 1 ? 1 : stride;
  const at = reversed ? 0 : (window - 1) * channels;
  return {
    layout: model.layout,
    weights: () => model.weights(),
    setWeights: (flat) => model.setWeights(flat),
    samples: (parts) => windows(parts, between).count,
    async train(parts, options) {
      const pretext = options.training.pretext === "masked";
      const change = await changeFor(options, { rows: window, channels, pretext });
      return fitNetwork(model, windows(parts, between, change), options);
    },
    loss: (parts) => meanLoss(model, windows(parts, window)),
    residuals: channels,
    stream: () => windowStream({ model, window, channels, sees: "row", at }),
    dispose: () => model.dispose(),
  };
}
