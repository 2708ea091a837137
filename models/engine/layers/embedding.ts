import { z } from "zod";
import { FleetError } from "../../../protocol/errors.ts";
import { sizeOf } from "../shape.ts";
import { common, none, parseConfig, units, weightOf, weightOptions } from "./config.ts";
import type { LayerKind } from "./layer.ts";

const Config = () =>
  z.strictObject({
    ...common,
    input_dim: z
      .int()
      .positive()
      .max(1 << 24), // a float holds every token below
    output_dim: units,
    ...weightOptions("embeddings", "random_uniform"),
    mask_zero: z.boolean().nullish(),
    input_length: z.union([z.int(), z.tuple([z.int()]).transform(([length]) => length)]).nullish(),
    lora_rank: none,
    lora_alpha: none,
  });

/** Each token's row of a learned table. Tokens come as floats; the plan has the model's input hold only those that the table has. */
export const embedding: LayerKind = (layer) => {
  const config = parseConfig(Config, layer);
  const { input_dim: size, output_dim: dim, input_length: length } = config;
  const count = sizeOf(layer.inputShape); // of one sample
  const makesMask = config.mask_zero ?? false;
  const where = `layer "${layer.name}" (${layer.className})`;
  if (typeof length === "number" && length !== count)
    throw new FleetError("BAD_INPUT", `${where} has input_length ${length}, but gets ${count} tokens`);
  if (makesMask && layer.inputShape.length !== 1)
    throw new FleetError("UNSUPPORTED", `${where}: the engine has no mask_zero for tokens in several axes`);
  return {
    name: layer.name,
    className: layer.className,
    order: "batch",
    outputShape: [...layer.inputShape, dim],
    weights: [weightOf(config, "embeddings", [size, dim])],
    flops: 0,
    stateFloats: null,
    tokens: size,
    mask: makesMask ? "make" : "keep",
    bind({ kernels, inputs, output, weights: [table = 0], weightGradients: [dtable = 0] }) {
      const tokens = inputs[0]!.value;
      return {
        forward(batch) {
          kernels.embeddingForward(tokens, table, output.value, batch * count, dim);
          if (makesMask) kernels.tokenMask(tokens, output.mask, batch * count);
        },
        backward(batch) {
          kernels.embeddingBackward(tokens, output.gradient, dtable, batch * count, dim);
        },
      };
    },
  };
};
