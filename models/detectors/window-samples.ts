import { FleetError } from "../../protocol/errors.ts";
import type { Samples } from "../engine/samples.ts";
import type { Change } from "./augment/change.ts";
import type { ScaledPart } from "./kind.ts";
import { joined } from "./network.ts";

export interface WindowSamples {
  /** Rows that one sample needs, its target's included, and rows from one sample's start to the next. */
  readonly rows: number;
  readonly stride: number;
  /** Writes one sample. */
  write(window: Window, sample: { readonly x: Float32Array; readonly y: Float32Array }): void;
  /** Draws every sample anew; mixed are those of one part. */
  readonly change?: Change | undefined;
}

/** The rows of a sample, (rows, channels), valid until the next: what its input is made of, and what its target. The same, unless they were changed. */
export interface Window {
  readonly seen: Float32Array;
  readonly wanted: Float32Array;
  readonly part: ScaledPart;
  /** The part's row that it begins with. */
  readonly first: number;
}

/** Samples made of neighbouring rows. A part that is too short for one gives none. */
export function windowSamples(
  parts: readonly ScaledPart[],
  { rows, stride, write, change }: WindowSamples,
): Samples {
  return joined(
    parts.map((part) => {
      const count = Math.max(0, Math.floor((part.to - part.from - rows) / stride) + 1);
      const windowAt = (index: number) => rowsOf(part, part.from + index * stride, rows);
      // What is mixed holds two of them at once.
      const copyAt = (index: number) => windowAt(index).slice();
      return {
        count,
        read(indexes, x, y) {
          const xs = x.length / indexes.length;
          const ys = y.length / indexes.length;
          for (let k = 0; k < indexes.length; k++) {
            const index = indexes[k]!;
            if (index >= count)
              throw new FleetError("BAD_INPUT", `there is no window ${index}, there are ${count}`);
            const { seen, wanted } = change?.(index, count, copyAt) ?? unchanged(windowAt(index));
            write(
              { seen, wanted, part, first: part.from + index * stride },
              { x: x.subarray(k * xs, (k + 1) * xs), y: y.subarray(k * ys, (k + 1) * ys) },
            );
          }
        },
      };
    }),
  );
}

function unchanged(rows: Float32Array): Pick<Window, "seen" | "wanted"> {
  return { seen: rows, wanted: rows };
}

/** Rows first..first+rows-1 of a part, flat: a view, valid until the part is read again. */
export function rowsOf({ read }: ScaledPart, first: number, rows: number): Float32Array {
  return read(first, rows);
}
