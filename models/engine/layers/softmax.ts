import { z } from "zod";
import { FleetError } from "../../../protocol/errors.ts";
import { Activation } from "../activations.ts";
import { activationPlan } from "./activation.ts";
import { common, parseConfig } from "./config.ts";
import type { LayerKind } from "./layer.ts";

const Config = () =>
  z.strictObject({
    ...common,
    // Keras writes -1; a list of one is the same.
    axis: z.union([z.int(), z.tuple([z.int()]).transform(([axis]) => axis)]).nullish(),
  });

/** Along the last axis. */
export const softmax: LayerKind = (layer) => {
  const { axis } = parseConfig(Config, layer);
  const last = layer.inputShape.length; // axes count from the batch
  if (axis != null && axis !== -1 && axis !== last)
    throw new FleetError(
      "UNSUPPORTED",
      `layer "${layer.name}" (Softmax): the engine has softmax along the last axis (${last}) only, not axis ${axis}; put a Permute before it`,
    );
  const options = { name: layer.name, className: layer.className, shape: layer.inputShape };
  return activationPlan(Activation.parse("softmax"), options);
};
