import type { Random } from "../../engine/random.ts";

/** Points between which the speed of time changes evenly: four within the window and its two ends, as Um et al. have. */
const KNOTS = 6;
/** Time may stand nearly still and never go back. */
const SLOWEST = 0.1;

/**
 * Time runs faster here and slower there, in place: the first and the last row stay, and what lies between is read off the straight lines from row to row. Of
 * input and target alike, as the course of a series is the same at another speed. Source: Um et al. 2017, arXiv 1706.00527, table 1 ("TimeWarp", a
 * deviation of 0.2), with straight lines between the speeds in place of a spline.
 */
export function timeWarp(
  random: Random,
  deviation: number,
  { rows: count, channels }: { readonly rows: number; readonly channels: number },
): (rows: Float32Array) => void {
  const before = new Float32Array(count * channels);
  const speeds = new Float64Array(KNOTS);
  const times = new Float64Array(count);
  return (rows) => {
    for (let k = 0; k < KNOTS; k++) speeds[k] = Math.max(SLOWEST, 1 + deviation * random.normal());
    for (let i = 1; i < count; i++) {
      const place = ((i - 0.5) / (count - 1)) * (KNOTS - 1);
      const k = Math.floor(place);
      const part = place - k;
      times[i] = times[i - 1]! + (1 - part) * speeds[k]! + part * speeds[k + 1]!;
    }
    const whole = times[count - 1]!;
    before.set(rows);
    for (let i = 1; i < count - 1; i++) {
      const time = (times[i]! / whole) * (count - 1);
      const row = Math.min(count - 2, Math.floor(time));
      const part = time - row;
      for (let c = 0; c < channels; c++) {
        const at = row * channels + c;
        rows[i * channels + c] = (1 - part) * before[at]! + part * before[at + channels]!;
      }
    }
  };
}
