import { FleetError } from "../../protocol/errors.ts";
import type { ResidualStream } from "./kind.ts";

/** The last rows of a stream, all that a network which takes whole windows has to keep of it. */
export interface RecentWindow extends Omit<ResidualStream, "push" | "dispose"> {
  /** (window, width), the newest row last. */
  readonly rows: Float32Array;
  /** Rows since the beginning, up to `window`. */
  readonly seen: number;
  /** Makes room for the newest row, and gives that room: (width). */
  next(): Float32Array;
}

export function recentWindow({
  window,
  width,
}: {
  readonly window: number;
  readonly width: number;
}): RecentWindow {
  const rows = new Float32Array(window * width);
  const newest = rows.subarray(rows.length - width);
  const stateSize = 1 + rows.length;
  let seen = 0;
  return {
    rows,
    stateSize,
    get seen() {
      return seen;
    },
    next() {
      rows.copyWithin(0, width);
      seen = Math.min(window, seen + 1);
      return newest;
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
  };
}
