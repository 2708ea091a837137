import { z } from "zod";
import { FleetError } from "../../../protocol/errors.ts";
import { sizeOf } from "../shape.ts";
import { common, off, parseConfig, weightOf, weightOptions } from "./config.ts";
import type { LayerConfig, LayerKind } from "./layer.ts";

const Config = () =>
  z.strictObject({
    ...common,
    axis: z.union([z.int().transform((axis) => [axis]), z.array(z.int()).min(1)]).default([-1]),
    epsilon: z.number().nonnegative().default(1e-3),
    center: z.boolean().nullish(),
    scale: z.boolean().nullish(),
    rms_scaling: off,
    ...weightOptions("gamma", "ones"),
    ...weightOptions("beta", "zeros"),
  });

/** (x - mean) / sqrt(variance + epsilon) gamma + beta, each over the last axis, or the last few, of one sample. */
export const layerNormalization: LayerKind = (layer) => {
  const config = parseConfig(Config, layer);
  const shape = normalizedShape(layer, config.axis);
  const cols = sizeOf(shape);
  const rows = sizeOf(layer.inputShape) / cols; // of one sample
  const { epsilon } = config;
  const scale = config.scale ?? true;
  const center = config.center ?? true;
  return {
    name: layer.name,
    className: layer.className,
    order: shape.length === 1 ? "any" : "batch",
    outputShape: layer.inputShape,
    weights: [
      ...(scale ? [weightOf(config, "gamma", shape)] : []),
      ...(center ? [weightOf(config, "beta", shape)] : []),
    ],
    flops: 8 * rows * cols,
    stateFloats: shape.length === 1 ? 0 : null,
    bind({ kernels, maxBatch, allocate, inputs, output, rows: row, weights, weightGradients }) {
      const input = inputs[0]!;
      const stats = allocate(maxBatch * rows * 2); // (batch rows, 2)
      const [gamma, dgamma] = scale ? [weights[0]!, weightGradients[0]!] : [0, 0];
      const [beta, dbeta] = center ? [weights.at(-1)!, weightGradients.at(-1)!] : [0, 0];
      return {
        forward(batch) {
          kernels.layerNormForward(
            input.value,
            gamma,
            beta,
            output.value,
            stats,
            batch * rows,
            cols,
            epsilon,
          );
        },
        backward(batch) {
          const dy = output.gradient;
          kernels.layerNormBackward(
            input.value,
            gamma,
            stats,
            dy,
            input.gradient,
            dgamma,
            dbeta,
            batch * rows,
            cols,
          );
        },
        step() {
          kernels.layerNormForward(row.inputs[0]!, gamma, beta, row.output, stats, 1, cols, epsilon);
        },
      };
    },
  };
};

/** The sizes along the axes, which must be the last ones. Keras counts them with the batch axis in front. */
function normalizedShape(layer: LayerConfig, axes: readonly number[]): readonly number[] {
  const rank = layer.inputShape.length + 1;
  const last = axes.map((axis) => (axis < 0 ? axis + rank : axis)).sort((a, b) => a - b);
  const first = rank - last.length;
  if (first < 1 || last.some((axis, i) => axis !== first + i))
    throw new FleetError(
      "UNSUPPORTED",
      `layer "${layer.name}" (${layer.className}): the engine normalizes over the last axes only, not over axis ${axes.join(", ")}`,
    );
  return layer.inputShape.slice(first - 1);
}
