import { FleetError } from "../../protocol/errors.ts";

export interface RecalibrationOptions {
  /** Scores kept: the last ones. */
  readonly capacity: number;
  /** A score is taken only when no alarm was open this many rows before and after it. */
  readonly guardRows?: number;
}

/** Scores of unalarmed rows, from which threshold and tail may be fitted again. */
export interface RecalibrationScores {
  /** The next row's score, and whether an alarm is open at it. NaN is left out. */
  push(score: number, row: { readonly alarmed: boolean }): void;
  /** Scores that are kept. */
  readonly count: number;
  /** (count), oldest first. */
  scores(): Float64Array;
}

/** Twice the smoothing: what led to an alarm lies in the scores before it. */
export const DEFAULT_GUARD_ROWS = 20;

/**
 * A bounded store of normal scores. Without the rows about an alarm it can't learn a fault as normal; for the same reason the
 * highest normal scores are a little rarer in it than they are, so fit on it again after retraining, not over and over.
 */
export function recalibrationScores(options: RecalibrationOptions): RecalibrationScores {
  const { capacity, guardRows = DEFAULT_GUARD_ROWS } = options;
  if (!(Number.isInteger(capacity) && capacity > 0) || !(Number.isInteger(guardRows) && guardRows >= 0)) {
    throw new FleetError(
      "BAD_INPUT",
      `capacity ${capacity} must be a whole number above 0, and guardRows ${guardRows} one of 0 or more`,
    );
  }
  const ring = new Float64Array(capacity);
  const waiting: number[] = [];
  let taken = 0;
  let quietRows = guardRows;
  return {
    push(score, { alarmed }) {
      if (alarmed) {
        waiting.length = 0;
        quietRows = 0;
        return;
      }
      if (quietRows < guardRows) {
        quietRows++;
        return;
      }
      waiting.push(score);
      if (waiting.length <= guardRows) return;
      const oldest = waiting.shift()!;
      if (!Number.isNaN(oldest)) ring[taken++ % capacity] = oldest;
    },
    get count() {
      return Math.min(taken, capacity);
    },
    scores: () => {
      const count = Math.min(taken, capacity);
      return Float64Array.from({ length: count }, (_, i) => ring[(taken - count + i) % capacity]!);
    },
  };
}
