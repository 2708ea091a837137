import { z } from "zod";
import { Activation } from "../activations.ts";
import { sizeOf } from "../shape.ts";
import { activated } from "./activation.ts";
import { common, parseConfig, units, weightOf, weightOptions } from "./config.ts";
import type { LayerKind } from "./layer.ts";

const Config = () =>
  z.strictObject({
    ...common,
    units,
    activation: Activation,
    use_bias: z.boolean().nullish(),
    ...weightOptions("kernel", "glorot_uniform"),
    ...weightOptions("bias", "zeros"),
  });

/** y = f(x W + b) on the last axis; all axes before it are rows. */
export const dense: LayerKind = (layer) => {
  const config = parseConfig(Config, layer);
  const K = layer.inputShape.at(-1)!;
  const N = config.units;
  const rows = sizeOf(layer.inputShape.slice(0, -1)); // of one sample
  const useBias = config.use_bias ?? true;
  const outputShape = [...layer.inputShape.slice(0, -1), N];
  const { code, extra } = activated(config.activation, { name: layer.name, shape: outputShape });
  return {
    ...extra,
    name: layer.name,
    className: layer.className,
    order: "any",
    outputShape,
    weights: [weightOf(config, "kernel", [K, N]), ...(useBias ? [weightOf(config, "bias", [N])] : [])],
    flops: 2 * rows * K * N,
    stateFloats: 0,
    bind({ kernels, inputs, output, rows: row, weights: [w = 0, b = 0], weightGradients: [dw = 0, db = 0] }) {
      const input = inputs[0]!;
      return {
        forward(batch) {
          kernels.denseForward(input.value, w, b, output.value, batch * rows, K, N, code);
        },
        backward(batch) {
          kernels.denseBackward(
            input.value,
            w,
            output.value,
            output.gradient,
            input.gradient,
            dw,
            db,
            batch * rows,
            K,
            N,
            code,
          );
        },
        step() {
          kernels.denseForward(row.inputs[0]!, w, b, row.output, 1, K, N, code);
        },
      };
    },
  };
};
