import { FleetError } from "../../protocol/errors.ts";
import type { Model } from "../engine/compile.ts";
import type { ResidualStream } from "./kind.ts";

export interface WindowStreamOptions {
  readonly model: Model;
  /** Rows that the network sees at once. */
  readonly window: number;
  readonly channels: number;
  /**
   * What the network knows of the row that it is judged by: "row", the row itself, as the window's last; "place", that it is the last, its values hidden
   * (`hideRow`); "past", only the rows before it.
   */
  readonly sees: "row" | "place" | "past";
  /** Where in the output that row's values begin. */
  readonly at: number;
}

/**
 * In a window whose rows are values, then a mark: hides the row that begins at `at`. Its values are those of the row before it (which may be hidden likewise;
 * zeros where there is none), its mark 1.
 */
export function hideRow(rows: Float32Array, at: number, channels: number): void {
  const width = channels + 1;
  if (at >= width) rows.copyWithin(at, at - width, at - 1);
  else rows.fill(0, at, at + channels);
  rows[at + channels] = 1;
}

/** The residual of the newest row, from the last rows of a stream, which are its state; NaN until there are as many as the network takes. */
export function windowStream({ model, window, channels, sees, at }: WindowStreamOptions): ResidualStream {
  const width = sees === "place" ? channels + 1 : channels;
  const rows = new Float32Array(window * width);
  const newest = rows.length - width;
  const residual = new Float32Array(channels);
  const needed = sees === "place" ? window - 1 : window;
  let seen = 0; // as far as it matters

  const judge = (target: Float32Array) => {
    if (seen < needed) {
      residual.fill(Number.NaN);
      return;
    }
    const output = model.predictOne(rows);
    for (let c = 0; c < channels; c++) residual[c] = target[c]! - output[at + c]!;
  };
  const enter = (row: Float32Array) => {
    rows.copyWithin(0, width);
    rows.set(row, newest);
    seen = Math.min(window, seen + 1);
  };
  const order: Record<typeof sees, (row: Float32Array, target: Float32Array) => void> = {
    row(row, target) {
      enter(row);
      judge(target);
    },
    place(row, target) {
      rows.copyWithin(0, width);
      hideRow(rows, newest, channels);
      judge(target);
      rows.set(row, newest);
      rows[newest + channels] = 0;
      seen = Math.min(window, seen + 1);
    },
    past(row, target) {
      judge(target);
      enter(row);
    },
  };
  const push = order[sees];
  const stateSize = 1 + rows.length;
  return {
    stateSize,
    push(row, target) {
      push(row, target);
      return residual;
    },
    state() {
      const state = new Float32Array(stateSize);
      state[0] = seen;
      state.set(rows, 1);
      return state;
    },
    restore(state) {
      if (state.length !== stateSize)
        throw new FleetError(
          "CORRUPT",
          `the window's state has ${state.length} values, this detector needs ${stateSize}`,
        );
      seen = state[0]!;
      rows.set(state.subarray(1));
    },
    reset() {
      seen = 0;
      rows.fill(0);
    },
    dispose() {},
  };
}
