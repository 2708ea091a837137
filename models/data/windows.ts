import { FleetError } from "../../protocol/errors.ts";
import type { Samples } from "../engine/samples.ts";

export interface ForecastWindows {
  /** (rows, channels), without NaN: missing values are filled before. */
  readonly values: Float32Array;
  readonly rows: number;
  readonly channels: number;
  readonly window: number;
  /** Rows from one window's start to the next. */
  readonly stride?: number;
  /** Only rows from..to-1 are touched, targets included. */
  readonly from?: number;
  readonly to?: number;
}

/**
 * Next-step targets, sequence to sequence: x = rows i..i+window-1, y = rows i+1..i+window, both (window, channels).
 * Throws BAD_INPUT for a window, stride or range that cannot be; a range that is too short gives a count of 0.
 */
export function forecastWindows(options: ForecastWindows): Samples {
  const { values, rows, channels, window, stride = 1, from = 0, to = rows } = options;
  if (!(Number.isInteger(window) && window > 0) || !(Number.isInteger(stride) && stride > 0)) {
    throw new FleetError("BAD_INPUT", `window ${window} and stride ${stride} must be whole numbers above 0`);
  }
  if (values.length !== rows * channels || !(0 <= from && from <= to && to <= rows)) {
    throw new FleetError("BAD_INPUT", `rows ${from} to ${to} are not within a series of ${rows} rows`);
  }
  const count = Math.max(0, Math.floor((to - from - window - 1) / stride) + 1);
  const size = window * channels;
  return {
    count,
    read(indexes, x, y) {
      for (let k = 0; k < indexes.length; k++) {
        const index = indexes[k]!;
        if (index >= count)
          throw new FleetError("BAD_INPUT", `there is no window ${index}, there are ${count}`);
        const at = (from + index * stride) * channels;
        x.set(values.subarray(at, at + size), k * size);
        y.set(values.subarray(at + channels, at + channels + size), k * size);
      }
    },
  };
}

/** Rows from..to-1. */
export interface RowRange {
  readonly from: number;
  readonly to: number;
}

/**
 * The first part to train on and the last to hold back: in time and never shuffled, because neighbouring rows are
 * nearly copies of each other. Both parts have at least one row. Throws BAD_INPUT for fewer than two rows.
 */
export function splitInTime(rows: number, heldBackFraction: number): { train: RowRange; heldBack: RowRange } {
  if (rows < 2 || !(heldBackFraction > 0 && heldBackFraction < 1)) {
    throw new FleetError(
      "BAD_INPUT",
      `can't hold back ${heldBackFraction} of ${rows} rows; give a part of at least two`,
    );
  }
  const at = Math.min(rows - 1, Math.max(1, Math.round(rows * (1 - heldBackFraction))));
  return { train: { from: 0, to: at }, heldBack: { from: at, to: rows } };
}
