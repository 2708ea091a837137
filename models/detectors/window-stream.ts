import type { Model } from "../engine/compile.ts";
import type { ResidualStream } from "./kind.ts";
import { recentWindow } from "./recent-window.ts";

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
  const recent = recentWindow({ window, width });
  const { rows, stateSize, state, restore, reset } = recent;
  const residual = new Float32Array(channels);

  const judge = (target: Float32Array) => {
    if (recent.seen < window) {
      residual.fill(Number.NaN);
      return;
    }
    const output = model.predictOne(rows);
    for (let c = 0; c < channels; c++) residual[c] = target[c]! - output[at + c]!;
  };
  const order: Record<typeof sees, (row: Float32Array, target: Float32Array) => void> = {
    row(row, target) {
      recent.next().set(row);
      judge(target);
    },
    place(row, target) {
      const newest = recent.next();
      hideRow(rows, rows.length - width, channels);
      judge(target);
      newest.set(row);
      newest[channels] = 0;
    },
    past(row, target) {
      judge(target);
      recent.next().set(row);
    },
  };
  const push = order[sees];
  return {
    ...{ stateSize, state, restore, reset },
    push(row, target) {
      push(row, target);
      return residual;
    },
    dispose() {},
  };
}
