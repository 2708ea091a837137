import { FleetError } from "../../protocol/errors.ts";
import type { ImageOptions, Picture } from "./picture.ts";
import { decodePng, isPng } from "./png.ts";

/** Decodes a PNG or JPEG by its content; `name` stands in the messages. Throws BAD_INPUT. */
export async function decodeImage(
  bytes: Uint8Array,
  name: string,
  options: ImageOptions = {},
): Promise<Picture> {
  if (isPng(bytes)) return decodePng(bytes, name, options);
  if (bytes[0] === 0xff && bytes[1] === 0xd8)
    return (await import("./jpeg.ts")).decodeJpeg(bytes, name, options);
  throw new FleetError("BAD_INPUT", `${name}: is neither PNG nor JPEG (bad magic at byte 0); convert it`);
}

export interface Raster {
  readonly width: number;
  readonly height: number;
  readonly channels: 1 | 3;
}

/** Red, green, blue to grey. Source: ITU-R BT.601, as Pillow's mode L. */
const LUMA = [0.299, 0.587, 0.114] as const;

/**
 * A picture as numbers 0..1 of (height, width, channels), written to `out`: every value is the mean of the area that it covers in the picture, so
 * that a fine pattern becomes its mean and no other pattern. It is stretched where the sides have another ratio.
 */
export function rasterise(picture: Picture, to: Raster, out: Float32Array): void {
  const columns = covers(picture.width, to.width);
  const rows = covers(picture.height, to.height);
  const { pixels, most, channels: from } = picture;
  const mixed = new Float64Array(to.width * from);
  const line = new Float64Array(picture.width * from);
  for (let y = 0; y < to.height; y++) {
    const cover = rows[y]!;
    line.fill(0);
    for (let i = 0; i < cover.weights.length; i++) {
      const at = (cover.first + i) * picture.width * from;
      const weight = cover.weights[i]! / most;
      for (let k = 0; k < line.length; k++) line[k]! += weight * pixels[at + k]!;
    }
    mixed.fill(0);
    for (let x = 0; x < to.width; x++) {
      const { first, weights } = columns[x]!;
      for (let i = 0; i < weights.length; i++)
        for (let c = 0; c < from; c++) mixed[x * from + c]! += weights[i]! * line[(first + i) * from + c]!;
    }
    for (let x = 0; x < to.width; x++) {
      const at = (y * to.width + x) * to.channels;
      for (let c = 0; c < to.channels; c++) {
        const value =
          from === to.channels
            ? mixed[x * from + c]!
            : from === 1
              ? mixed[x]!
              : LUMA.reduce((sum, part, k) => sum + part * mixed[x * 3 + k]!, 0);
        out[at + c] = Math.min(1, value);
      }
    }
  }
}

/** Which of `from` pixels each of `to` covers, and how much of its own length each of them is. */
function covers(from: number, to: number): { readonly first: number; readonly weights: Float64Array }[] {
  const step = from / to;
  return Array.from({ length: to }, (_, i) => {
    const start = i * step;
    const end = i === to - 1 ? from : (i + 1) * step;
    const first = Math.min(from - 1, Math.floor(start));
    const last = Math.min(from, Math.max(first + 1, Math.ceil(end)));
    const weights = Float64Array.from(
      { length: last - first },
      (_, k) => Math.max(0, Math.min(end, first + k + 1) - Math.max(start, first + k)) / (end - start),
    );
    return { first, weights };
  });
}
