import { FleetError } from "../../protocol/errors.ts";
import type { Model } from "../engine/compile.ts";
import type { Change } from "./augment/change.ts";
import { seriesAugments } from "./augment/names.ts";
import { changeFor } from "./augmentation.ts";
import { forecaster } from "./forecaster.ts";
import type { DetectorKind, Estimator, EstimatorOptions, ScaledPart } from "./kind.ts";
import { compileNetwork, fitNetwork, meanLoss } from "./network.ts";
import { reconstruction } from "./reconstruction.ts";
import { windowSamples } from "./window-samples.ts";
import { windowStream } from "./window-stream.ts";

export const layersModel: DetectorKind = {
  title: "your own network: a LayersModel topology, as tfjs' and Keras' toJSON write it",
  about:
    "The task's topology is the network; its shapes say what it is. (window, channels) to the same shape: a forecaster of each next row where it is causal and can go row by row, else an autoencoder. (window, channels) to (channels): a forecaster of the row after the window. (channels) to (channels): an autoencoder of records. The loss is the mean squared error.",
  input: "series",
  learns: "by gradients",
  scaling: "channels",
  normalized: true,
  augments: seriesAugments,
  pretexts: ["masked"],
  hyperparameters: {
    reconstructs: {
      default: 0,
      least: 0,
      most: 1,
      about: "1: a causal network is an autoencoder too, and no forecaster",
      source: "a network's shapes do not tell",
    },
  },
  blueprint({ spec }) {
    try {
      return JSON.parse(spec.topology!);
    } catch (cause) {
      throw new FleetError(
        "BAD_INPUT",
        "the topology is no JSON; give what toJSON of a tfjs or Keras model writes",
        { cause },
      );
    }
  },
  async open(options) {
    const model = await compileNetwork(options);
    try {
      return estimatorOf(model, options);
    } catch (error) {
      model.dispose();
      throw error;
    }
  },
};

function estimatorOf(model: Model, { spec, channels, tuned }: EstimatorOptions): Estimator {
  const { inputShapes, outputShapes, inputShape, outputShape } = model;
  const text = (shape: readonly number[]) => `(${shape.join(", ")})`;
  if (inputShapes.length > 1 || outputShapes.length > 1)
    throw refused(
      `it has ${inputShapes.length} inputs and ${outputShapes.length} outputs; give one with one of each`,
    );
  const input = text(inputShape);
  const output = text(outputShape);
  const row = text([channels]);
  if (inputShape.length === 1 && output === row) return reconstruction(model, spec);
  if (inputShape.length !== 2 || (output !== input && output !== row))
    throw refused(
      `it turns ${input} into ${output}; give one from (window, channels) to (window, channels) or (channels), or from (channels) to (channels)`,
    );
  if (inputShape[0] !== spec.window)
    throw refused(
      `it takes windows of ${inputShape[0]} rows and the task's window is ${spec.window}; make them the same`,
    );
  if (output === row) return windowForecaster(model, spec);
  return !tuned.reconstructs && isSteppable(model) ? forecaster(model, spec) : reconstruction(model, spec);
}

function refused(why: string): FleetError {
  return new FleetError("BAD_SHAPE", `the network can't be a detector: ${why}`);
}

function isSteppable(model: Model): boolean {
  try {
    model.stepper().dispose();
    return true;
  } catch (error) {
    if (error instanceof FleetError && error.code === "UNSUPPORTED") return false;
    throw error;
  }
}

/** x: (batch, window, channels) -> y: (batch, channels), the row after the window. */
function windowForecaster(
  model: Model,
  { window, stride }: { readonly window: number; readonly stride: number },
): Estimator {
  const channels = model.inputShape.at(-1)!;
  const windows = (parts: readonly ScaledPart[], stride: number, change?: Change) =>
    windowSamples(parts, {
      rows: window + 1,
      stride,
      change,
      write({ seen, wanted }, { x, y }) {
        x.set(seen.subarray(0, window * channels));
        y.set(wanted.subarray(window * channels));
      },
    });
  return {
    layout: model.layout,
    weights: () => model.weights(),
    setWeights: (flat) => model.setWeights(flat),
    samples: (parts) => windows(parts, stride).count,
    async train(parts, options) {
      const pretext = options.training.pretext === "masked";
      const change = await changeFor(options, { rows: window + 1, channels, forecasts: true, pretext });
      return fitNetwork(model, windows(parts, stride, change), options);
    },
    loss: (parts) => meanLoss(model, windows(parts, window)),
    residuals: channels,
    stream: () => windowStream({ model, window, channels, sees: "past", at: 0 }),
    dispose: () => model.dispose(),
  };
}
