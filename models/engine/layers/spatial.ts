import { z } from "zod";
import { FleetError } from "../../../protocol/errors.ts";
import type { Shape } from "../shape.ts";
import type { LayerConfig } from "./layer.ts";

// What layers over series (time, channels) and images (height, width, channels) share. A series is an image of height 1.

export const channelsLast = z.enum(["channels_last", "channelsLast"]).nullish();

const size = z.int().positive().max(65_536);
const amount = z.int().nonnegative().max(65_536);

/** 3 or [3]. */
export const size1 = z.union([size, z.tuple([size]).transform(([only]) => only)]);
/** 3 or [3, 2]. */
export const size2 = z.union([size.transform((both) => [both, both] as const), z.tuple([size, size])]);
/** 1 or [1, 2]: what is added or cut before and after. */
export const amounts1 = z.union([
  amount.transform((both) => [both, both] as const),
  z.tuple([amount]).transform(([both]) => [both, both] as const),
  z.tuple([amount, amount]),
]);
/** 1, [1, 2] (rows, columns) or [[1, 2], [3, 4]]. */
export const amounts2 = z.union([
  amount.transform((all) => pairs(all, all)),
  z.tuple([amount, amount]).transform(([rows, columns]) => pairs(rows, columns)),
  z.tuple([z.tuple([amount, amount]), z.tuple([amount, amount])]),
]);

function pairs(rows: number, columns: number): [[number, number], [number, number]] {
  return [
    [rows, rows],
    [columns, columns],
  ];
}

export interface Image {
  readonly height: number;
  readonly width: number;
  readonly channels: number;
}

/** The layer's input as an image; `axes`: 1 for a series, 2 for an image. Throws BAD_INPUT. */
export function imageOf(layer: LayerConfig, axes: 1 | 2): Image {
  const { inputShape, name, className } = layer;
  if (inputShape.length !== axes + 1) {
    const wanted = axes === 1 ? "(time, channels)" : "(height, width, channels)";
    throw new FleetError(
      "BAD_INPUT",
      `layer "${name}" (${className}) needs an input of shape ${wanted}, but gets (${inputShape.join(", ")})`,
    );
  }
  const [height, width, channels] = (axes === 1 ? [1, ...inputShape] : inputShape) as [
    number,
    number,
    number,
  ];
  return { height, width, channels };
}

/** The shape of an image, without the height that a series does not have. */
export function shapeOfImage({ height, width, channels }: Image, axes: 1 | 2): Shape {
  return axes === 1 ? [width, channels] : [height, width, channels];
}

/** Throws BAD_INPUT where nothing is left of the image. */
export function checkNotEmpty({ height, width }: Image, layer: LayerConfig): void {
  if (height >= 1 && width >= 1) return;
  throw new FleetError(
    "BAD_INPUT",
    `layer "${layer.name}" (${layer.className}) leaves nothing of its input (${layer.inputShape.join(", ")}); make its window or cut smaller`,
  );
}
