import { z } from "zod";
import { FleetError } from "../../../protocol/errors.ts";
import { type Shape, sizeOf } from "../shape.ts";
import { common, parseConfig } from "./config.ts";
import type { LayerConfig, LayerKind, LayerPlan } from "./layer.ts";
import { channelsLast } from "./spatial.ts";

const FlattenConfig = () => z.strictObject({ ...common, data_format: channelsLast });
const size = z.union([z.int().positive(), z.literal(-1), z.null()]);
const ReshapeConfig = () => z.strictObject({ ...common, target_shape: z.array(size).max(8) });

/** All axes in one. */
export const flatten: LayerKind = (layer) => {
  parseConfig(FlattenConfig, layer);
  return alias(layer, [sizeOf(layer.inputShape)]);
};

/** The same values under another shape; one size may be -1 (or null) and follows from the others. */
export const reshape: LayerKind = (layer) => {
  const { target_shape: target } = parseConfig(ReshapeConfig, layer);
  const total = sizeOf(layer.inputShape);
  const known = target.reduce<number>((product, axis) => product * (isOpen(axis) ? 1 : axis!), 1);
  const open = target.filter(isOpen).length;
  const fits = open === 0 ? known === total : open === 1 && total % known === 0;
  if (target.length === 0 || !fits) {
    throw new FleetError(
      "BAD_INPUT",
      `layer "${layer.name}" (${layer.className}): (${layer.inputShape.join(", ")}) can't be seen as (${target.join(", ")}); its ${total} values must fill it`,
    );
  }
  return alias(
    layer,
    target.map((axis) => (isOpen(axis) ? total / known : axis!)),
  );
};

function isOpen(axis: number | null): boolean {
  return axis === -1 || axis === null;
}

function alias({ name, className, inputShape }: LayerConfig, outputShape: Shape): LayerPlan {
  const isRow = inputShape.length === 1 && outputShape.length === 1;
  return {
    name,
    className,
    order: "batch",
    outputShape,
    weights: [],
    flops: 0,
    stateFloats: isRow ? 0 : null,
    alias: true,
    mask: "drop",
    bind({ kernels, rows }) {
      return {
        forward() {},
        backward() {},
        step() {
          kernels.copy(rows.output, rows.inputs[0]!, outputShape[0]!);
        },
      };
    },
  };
}
