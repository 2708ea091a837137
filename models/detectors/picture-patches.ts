export const MOST_PATCHES = 256;

/** A picture cut into a grid of patches. */
export interface Patches {
  readonly count: number;
  /** (count): the pixel in the middle of each, which stands for it. */
  readonly middles: Uint32Array;
  /**
   * errors (pixels), NaN = missing -> rms (count), the root mean square of each patch's errors, NaN where all are missing; and `present` (count), how
   * many pixels it is of.
   */
  measure(errors: Float32Array, rms: Float32Array, present: Uint32Array): void;
}

/** About `wanted` patches, nearly square; the picture is (height, width), flat. */
export function picturePatches(height: number, width: number, wanted: number): Patches {
  const within = (n: number, most: number) => Math.min(most, Math.max(1, Math.round(n)));
  const rows = within(Math.sqrt((wanted * height) / width), height);
  const cols = within(wanted / rows, width);
  const count = rows * cols;
  const patchOf = Uint32Array.from({ length: height * width }, (_, i) => {
    const [y, x] = [Math.floor(i / width), i % width];
    return Math.floor((y * rows) / height) * cols + Math.floor((x * cols) / width);
  });
  const middle = (at: number, parts: number, size: number) => Math.floor(((at + 0.5) * size) / parts);
  const middles = Uint32Array.from(
    { length: count },
    (_, p) => middle(Math.floor(p / cols), rows, height) * width + middle(p % cols, cols, width),
  );
  return {
    count,
    middles,
    measure(errors, rms, present) {
      rms.fill(0);
      present.fill(0);
      for (let i = 0; i < errors.length; i++) {
        const error = errors[i]!;
        if (Number.isNaN(error)) continue;
        const patch = patchOf[i]!;
        rms[patch]! += error * error;
        present[patch]!++;
      }
      // Nothing of nothing is NaN.
      for (let p = 0; p < count; p++) rms[p] = Math.sqrt(rms[p]! / present[p]!);
    },
  };
}
