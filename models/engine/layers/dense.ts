import { z } from "zod";
import { Activation } from "../activations.ts";
import { initializer } from "../initializers.ts";
import { sizeOf } from "../shape.ts";
import { common, none, parseConfig, units } from "./config.ts";
import type { LayerKind } from "./layer.ts";

const Config = z.strictObject({
  ...common,
  units,
  activation: Activation,
  use_bias: z.boolean().nullish(),
  kernel_initializer: initializer("glorot_uniform"),
  bias_initializer: initializer("zeros"),
  kernel_regularizer: none,
  bias_regularizer: none,
  kernel_constraint: none,
  bias_constraint: none,
});

/** y = f(x W + b) on the last axis; all axes before it are rows. */
export const dense: LayerKind = (layer) => {
  const config = parseConfig(Config, layer);
  const K = layer.inputShape.at(-1)!;
  const N = config.units;
  const rows = sizeOf(layer.inputShape.slice(0, -1)); // of one sample
  const useBias = config.use_bias ?? true;
  const kernel = { name: "kernel", shape: [K, N], initialize: config.kernel_initializer };
  const bias = { name: "bias", shape: [N], initialize: config.bias_initializer };
  return {
    name: layer.name,
    className: layer.className,
    order: "any",
    outputShape: [...layer.inputShape.slice(0, -1), N],
    weights: useBias ? [kernel, bias] : [kernel],
    flops: 2 * rows * K * N,
    stateFloats: 0,
    bind({ kernels, inputs, output, rows: row, weights: [w = 0, b = 0], weightGradients: [dw = 0, db = 0] }) {
      const input = inputs[0]!;
      return {
        forward(batch) {
          kernels.denseForward(input.value, w, b, output.value, batch * rows, K, N, config.activation);
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
            config.activation,
          );
        },
        step() {
          kernels.denseForward(row.inputs[0]!, w, b, row.output, 1, K, N, config.activation);
        },
      };
    },
  };
};
