import type { ResidualStream } from "./kind.ts";

/** What a test makes of the values of one channel that a window has. variance: over count - 1; NaN for a single value. */
export type Statistic = (channel: number, count: number, mean: number, variance: number) => number;

/**
 * The statistic of each channel over the last `rows` rows, of fewer at the start. Missing values are left out; a channel that is missing in the present row has no
 * residual. Both passes are made anew for every row: running sums would drift over months, and differ after a restart.
 */
export function windowStream(channels: number, rows: number, statistic: Statistic): ResidualStream {
  // (rows, channels), newest first; NaN where there is nothing.
  const recent = new Float32Array(rows * channels).fill(Number.NaN);
  const residual = new Float32Array(channels);
  return {
    stateSize: recent.length,
    push(_row, target) {
      recent.copyWithin(channels, 0, (rows - 1) * channels);
      recent.set(target);
      for (let c = 0; c < channels; c++) {
        residual[c] = Number.NaN;
        if (Number.isNaN(target[c]!)) continue;
        let count = 0;
        let sum = 0;
        for (let at = c; at < recent.length; at += channels) {
          const x = recent[at]!;
          if (Number.isNaN(x)) continue;
          sum += x;
          count++;
        }
        const mean = sum / count;
        let squares = 0;
        for (let at = c; at < recent.length; at += channels) {
          const off = recent[at]! - mean;
          if (!Number.isNaN(off)) squares += off * off;
        }
        residual[c] = statistic(c, count, mean, squares / (count - 1));
      }
      return residual;
    },
    state: () => recent.slice(),
    restore: (state) => recent.set(state),
    reset() {
      recent.fill(Number.NaN);
    },
    dispose() {},
  };
}
