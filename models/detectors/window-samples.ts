import { FleetError } from "../../protocol/errors.ts";
import type { Samples } from "../engine/samples.ts";
import type { ScaledPart } from "./kind.ts";
import { joined } from "./network.ts";

export interface WindowSamples {
  /** Rows that one sample needs, its target's included, and rows from one sample's start to the next. */
  readonly rows: number;
  readonly stride: number;
  /** Writes the sample that begins with row `first` of the part. */
  write(
    part: ScaledPart,
    first: number,
    sample: { readonly x: Float32Array; readonly y: Float32Array },
  ): void;
}

/** Samples made of neighbouring rows. A part that is too short for one gives none. */
export function windowSamples(parts: readonly ScaledPart[], { rows, stride, write }: WindowSamples): Samples {
  return joined(
    parts.map((part) => {
      const count = Math.max(0, Math.floor((part.to - part.from - rows) / stride) + 1);
      return {
        count,
        read(indexes, x, y) {
          const xs = x.length / indexes.length;
          const ys = y.length / indexes.length;
          for (let k = 0; k < indexes.length; k++) {
            const index = indexes[k]!;
            if (index >= count)
              throw new FleetError("BAD_INPUT", `there is no window ${index}, there are ${count}`);
            write(part, part.from + index * stride, {
              x: x.subarray(k * xs, (k + 1) * xs),
              y: y.subarray(k * ys, (k + 1) * ys),
            });
          }
        },
      };
    }),
  );
}

/** Rows first..first+rows-1 of a part, flat: a view, valid until the part is read again. */
export function rowsOf({ read }: ScaledPart, first: number, rows: number): Float32Array {
  return read(first, rows);
}
