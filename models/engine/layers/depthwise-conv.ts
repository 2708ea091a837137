import { z } from "zod";
import { Activation } from "../activations.ts";
import { sizeOf } from "../shape.ts";
import { activated } from "./activation.ts";
import { parseConfig, units, weightOf, weightOptions } from "./config.ts";
import {
  CONV_SHAPE_FLOATS,
  convOptions,
  describe,
  type Geometry,
  geometryOf,
  imageShape,
  padding,
  type Rank,
  shapeOf,
} from "./conv-geometry.ts";
import type { LayerKind } from "./layer.ts";

const options = () => ({
  padding,
  depth_multiplier: units.nullish(),
  activation: Activation,
  ...weightOptions("depthwise", "glorot_uniform"),
  ...weightOptions("bias", "zeros"),
});
const Configs = {
  1: () => z.strictObject({ ...convOptions(1), ...options() }),
  2: () => z.strictObject({ ...convOptions(2), ...options() }),
};

/** Each channel by itself: channel c m + j of the output is channel c with its kernel j of m. W (kernel, channels, m). */
export const depthwiseConv1d: LayerKind = depthwiseConv(1);
/** The same over rows and columns. W (height, width, channels, m). */
export const depthwiseConv2d: LayerKind = depthwiseConv(2);

function depthwiseConv(rank: Rank): LayerKind {
  return (layer) => {
    const config = parseConfig(Configs[rank], layer);
    const input = imageShape(layer, rank);
    const multiplier = config.depth_multiplier ?? 1;
    const N = input[2] * multiplier;
    const geometry = geometryOf(layer, config, { input, channels: N });
    const outputShape = shapeOf(geometry.output, rank);
    const useBias = config.use_bias ?? true;
    const { code, extra } = activated(config.activation, { name: layer.name, shape: outputShape });
    const kernel = rank === 1 ? [geometry.kernel[1]] : geometry.kernel;
    const size = sizeOf(outputShape);
    return {
      ...extra,
      name: layer.name,
      className: layer.className,
      order: "batch",
      mask: "drop",
      outputShape,
      weights: [
        weightOf(config, "depthwise", [...kernel, input[2], multiplier], "depthwise_kernel"),
        ...(useBias ? [weightOf(config, "bias", [N])] : []),
      ],
      flops: depthwiseFlops(geometry),
      stateFloats: null,
      bind({
        kernels,
        allocate,
        inputs,
        output,
        weights: [w = 0, b = 0],
        weightGradients: [dw = 0, db = 0],
      }) {
        const image = inputs[0]!;
        const shape = allocate(CONV_SHAPE_FLOATS);
        const scratch = allocate(depthwiseScratchFloats(geometry));
        return {
          forward(batch) {
            describe(kernels, shape, geometry);
            kernels.depthwiseForward(shape, image.value, w, b, output.value, batch, scratch);
            kernels.activate(code, output.value, batch * size);
          },
          backward(batch) {
            describe(kernels, shape, geometry);
            const { value, gradient } = output;
            kernels.activateBackward(code, value, gradient, batch * size);
            if (db !== 0) kernels.columnSums(gradient, N, (batch * size) / N, N, db);
            kernels.depthwiseBackward(shape, image.value, w, gradient, image.gradient, dw, batch, scratch);
          },
        };
      },
    };
  };
}

export function depthwiseFlops({ output, kernel }: Geometry): number {
  return 2 * sizeOf(output) * kernel[0] * kernel[1];
}

/** An image with as many channels as come out, and its gradient. */
export function depthwiseScratchFloats({ input, output }: Geometry): number {
  return input[2] === output[2] ? 0 : 2 * input[0] * input[1] * output[2];
}
