import { z } from "zod";
import { Activation } from "../activations.ts";
import { activated } from "./activation.ts";
import { parseConfig, units, weightOf, weightOptions } from "./config.ts";
import {
  CONV_SHAPE_FLOATS,
  causalPadding,
  convOptions,
  describe,
  geometryOf,
  imageShape,
  padding,
  type Rank,
  shapeOf,
} from "./conv-geometry.ts";
import { depthwiseFlops, depthwiseScratchFloats } from "./depthwise-conv.ts";
import type { LayerKind } from "./layer.ts";

const options = () => ({
  filters: units,
  depth_multiplier: units.nullish(),
  activation: Activation,
  ...weightOptions("depthwise", "glorot_uniform"),
  ...weightOptions("pointwise", "glorot_uniform"),
  ...weightOptions("bias", "zeros"),
});
const Configs = {
  1: () => z.strictObject({ ...convOptions(1), ...options(), padding: causalPadding }),
  2: () => z.strictObject({ ...convOptions(2), ...options(), padding }),
};

/** Each channel by itself, m times, then all channels of a row together. W (kernel, channels, m) and (1, channels m, filters). */
export const separableConv1d: LayerKind = separableConv(1);
/** The same over rows and columns. W (height, width, channels, m) and (1, 1, channels m, filters). */
export const separableConv2d: LayerKind = separableConv(2);

function separableConv(rank: Rank): LayerKind {
  return (layer) => {
    const config = parseConfig(Configs[rank], layer);
    const input = imageShape(layer, rank);
    const multiplier = config.depth_multiplier ?? 1;
    const [M, N] = [input[2] * multiplier, config.filters];
    const geometry = geometryOf(layer, config, { input, channels: M });
    const [height, width] = geometry.output;
    const area = height * width;
    const outputShape = shapeOf([height, width, N], rank);
    const useBias = config.use_bias ?? true;
    const { code, extra } = activated(config.activation, { name: layer.name, shape: outputShape });
    const kernel = rank === 1 ? [geometry.kernel[1]] : geometry.kernel;
    return {
      ...extra,
      name: layer.name,
      className: layer.className,
      order: "batch",
      mask: "drop",
      outputShape,
      weights: [
        weightOf(config, "depthwise", [...kernel, input[2], multiplier], "depthwise_kernel"),
        weightOf(config, "pointwise", [...kernel.map(() => 1), M, N], "pointwise_kernel"),
        ...(useBias ? [weightOf(config, "bias", [N])] : []),
      ],
      flops: depthwiseFlops(geometry) + 2 * area * M * N,
      stateFloats: null,
      bind({ kernels, maxBatch, allocate, inputs, output, weights, weightGradients }) {
        const image = inputs[0]!;
        const [w = 0, p = 0, b = 0] = weights;
        const [dw = 0, dp = 0, db = 0] = weightGradients;
        const shape = allocate(CONV_SHAPE_FLOATS);
        const scratch = allocate(depthwiseScratchFloats(geometry));
        const middle = allocate(maxBatch * area * M); // (batch, height, width, channels m)
        const gradient = output.gradient === 0 ? 0 : allocate(maxBatch * area * M);
        return {
          forward(batch) {
            describe(kernels, shape, geometry);
            kernels.depthwiseForward(shape, image.value, w, 0, middle, batch, scratch);
            kernels.denseForward(middle, p, b, output.value, batch * area, M, N, code);
          },
          backward(batch) {
            describe(kernels, shape, geometry);
            const { value, gradient: dy } = output;
            kernels.denseBackward(middle, p, value, dy, gradient, dp, db, batch * area, M, N, code);
            kernels.depthwiseBackward(shape, image.value, w, gradient, image.gradient, dw, batch, scratch);
          },
        };
      },
    };
  };
}
