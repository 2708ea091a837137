import { FleetError } from "../../protocol/errors.ts";

/** Plain data, so that an agent goes on where it was. */
export interface SmoothingState {
  /** The last scores, oldest first, at most `span`. */
  readonly recent: readonly number[];
}

export interface MovingAverage {
  /** The mean of the last `span` scores, of fewer at the start. A NaN score (nothing was seen) leaves it as it was. */
  push(score: number): number;
  state(): SmoothingState;
}

/** Ten rows: what the reference numbers of the project's data sets were computed with. */
export const DEFAULT_SPAN = 10;

/** A causal moving average: it delays an alarm by a few rows and never looks ahead. */
export function movingAverage(span = DEFAULT_SPAN, state?: SmoothingState): MovingAverage {
  if (!Number.isInteger(span) || span < 1) {
    throw new FleetError(
      "BAD_INPUT",
      `a moving average over ${span} rows can't be; give a whole number above 0`,
    );
  }
  const ring = new Float64Array(span);
  let pushed = 0;
  const average = () => {
    // Summed anew and oldest first: a running sum would drift over months, and differ after a restart.
    const filled = Math.min(pushed, span);
    let sum = 0;
    for (let k = pushed - filled; k < pushed; k++) sum += ring[k % span]!;
    return filled === 0 ? Number.NaN : sum / filled;
  };
  const push = (score: number) => {
    if (!Number.isNaN(score)) ring[pushed++ % span] = score;
    return average();
  };
  for (const score of state?.recent.slice(-span) ?? []) push(score);
  return {
    push,
    state: () => {
      const filled = Math.min(pushed, span);
      return { recent: Array.from({ length: filled }, (_, i) => ring[(pushed - filled + i) % span]!) };
    },
  };
}

/** The same over a whole list of scores. */
export function smooth(scores: Float32Array | Float64Array, span = DEFAULT_SPAN): Float64Array {
  const average = movingAverage(span);
  return Float64Array.from(scores, (score) => average.push(score));
}
