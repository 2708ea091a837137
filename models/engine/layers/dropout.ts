import { z } from "zod";
import { FleetError } from "../../../protocol/errors.ts";
import { SELU } from "../activations.ts";
import { type Shape, sizeOf } from "../shape.ts";
import { common, ignored, none, parseConfig } from "./config.ts";
import type { BoundLayer, LayerConfig, LayerKind, LayerPlan, Site } from "./layer.ts";

// What is there while training only: noise on what passes. What a layer drew for the batch is kept for the way back.

// The layer's own seed is read, but not used: the fit's seed rules.
const seed = ignored;
const rate = z.number().min(0).lt(1);
const Dropout = () => z.strictObject({ ...common, rate, noise_shape: none, seed });
const Spatial = () =>
  z.strictObject({
    ...Dropout().shape,
    data_format: z.enum(["channels_last", "channelsLast"]).nullish(),
  });
const Noise = () => z.strictObject({ ...common, stddev: z.number().nonnegative(), seed });

/** Each value is 0 with probability `rate`, and the others are 1 / (1 - rate) as large. Source: Srivastava et al. 2014. */
export const dropout: LayerKind = (layer) => {
  const config = parseConfig(Dropout, layer);
  const size = sizeOf(layer.inputShape);
  return noise(layer, "any", ({ kernels, maxBatch, allocate, inputs, output, random }) => {
    const input = inputs[0]!;
    const mask = allocate(maxBatch * size); // (batch, ...shape): 0, or 1 / (1 - rate)
    return {
      forward(batch) {
        kernels.fillKept(random, mask, batch * size, thresholdOf(config.rate), 1 / (1 - config.rate));
        kernels.applyMask(input.value, mask, output.value, batch * size);
      },
      backward(batch) {
        kernels.applyMask(output.gradient, mask, input.gradient, batch * size);
      },
    };
  });
};

/** Dropout of whole channels. Source: Tompson et al. 2015, arXiv 1411.4280. */
const spatialDropout =
  (axes: number): LayerKind =>
  (layer) => {
    const config = parseConfig(Spatial, layer);
    const shape = ranked(layer, axes);
    const channels = shape.at(-1)!;
    const rows = sizeOf(shape) / channels;
    return noise(layer, "batch", ({ kernels, maxBatch, allocate, inputs, output, random }) => {
      const input = inputs[0]!;
      const mask = allocate(maxBatch * channels); // (batch, channels)
      return {
        forward(batch) {
          kernels.fillKept(random, mask, batch * channels, thresholdOf(config.rate), 1 / (1 - config.rate));
          kernels.applyChannelMask(input.value, mask, output.value, batch, rows, channels);
        },
        backward(batch) {
          kernels.applyChannelMask(output.gradient, mask, input.gradient, batch, rows, channels);
        },
      };
    });
  };

export const spatialDropout1D = spatialDropout(2);
export const spatialDropout2D = spatialDropout(3);

/** Adds normal noise of deviation `stddev`. */
export const gaussianNoise: LayerKind = (layer) => {
  const { stddev } = parseConfig(Noise, layer);
  const size = sizeOf(layer.inputShape);
  return noise(layer, "any", ({ kernels, maxBatch, allocate, inputs, output, random }) => {
    const input = inputs[0]!;
    const drawn = allocate(maxBatch * size);
    return {
      forward(batch) {
        kernels.fillNormal(random, drawn, batch * size, 0, stddev);
        kernels.applyNoise(input.value, drawn, output.value, batch * size);
      },
      backward(batch) {
        kernels.copy(input.gradient, output.gradient, batch * size);
      },
    };
  });
};

/** Multiplies by normal noise of mean 1 and the variance that dropout has, rate / (1 - rate). */
export const gaussianDropout: LayerKind = (layer) => {
  const config = parseConfig(Dropout, layer);
  const size = sizeOf(layer.inputShape);
  const deviation = Math.sqrt(config.rate / (1 - config.rate));
  return noise(layer, "any", ({ kernels, maxBatch, allocate, inputs, output, random }) => {
    const input = inputs[0]!;
    const drawn = allocate(maxBatch * size);
    return {
      forward(batch) {
        kernels.fillNormal(random, drawn, batch * size, 1, deviation);
        kernels.applyMask(input.value, drawn, output.value, batch * size);
      },
      backward(batch) {
        kernels.applyMask(output.gradient, drawn, input.gradient, batch * size);
      },
    };
  });
};

/**
 * Dropout that keeps mean and variance behind selu: what is dropped becomes selu's lowest value, and all is a x + b.
 * Source: Klambauer et al. 2017, arXiv 1706.02515.
 */
export const alphaDropout: LayerKind = (layer) => {
  const config = parseConfig(Dropout, layer);
  const size = sizeOf(layer.inputShape);
  const lowest = -SELU.alpha * SELU.scale;
  const a = ((1 - config.rate) * (1 + config.rate * lowest ** 2)) ** -0.5;
  const b = -a * lowest * config.rate;
  return noise(layer, "any", ({ kernels, maxBatch, allocate, inputs, output, random }) => {
    const input = inputs[0]!;
    const mask = allocate(maxBatch * size); // 0, or a
    return {
      forward(batch) {
        kernels.fillKept(random, mask, batch * size, thresholdOf(config.rate), a);
        kernels.alphaDropout(input.value, mask, output.value, batch * size, b, a * lowest + b);
      },
      backward(batch) {
        kernels.applyMask(output.gradient, mask, input.gradient, batch * size);
      },
    };
  });
};

/** Of 2^32 draws, those below it are dropped. */
function thresholdOf(rate: number): number {
  return Math.floor(rate * 2 ** 32);
}

function noise(
  { name, className, inputShape }: LayerConfig,
  order: "any" | "batch",
  train: (site: Site) => Pick<BoundLayer, "backward"> & { forward(batch: number): void },
): LayerPlan {
  const size = sizeOf(inputShape);
  return {
    name,
    className,
    order,
    outputShape: inputShape,
    weights: [],
    flops: 0,
    stateFloats: 0,
    bind(site) {
      const { kernels, inputs, output, rows } = site;
      const input = inputs[0]!;
      const trained = train(site);
      return {
        forward(batch, training) {
          if (training) trained.forward(batch);
          else kernels.copy(output.value, input.value, batch * size);
        },
        backward(batch) {
          if (input.gradient !== 0) trained.backward(batch);
        },
        step() {
          kernels.copy(rows.output, rows.inputs[0]!, inputShape.at(-1)!);
        },
      };
    },
  };
}

/** (..., channels) with so many axes. */
function ranked(layer: LayerConfig, axes: number): Shape {
  if (layer.inputShape.length === axes) return layer.inputShape;
  throw new FleetError(
    "BAD_INPUT",
    `layer "${layer.name}" (${layer.className}) needs an input with ${axes} axes, but gets (${layer.inputShape.join(", ")})`,
  );
}
