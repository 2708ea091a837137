import { z } from "zod";
import {
  type Activation,
  Activation as ActivationSchema,
  elu as eluCurve,
  rectifier,
} from "../activations.ts";
import { activationPlan } from "./activation.ts";
import { common, parseConfig } from "./config.ts";
import type { LayerConfig, LayerKind, LayerPlan } from "./layer.ts";

// Activations as layers of their own. Their slope is `negative_slope` in Keras 3 and `alpha` before it and in tfjs.

const slope = z.number().nullish();
const Relu = z.strictObject({
  ...common,
  max_value: z.number().nonnegative().nullish(),
  negative_slope: slope,
  threshold: z.number().nullish(),
});
const LeakyRelu = z.strictObject({ ...common, alpha: slope, negative_slope: slope });
const Elu = z.strictObject({ ...common, alpha: slope });
const ThresholdedRelu = z.strictObject({ ...common, theta: z.number().nullish() });

/** Keras' and tfjs' own default. */
const LEAKY_SLOPE = 0.3;
const THETA = 1;

/** max_value where x reaches it, x above the threshold, negative_slope (x - threshold) below. */
export const relu: LayerKind = (layer) => {
  const { max_value, negative_slope, threshold } = parseConfig(Relu, layer);
  const plain = (negative_slope ?? 0) === 0 && (threshold ?? 0) === 0;
  if (plain && max_value == null) return planOf(ActivationSchema.parse("relu"), layer);
  if (plain && max_value === 6) return planOf(ActivationSchema.parse("relu6"), layer);
  const options = {
    slope: negative_slope ?? 0,
    threshold: threshold ?? 0,
    ...(max_value != null && { max: max_value }),
  };
  return planOf(rectifier("relu", options), layer);
};

export const leakyRelu: LayerKind = (layer) => {
  const { alpha, negative_slope } = parseConfig(LeakyRelu, layer);
  return planOf(rectifier("leaky_relu", { slope: negative_slope ?? alpha ?? LEAKY_SLOPE }), layer);
};

export const elu: LayerKind = (layer) => {
  const { alpha } = parseConfig(Elu, layer);
  return planOf(eluCurve("elu", { alpha: alpha ?? 1 }), layer);
};

/** x above theta, else 0. */
export const thresholdedRelu: LayerKind = (layer) => {
  const { theta } = parseConfig(ThresholdedRelu, layer);
  return planOf(rectifier("thresholded_relu", { threshold: theta ?? THETA }), layer);
};

function planOf(spec: Activation, { name, className, inputShape }: LayerConfig): LayerPlan {
  return activationPlan(spec, { name, className, shape: inputShape });
}
