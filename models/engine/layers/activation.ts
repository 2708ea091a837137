import { z } from "zod";
import { Activation } from "../activations.ts";
import { sizeOf } from "../shape.ts";
import { common, parseConfig } from "./config.ts";
import type { LayerKind } from "./layer.ts";

const Config = z.strictObject({ ...common, activation: Activation });

/** y = f(x), element by element. */
export const activation: LayerKind = (layer) => {
  const { activation: kind } = parseConfig(Config, layer);
  const size = sizeOf(layer.inputShape);
  const channels = layer.inputShape.at(-1)!;
  return {
    name: layer.name,
    className: layer.className,
    order: "any",
    outputShape: layer.inputShape,
    weights: [],
    flops: size,
    stateFloats: 0,
    bind({ kernels, inputs, output, rows }) {
      const input = inputs[0]!;
      return {
        forward(batch) {
          kernels.copy(output.value, input.value, batch * size);
          kernels.activate(kind, output.value, batch * size);
        },
        backward(batch) {
          if (input.gradient === 0) return;
          kernels.copy(input.gradient, output.gradient, batch * size);
          kernels.activateBackward(kind, output.value, input.gradient, batch * size);
        },
        step() {
          kernels.copy(rows.output, rows.inputs[0]!, channels);
          kernels.activate(kind, rows.output, channels);
        },
      };
    },
  };
};
