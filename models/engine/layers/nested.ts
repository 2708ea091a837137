import { z } from "zod";
import { FleetError } from "../../../protocol/errors.ts";
import type { LayerConfig } from "./layer.ts";

/** A layer in the config of another. */
export const Nested = z.looseObject({
  class_name: z.string(),
  config: z.looseObject({ name: z.string().optional(), trainable: z.boolean().nullish() }),
});
export type Nested = z.infer<typeof Nested>;

/**
 * The inner layer as its kind takes it. The plan freezes layers by the outer config: throws UNSUPPORTED where only the inner one is frozen.
 */
export function inside(
  outer: LayerConfig,
  inner: Nested,
  options: { readonly name: string; readonly inputShape?: LayerConfig["inputShape"] },
): LayerConfig {
  const { name, inputShape = outer.inputShape } = options;
  const config = outer.config as { readonly trainable?: unknown };
  if (inner.config.trainable === false && config.trainable !== false)
    throw new FleetError(
      "UNSUPPORTED",
      `layer "${outer.name}" (${outer.className}): the layer inside is frozen and the outer one is not; set trainable false on both`,
    );
  return {
    name,
    className: inner.class_name,
    config: inner.config,
    call: outer.call,
    inputShape,
    inputShapes: [inputShape],
  };
}
