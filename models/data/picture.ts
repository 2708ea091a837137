import { FleetError } from "../../protocol/errors.ts";

/** A decoded picture. */
export interface Picture {
  readonly width: number;
  readonly height: number;
  /** 1 = grey, 3 = red, green, blue. */
  readonly channels: 1 | 3;
  /** (height, width, channels), 0..most. */
  readonly pixels: Uint8Array | Uint16Array;
  readonly most: number;
}

export interface ImageOptions {
  /** Most pixels of a picture; it is refused by its header, before it is decoded. */
  readonly maxPixels?: number;
}

/** A 4K picture has half as many. */
export const DEFAULT_MAX_PIXELS = 16 * 1024 * 1024;

/** Throws BAD_INPUT for a size that is 0 or above the limit. */
export function checkSize(
  { width, height }: { readonly width: number; readonly height: number },
  name: string,
  { maxPixels = DEFAULT_MAX_PIXELS }: ImageOptions,
): void {
  if (width < 1 || height < 1)
    throw new FleetError("BAD_INPUT", `${name}: has a size of ${width} x ${height}; check the file`);
  if (width * height > maxPixels)
    throw new FleetError(
      "BAD_INPUT",
      `${name}: has ${width} x ${height} pixels, more than ${maxPixels}; make it smaller or raise maxPixels`,
    );
}
