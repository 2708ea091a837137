import { z } from "zod";
import { Activation, LINEAR } from "../activations.ts";
import { sizeOf } from "../shape.ts";
import { activated } from "./activation.ts";
import { none, parseConfig, units, weightOf, weightOptions } from "./config.ts";
import {
  CONV_SHAPE_FLOATS,
  convFlops,
  convOptions,
  convScratchFloats,
  describe,
  imageShape,
  padding,
  type Rank,
  shapeOf,
  transposedGeometry,
} from "./conv-geometry.ts";
import type { LayerKind } from "./layer.ts";

const options = {
  filters: units,
  padding,
  output_padding: none,
  activation: Activation,
  ...weightOptions("kernel", "glorot_uniform"),
  ...weightOptions("bias", "zeros"),
};
const Configs = {
  1: z.strictObject({ ...convOptions(1), ...options }),
  2: z.strictObject({ ...convOptions(2), ...options }),
};

/** Each row is spread by the kernel over the rows it would have come from: W (kernel, filters, channels). */
export const conv1dTranspose: LayerKind = convTranspose(1);
/** The same over rows and columns. W (height, width, filters, channels). */
export const conv2dTranspose: LayerKind = convTranspose(2);

/** A convolution turned around: forward is its way back to its input, and back is its forward. */
function convTranspose(rank: Rank): LayerKind {
  return (layer) => {
    const config = parseConfig(Configs[rank], layer);
    const small = imageShape(layer, rank);
    const [C, N] = [small[2], config.filters];
    const geometry = transposedGeometry(config, { small, channels: N });
    const outputShape = shapeOf(geometry.input, rank);
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
        weightOf(config, "kernel", [...kernel, N, C]),
        ...(useBias ? [weightOf(config, "bias", [N])] : []),
      ],
      flops: convFlops(geometry),
      stateFloats: null,
      bind({
        kernels,
        allocate,
        inputs,
        output,
        weights: [w = 0, b = 0],
        weightGradients: [dw = 0, db = 0],
      }) {
        const input = inputs[0]!;
        const shape = allocate(CONV_SHAPE_FLOATS);
        const scratch = allocate(convScratchFloats(geometry));
        return {
          forward(batch) {
            describe(kernels, shape, geometry);
            const { value } = output;
            kernels.convBackward(shape, 0, w, 0, input.value, value, 0, 0, batch, LINEAR, scratch);
            if (b !== 0) kernels.addRow(value, b, (batch * size) / N, N);
            kernels.activate(code, value, batch * size);
          },
          backward(batch) {
            describe(kernels, shape, geometry);
            const { value, gradient } = output;
            kernels.activateBackward(code, value, gradient, batch * size);
            if (db !== 0) kernels.columnSums(gradient, N, (batch * size) / N, N, db);
            if (input.gradient !== 0)
              kernels.convForward(shape, gradient, w, 0, input.gradient, batch, LINEAR, scratch);
            kernels.convBackward(shape, gradient, w, 0, input.value, 0, dw, 0, batch, LINEAR, scratch);
          },
        };
      },
    };
  };
}
