import { z } from "zod";
import { FleetError } from "../../../protocol/errors.ts";
import { common, parseConfig } from "./config.ts";
import type { LayerKind } from "./layer.ts";

const Config = () => z.strictObject({ ...common, n: z.int().positive().max(65_536) });

/** (channels) -> (n, channels): each step is the input. */
export const repeatVector: LayerKind = (layer) => {
  const { n } = parseConfig(Config, layer);
  const [C] = layer.inputShape;
  if (layer.inputShape.length !== 1 || C === undefined) {
    throw new FleetError(
      "BAD_INPUT",
      `layer "${layer.name}" (${layer.className}) needs an input of shape (channels), but gets (${layer.inputShape.join(", ")})`,
    );
  }
  return {
    name: layer.name,
    className: layer.className,
    // Before the recurrent layer of a decoder, as a rule; and each step is one block, the batch as it is.
    order: "time",
    outputShape: [n, C],
    weights: [],
    flops: 0,
    stateFloats: null,
    mask: "drop",
    bind({ kernels, inputs, output }) {
      const input = inputs[0]!;
      return {
        forward(batch) {
          kernels.gather(input.value, output.value, 1, 1, 1, n, batch * C, 0, 0, 0, 0, 1);
        },
        backward(batch) {
          if (input.gradient === 0) return;
          kernels.fillZero(input.gradient, batch * C);
          kernels.scatterAdd(output.gradient, input.gradient, 1, 1, 1, n, batch * C, 0, 0, 0, 0, 1);
        },
      };
    },
  };
};
