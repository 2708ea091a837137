import type { Random } from "../../engine/random.ts";

/**
 * A factor for each channel, the same in all rows, normal about 1, in place. Of input and target alike: a larger swing goes on larger, and comes back larger.
 * Source: Um et al. 2017, arXiv 1706.00527, table 1 ("Scaling"), who take a deviation of 0.1.
 */
export function scaling(random: Random, deviation: number, channels: number): (rows: Float32Array) => void {
  return (rows) => {
    for (let c = 0; c < channels; c++) {
      const factor = 1 + deviation * random.normal();
      for (let at = c; at < rows.length; at += channels) rows[at]! *= factor;
    }
  };
}
