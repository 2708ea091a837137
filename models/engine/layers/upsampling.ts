import { z } from "zod";
import { sizeOf } from "../shape.ts";
import { common, parseConfig } from "./config.ts";
import type { LayerConfig, LayerKind, LayerPlan } from "./layer.ts";
import { channelsLast, imageOf, shapeOfImage, size1, size2 } from "./spatial.ts";
import { viewOf } from "./view.ts";

const Config1 = () => z.strictObject({ ...common, size: size1.default(2) });
const Config2 = () =>
  z.strictObject({
    ...common,
    size: size2.default([2, 2]),
    data_format: channelsLast,
    interpolation: z.enum(["nearest", "bilinear"]).nullish(),
  });

/** Each step `size` times. */
export const upSampling1d: LayerKind = (layer) => {
  const { size } = parseConfig(Config1, layer);
  return nearest(layer, 1, 1, size);
};

/** Each pixel FH x FW times, or linear between pixels. */
export const upSampling2d: LayerKind = (layer) => {
  const config = parseConfig(Config2, layer);
  const [FH, FW] = config.size;
  return config.interpolation === "bilinear" ? bilinear(layer, FH, FW) : nearest(layer, 2, FH, FW);
};

function nearest(layer: LayerConfig, axes: 1 | 2, FH: number, FW: number): LayerPlan {
  const { height: H, width: W, channels: C } = imageOf(layer, axes);
  const size = H * W * C;
  const view = viewOf([H, FH, W, FW, C], [W * C, 0, C, 0, 1], size)!; // five axes always fit, as H goes with the batch
  return {
    ...upSampled(layer, axes, FH, FW),
    flops: 0,
    bind({ kernels, inputs, output }) {
      const input = inputs[0]!;
      return {
        forward(batch) {
          view.gather(kernels, input.value, output.value, batch);
        },
        backward(batch) {
          if (input.gradient === 0) return;
          kernels.fillZero(input.gradient, batch * size);
          view.scatterAdd(kernels, output.gradient, input.gradient, batch);
        },
      };
    },
  };
}

function bilinear(layer: LayerConfig, FH: number, FW: number): LayerPlan {
  const { height: H, width: W, channels: C } = imageOf(layer, 2);
  const halfPixel = writtenByKeras(layer.config);
  const plan = upSampled(layer, 2, FH, FW);
  return {
    ...plan,
    flops: 9 * sizeOf(plan.outputShape),
    bind({ kernels, inputs, output }) {
      const input = inputs[0]!;
      return {
        forward(batch) {
          kernels.bilinear(input.value, output.value, batch, H, W, C, FH, FW, halfPixel);
        },
        backward(batch) {
          if (input.gradient === 0) return;
          kernels.bilinearBackward(output.gradient, input.gradient, batch, H, W, C, FH, FW, halfPixel);
        },
      };
    },
  };
}

/**
 * Under one name and one config, Keras 3 (and 2 on TensorFlow 2) takes pixels for squares with centres at halves, and tfjs for points at
 * whole numbers. What tells the files apart: Keras writes every layer's dtype, tfjs only beside an input shape.
 */
export function writtenByKeras(config: unknown): boolean {
  const { dtype, batch_input_shape } = config as { dtype?: unknown; batch_input_shape?: unknown };
  return dtype !== null && dtype !== undefined && (typeof dtype === "object" || !batch_input_shape);
}

function upSampled(layer: LayerConfig, axes: 1 | 2, FH: number, FW: number) {
  const { height, width, channels } = imageOf(layer, axes);
  return {
    name: layer.name,
    className: layer.className,
    order: "batch",
    outputShape: shapeOfImage({ height: height * FH, width: width * FW, channels }, axes),
    weights: [],
    stateFloats: null,
    mask: "drop",
  } as const;
}
