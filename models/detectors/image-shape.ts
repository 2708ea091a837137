import { FleetError } from "../../protocol/errors.ts";
import type { BlueprintOptions, Hyperparameters } from "./kind.ts";

/** A row of a data set is an image, flat, row after row of pixels, channels last. */
export interface ImageShape {
  readonly height: number;
  readonly width: number;
  readonly depth: number;
}

const MOST = 4096;
const given = "the images' own";

/** For kinds whose rows are images: what no count of channels can tell. */
export const imageShapeOptions: Hyperparameters = {
  height: { default: 0, least: 0, most: MOST, about: "rows of pixels; 0: as many as columns", source: given },
  width: { default: 0, least: 0, most: MOST, about: "columns of pixels; 0: as many as fit", source: given },
  depth: {
    default: 1,
    least: 1,
    most: 64,
    about: "values of a pixel: 1 for grey, 3 for colours",
    source: given,
  },
};

/** Throws BAD_INPUT where the channels are not those of such an image. */
export function imageShapeOf({
  channels,
  spec,
  tuned,
}: Pick<BlueprintOptions, "channels" | "spec" | "tuned">): ImageShape {
  const depth = tuned.depth!;
  const pixels = channels / depth;
  const width = tuned.width! || (tuned.height! ? pixels / tuned.height! : Math.sqrt(pixels));
  const height = tuned.height! || pixels / width;
  if (Number.isInteger(width) && Number.isInteger(height) && height * width * depth === channels)
    return { height, width, depth };
  throw new FleetError(
    "BAD_INPUT",
    `${spec.name} can't take ${channels} channels as an image of ${depth} value${depth > 1 ? "s" : ""} a pixel; set its options height, width and depth so that their product is ${channels}`,
  );
}

/** As `imageShapeOf`, for what turns images. */
export function squareOf(options: Parameters<typeof imageShapeOf>[0]): ImageShape {
  const shape = imageShapeOf(options);
  if (shape.height === shape.width) return shape;
  throw new FleetError(
    "BAD_INPUT",
    `${options.spec.name} turns images, so they must be square, not ${shape.height} x ${shape.width}; cut them, or take cnn2d-autoencoder without rotation`,
  );
}
