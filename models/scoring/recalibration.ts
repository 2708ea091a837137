import { FleetError } from "../../protocol/errors.ts";

export interface RecalibrationOptions {
  /** Scores kept: the last ones. */
  readonly capacity: number;
  /** A score is taken only when no alarm was open this many rows before and after it. */
  readonly guardRows?: number;
}

/** Scores of unalarmed rows, from which threshold and tail may be fitted again. */
export interface RecalibrationScores {
  /** The next row's score, and whether an alarm is open at it. NaN is left out. No allocation. */
  push(score: number, row: { readonly alarmed: boolean }): void;
  /** Forgets the scores so far. */
  clear(): void;
  /** Scores that are kept. */
  readonly count: number;
  /** (count), oldest first. */
  scores(): Float64Array;
  /** A copy, to go on after a restart. */
  state(): RecalibrationState;
}

/** Scores as float32: a restart goes on with the very same ones. */
export interface RecalibrationState {
  /** Those that are kept, oldest first. */
  readonly kept: Float32Array;
  /** Those that may still turn out to lead to an alarm, oldest first. */
  readonly waiting: Float32Array;
  /** Rows since the last alarm, up to the guard. */
  readonly quietRows: number;
}

/** Twice the smoothing: what led to an alarm lies in the scores before it. */
export const DEFAULT_GUARD_ROWS = 20;

/**
 * A bounded store of normal scores. Without the rows about an alarm it can't learn a fault as normal; for the same reason the
 * highest normal scores are a little rarer in it than they are, so fit on it again after retraining, not over and over.
 */
export function recalibrationScores(
  options: RecalibrationOptions,
  start?: RecalibrationState,
): RecalibrationScores {
  const { capacity, guardRows = DEFAULT_GUARD_ROWS } = options;
  if (!(Number.isInteger(capacity) && capacity > 0) || !(Number.isInteger(guardRows) && guardRows >= 0)) {
    throw new FleetError(
      "BAD_INPUT",
      `capacity ${capacity} must be a whole number above 0, and guardRows ${guardRows} one of 0 or more`,
    );
  }
  const kept = ring(capacity, start?.kept);
  const waiting = ring(guardRows + 1, start?.waiting);
  let quietRows = Math.min(guardRows, start?.quietRows ?? guardRows);
  return {
    push(score, { alarmed }) {
      if (alarmed) {
        waiting.clear();
        quietRows = 0;
        return;
      }
      if (quietRows < guardRows) {
        quietRows++;
        return;
      }
      waiting.push(score);
      if (waiting.count <= guardRows) return;
      const oldest = waiting.takeOldest();
      if (!Number.isNaN(oldest)) kept.push(oldest);
    },
    clear() {
      kept.clear();
      waiting.clear();
    },
    get count() {
      return kept.count;
    },
    scores: () => Float64Array.from(kept.values()),
    state: () => ({ kept: kept.values(), waiting: waiting.values(), quietRows }),
  };
}

/** The last `capacity` numbers. */
function ring(capacity: number, start: Float32Array = new Float32Array(0)) {
  const values = new Float32Array(capacity);
  const first = start.subarray(Math.max(0, start.length - capacity));
  values.set(first);
  let count = first.length;
  let next = count % capacity;
  return {
    get count() {
      return count;
    },
    push(value: number) {
      values[next] = value;
      next = (next + 1) % capacity;
      if (count < capacity) count++;
    },
    takeOldest(): number {
      const oldest = values[(next - count + capacity) % capacity]!;
      count--;
      return oldest;
    },
    clear() {
      count = 0;
    },
    values: () =>
      Float32Array.from({ length: count }, (_, i) => values[(next - count + i + capacity) % capacity]!),
  };
}
