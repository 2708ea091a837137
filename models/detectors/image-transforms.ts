import type { ImageShape } from "./image-shape.ts";

/** Turned by so many quarters of a circle, counter-clockwise, then moved. */
export interface Transform {
  readonly quarters: number;
  /** Pixels down, and to the right; what comes in from outside is 0. */
  readonly down: number;
  readonly right: number;
}

/**
 * Every quarter turn, at its place and moved by `shift` pixels along each axis and both: 36, or 4 where `shift` is 0. Source: the compositions of
 * Golan & El-Yaniv 2018 (arXiv 1805.10917, section 4.1) without their flips.
 */
export function turnsAndShifts(shift: number): Transform[] {
  const steps = shift === 0 ? [0] : [0, -shift, shift];
  return [0, 1, 2, 3].flatMap((quarters) =>
    steps.flatMap((down) => steps.map((right) => ({ quarters, down, right }))),
  );
}

/** Of square images. No allocation. */
export type TransformImage = (image: Float32Array, out: Float32Array) => void;

/** One table of where each value of `out` comes from, -1 for outside. */
export function transformer({ height, width, depth }: ImageShape, transform: Transform): TransformImage {
  const from = new Int32Array(height * width * depth).fill(-1);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      let [row, column] = [y - transform.down, x - transform.right];
      if (row < 0 || row >= height || column < 0 || column >= width) continue;
      // The top right corner of an image comes to the top left when it is turned counter-clockwise.
      for (let k = 0; k < transform.quarters; k++) [row, column] = [column, width - 1 - row];
      for (let d = 0; d < depth; d++) from[(y * width + x) * depth + d] = (row * width + column) * depth + d;
    }
  }
  return (image, out) => {
    for (let i = 0; i < from.length; i++) out[i] = from[i]! < 0 ? 0 : image[from[i]!]!;
  };
}
