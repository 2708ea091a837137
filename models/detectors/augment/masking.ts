import type { Random } from "../../engine/random.ts";

export interface MaskingOptions {
  /** Of all values, the part that is hidden. */
  readonly share: number;
  /** Mean length of what is hidden, in rows; 1: single values. */
  readonly rows: number;
  readonly channels: number;
  /**
   * What stands in a hidden cell. "before": the value before it in its channel, which is what a gap looks like to a detector, 0 in the first row. "zero": 0, the
   * channel's mean.
   */
  readonly fill: "before" | "zero";
}

/**
 * Hides values, in place, each channel by itself, and marks them in `hidden` (rows, channels). Of the input alone: what was hidden is still wanted. With `rows` above 1, stretches of
 * hidden and of seen rows follow each other, both of geometric length. Sources: Zerveas et al. 2021, arXiv 2010.02803, section 3.2 (0.15 hidden, of mean
 * length 3); single values, Vincent et al. 2008, ICML.
 */
export function masking(
  random: Random,
  { share, rows: length, channels, fill }: MaskingOptions,
): (rows: Float32Array, hidden: Uint8Array) => void {
  const ends = 1 / length;
  // So that hidden stretches make up `share`; where it asks for gaps shorter than a row, every second row.
  const begins = Math.min(1, (ends * share) / (1 - share));
  return (rows, hidden) => {
    for (let c = 0; c < channels; c++) {
      let hides = random.uniform() < share;
      for (let at = c; at < rows.length; at += channels) {
        hidden[at] = hides ? 1 : 0;
        if (hides) rows[at] = fill === "before" && at >= channels ? rows[at - channels]! : 0;
        const next = random.uniform();
        if (length === 1) hides = next < share;
        else hides = hides ? next >= ends : next < begins;
      }
    }
  };
}
