import { z } from "zod";
import { FleetError } from "../../../protocol/errors.ts";
import { common, parseConfig } from "./config.ts";
import type { LayerKind } from "./layer.ts";

const Config = () => z.strictObject({ ...common, mask_value: z.number().default(0) });

/** Masks the steps whose channels all equal `mask_value`, and sets them to zero. */
export const masking: LayerKind = (layer) => {
  const { mask_value: value } = parseConfig(Config, layer);
  const [T, C] = layer.inputShape;
  if (layer.inputShape.length !== 2 || T === undefined || C === undefined)
    throw new FleetError(
      "UNSUPPORTED",
      `layer "${layer.name}" (Masking): the engine masks the steps of (time, channels), not of (${layer.inputShape.join(", ")})`,
    );
  return {
    name: layer.name,
    className: layer.className,
    order: "batch",
    outputShape: layer.inputShape,
    weights: [],
    flops: 0,
    stateFloats: 0,
    mask: "make",
    bind({ kernels, inputs, output, rows }) {
      const input = inputs[0]!;
      return {
        forward(batch) {
          kernels.maskSteps(input.value, output.value, output.mask, batch * T, C, value);
        },
        backward(batch) {
          if (input.gradient === 0) return;
          kernels.maskStepsBackward(output.mask, output.gradient, input.gradient, batch * T, C);
        },
        step() {
          kernels.maskSteps(rows.inputs[0]!, rows.output, output.mask, 1, C, value);
        },
      };
    },
  };
};
