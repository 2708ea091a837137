import type { Random } from "../../engine/random.ts";
import type { ImageShape } from "../image-shape.ts";

/**
 * Blanks a square of an image, in place. Its centre lies anywhere, so it may reach over the edge. Of the input alone: an autoencoder has to paint in what is
 * missing. Source: DeVries & Taylor 2017, arXiv 1708.04552, section 3.1.
 */
export function cutout(
  random: Random,
  share: number,
  { height, width, depth }: ImageShape,
): (image: Float32Array) => void {
  const side = Math.round(Math.sqrt(share * height * width));
  return (image) => {
    const top = random.integer(height) - Math.floor(side / 2);
    const left = random.integer(width) - Math.floor(side / 2);
    const from = Math.max(0, left);
    const to = Math.min(width, left + side);
    for (let y = Math.max(0, top); y < Math.min(height, top + side); y++)
      image.fill(0, (y * width + from) * depth, (y * width + to) * depth);
  };
}
