import { z } from "zod";
import { FleetError } from "../../../protocol/errors.ts";
import { ignored, none, off, parseConfig } from "./config.ts";
import type { LayerConfig } from "./layer.ts";

// How Attention and MultiHeadAttention are called.

const Call = () =>
  z.strictObject({
    use_causal_mask: z.boolean().nullish(),
    return_attention_scores: off,
    mask: none,
    attention_mask: none,
    query_mask: none,
    value_mask: none,
    key_mask: none,
    training: ignored,
  });

/** Options of Attention and AdditiveAttention alike. */
export const scoreOptions = () => ({
  use_scale: z.boolean().nullish(),
  /** Share of the weights that are left out while training; what is left is scaled up. */
  dropout: z.number().min(0).lt(1).nullish(),
  /** Before Keras 2.10; since then an argument of the call. */
  causal: z.boolean().nullish(),
  seed: ignored,
});

export interface AttentionInputs {
  /** Queries. */
  readonly T: number;
  /** Keys and values. */
  readonly S: number;
  /** Channels of query, value and key. */
  readonly channels: readonly [query: number, value: number, key: number];
  /** Number of the input that is the key: the value's own where none is given. */
  readonly key: 1 | 2;
  readonly causal: boolean;
}

/** The inputs query, value and (optional) key, each (time, channels), and how the layer is called. Throws BAD_INPUT, UNSUPPORTED. */
export function attentionInputs(layer: LayerConfig): AttentionInputs {
  const call = parseConfig(Call, { ...layer, config: layer.call });
  const { inputShapes } = layer;
  const key = inputShapes.length > 2 ? 2 : 1;
  const [query, value] = inputShapes;
  const where = `layer "${layer.name}" (${layer.className})`;
  if (query === undefined || value === undefined || inputShapes.length > 3)
    throw new FleetError(
      "BAD_INPUT",
      `${where} needs a query, a value and perhaps a key, but is called with ${inputShapes.length} inputs; for attention of a sequence to itself give it twice`,
    );
  const odd = inputShapes.find((shape) => shape.length !== 2);
  if (odd !== undefined)
    throw new FleetError(
      "UNSUPPORTED",
      `${where}: the engine attends over (time, channels) only, but an input is (${odd.join(", ")})`,
    );
  const [S, keyChannels] = inputShapes[key]! as [number, number];
  if (value[0] !== S)
    throw new FleetError("BAD_INPUT", `${where} has ${S} keys, but ${value[0]} values; give one value a key`);
  return {
    T: query[0]!,
    S,
    channels: [query[1]!, value[1]!, keyChannels],
    key,
    causal: call.use_causal_mask ?? false,
  };
}

/** The same, where queries are compared with keys as they are. Throws BAD_INPUT where they have not as many channels. */
export function comparableInputs(layer: LayerConfig): AttentionInputs {
  const inputs = attentionInputs(layer);
  const [query, , key] = inputs.channels;
  if (key !== query)
    throw new FleetError(
      "BAD_INPUT",
      `layer "${layer.name}" (${layer.className}): queries have ${query} channels, keys ${key}; they need as many`,
    );
  return inputs;
}
