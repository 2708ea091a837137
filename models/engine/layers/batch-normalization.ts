import { z } from "zod";
import { FleetError } from "../../../protocol/errors.ts";
import { initializer } from "../initializers.ts";
import { sizeOf } from "../shape.ts";
import { common, ignored, off, parseConfig, weightOf, weightOptions } from "./config.ts";
import type { LayerConfig, LayerKind } from "./layer.ts";

const Config = () =>
  z.strictObject({
    ...common,
    axis: z.union([z.int(), z.tuple([z.int()]).transform(([axis]) => axis)]).default(-1),
    momentum: z.number().min(0).max(1).default(0.99),
    epsilon: z.number().nonnegative().default(1e-3),
    center: z.boolean().nullish(),
    scale: z.boolean().nullish(),
    ...weightOptions("gamma", "ones"),
    ...weightOptions("beta", "zeros"),
    moving_mean_initializer: initializer("zeros"),
    moving_variance_initializer: initializer("ones"),
    synchronized: off,
    renorm: off,
    renorm_clipping: ignored,
    renorm_momentum: ignored,
    fused: ignored,
  });

/**
 * (x - mean) / sqrt(variance + epsilon) gamma + beta for each channel: while training with mean and (biased) variance of the batch, of which
 * moving averages are kept, else with those. A frozen layer always uses the averages and leaves them alone, as in Keras. Masked steps count like
 * any other, as in tfjs and Keras 2.
 */
export const batchNormalization: LayerKind = (layer) => {
  const config = parseConfig(Config, layer);
  checkAxis(layer, config.axis);
  const { epsilon, momentum } = config;
  const cols = layer.inputShape.at(-1)!;
  const rows = sizeOf(layer.inputShape) / cols; // of one sample
  const scale = config.scale ?? true;
  const center = config.center ?? true;
  const frozen = config.trainable === false;
  const moving = (name: "moving_mean" | "moving_variance") => ({
    name,
    shape: [cols],
    initialize: config[`${name}_initializer`],
    trained: false,
  });
  return {
    name: layer.name,
    className: layer.className,
    order: "any",
    outputShape: layer.inputShape,
    weights: [
      ...(scale ? [weightOf(config, "gamma", [cols])] : []),
      ...(center ? [weightOf(config, "beta", [cols])] : []),
      moving("moving_mean"),
      moving("moving_variance"),
    ],
    flops: 4 * rows * cols,
    stateFloats: 0,
    bind({ kernels, allocate, inputs, output, rows: row, weights, weightGradients }) {
      const input = inputs[0]!;
      const [gamma, dgamma] = scale ? [weights[0]!, weightGradients[0]!] : [0, 0];
      const [beta, dbeta] = center ? [weights.at(-3)!, weightGradients.at(-3)!] : [0, 0];
      const movingMean = weights.at(-2)!;
      const movingVariance = weights.at(-1)!;
      const mean = allocate(cols);
      const variance = allocate(cols);
      const inverse = allocate(cols);
      const sums = allocate(2 * cols);
      let fixed = true; // in the last forward pass
      return {
        forward(batch, training) {
          fixed = frozen || !training;
          if (!fixed) {
            kernels.columnMoments(input.value, batch * rows, cols, mean, variance);
            kernels.movingAverage(movingMean, mean, cols, momentum);
            kernels.movingAverage(movingVariance, variance, cols, momentum);
          }
          kernels.batchNormForward(
            input.value,
            gamma,
            beta,
            fixed ? movingMean : mean,
            fixed ? movingVariance : variance,
            inverse,
            output.value,
            batch * rows,
            cols,
            epsilon,
          );
        },
        backward(batch) {
          kernels.batchNormBackward(
            input.value,
            gamma,
            fixed ? movingMean : mean,
            inverse,
            output.gradient,
            input.gradient,
            dgamma,
            dbeta,
            sums,
            batch * rows,
            cols,
            fixed,
          );
        },
        step() {
          const [x, y] = [row.inputs[0]!, row.output];
          kernels.batchNormForward(x, gamma, beta, movingMean, movingVariance, inverse, y, 1, cols, epsilon);
        },
      };
    },
  };
};

/** Keras counts axes with the batch axis in front. */
function checkAxis(layer: LayerConfig, axis: number): void {
  if (axis === -1 || axis === layer.inputShape.length) return;
  throw new FleetError(
    "UNSUPPORTED",
    `layer "${layer.name}" (${layer.className}): the engine normalizes along the last axis only, not along axis ${axis}`,
  );
}
