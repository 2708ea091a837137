import { z } from "zod";
import { Activation, elu, rectifier } from "../activations.ts";
import { activationPlan } from "./activation.ts";
import { common, parseConfig } from "./config.ts";
import type { LayerConfig, LayerKind } from "./layer.ts";

// Activations as layers of their own. Their slope is `negative_slope` in Keras 3 and `alpha` before it and in tfjs.

const slope = z.number().nullish();
const Relu = () =>
  z.strictObject({
    ...common,
    max_value: z.number().nonnegative().nullish(),
    negative_slope: slope,
    threshold: z.number().nullish(),
  });
const LeakyRelu = () => z.strictObject({ ...common, alpha: slope, negative_slope: slope });
const Elu = () => z.strictObject({ ...common, alpha: slope });
const ThresholdedRelu = () => z.strictObject({ ...common, theta: z.number().nullish() });

/** Keras' and tfjs' own defaults. */
const LEAKY_SLOPE = 0.3;
const THETA = 1;

/** What each of them computes. */
export const RECTIFIERS = {
  /** max_value where x reaches it, x above the threshold, negative_slope (x - threshold) below. */
  ReLU(layer) {
    const { max_value, negative_slope, threshold } = parseConfig(Relu, layer);
    const plain = (negative_slope ?? 0) === 0 && (threshold ?? 0) === 0;
    if (plain && max_value == null) return Activation.parse("relu");
    if (plain && max_value === 6) return Activation.parse("relu6");
    return rectifier("relu", {
      slope: negative_slope ?? 0,
      threshold: threshold ?? 0,
      ...(max_value != null && { max: max_value }),
    });
  },
  LeakyReLU(layer) {
    const { alpha, negative_slope } = parseConfig(LeakyRelu, layer);
    return rectifier("leaky_relu", { slope: negative_slope ?? alpha ?? LEAKY_SLOPE });
  },
  ELU(layer) {
    return elu("elu", { alpha: parseConfig(Elu, layer).alpha ?? 1 });
  },
  /** x above theta, else 0. */
  ThresholdedReLU(layer) {
    const { theta } = parseConfig(ThresholdedRelu, layer);
    return rectifier("thresholded_relu", { threshold: theta ?? THETA });
  },
} satisfies Readonly<Record<string, (layer: LayerConfig) => Activation>>;

export const relu = kind(RECTIFIERS.ReLU);
export const leakyRelu = kind(RECTIFIERS.LeakyReLU);
export const eluLayer = kind(RECTIFIERS.ELU);
export const thresholdedRelu = kind(RECTIFIERS.ThresholdedReLU);

function kind(activationOf: (layer: LayerConfig) => Activation): LayerKind {
  return (layer) => {
    const { name, className, inputShape } = layer;
    return activationPlan(activationOf(layer), { name, className, shape: inputShape });
  };
}
