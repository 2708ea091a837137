import { z } from "zod";
import { Activation, LINEAR } from "../activations.ts";
import { sizeOf } from "../shape.ts";
import { activated } from "./activation.ts";
import { none, parseConfig, units, weightOf, weightOptions } from "./config.ts";
import {
  convFlops,
  convOptions,
  imageShape,
  padding,
  type Rank,
  shapeOf,
  transposedGeometry,
} from "./conv-geometry.ts";
import { bindConv } from "./conv-kernels.ts";
import type { LayerKind } from "./layer.ts";

const options = () => ({
  filters: units,
  padding,
  output_padding: none,
  activation: Activation,
  ...weightOptions("kernel", "glorot_uniform"),
  ...weightOptions("bias", "zeros"),
});
const Configs = {
  1: () => z.strictObject({ ...convOptions(1), ...options() }),
  2: () => z.strictObject({ ...convOptions(2), ...options() }),
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
      bind(site) {
        const { kernels, inputs, output, weights, weightGradients } = site;
        const [w = 0, b = 0] = weights;
        const [dw = 0, db = 0] = weightGradients;
        const { value: x, gradient: dx } = inputs[0]!;
        const { value: y, gradient: dy } = output;
        const bound = bindConv(site, geometry);
        const spread = { x: 0, w, y: 0, dy: x, dx: y, dw: 0, db: 0 };
        const gathered = { x: dy, w, b: 0, y: dx };
        const weighed = { x: dy, w, y: 0, dy: x, dx: 0, dw, db: 0 };
        return {
          forward(batch) {
            bound.backward(batch, LINEAR, spread);
            if (b !== 0) kernels.addRow(y, b, (batch * size) / N, N);
            kernels.activate(code, y, batch * size);
          },
          backward(batch) {
            kernels.activateBackward(code, y, dy, batch * size);
            if (db !== 0) kernels.columnSums(dy, N, (batch * size) / N, N, db);
            if (dx !== 0) bound.forward(batch, LINEAR, gathered);
            bound.backward(batch, LINEAR, weighed);
          },
        };
      },
    };
  };
}
