import { FleetError } from "../../protocol/errors.ts";
import type { Model } from "../engine/compile.ts";
import { seriesAugments } from "./augment/names.ts";
import { forecaster, learnsForecasts } from "./forecaster.ts";
import type { DetectorKind, Estimator, EstimatorOptions } from "./kind.ts";
import { compileNetwork } from "./network.ts";
import { reconstruction } from "./reconstruction.ts";
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
function windowForecaster(model: Model, { window, stride }: EstimatorOptions["spec"]): Estimator {
  const learning = learnsForecasts(model, { window, stride, target: window });
  const channels = learning.residuals;
  return { ...learning, stream: () => windowStream({ model, window, channels, sees: "past", at: 0 }) };
}
