import { FleetError } from "../../protocol/errors.ts";
import type { Samples } from "../engine/samples.ts";
import type { ScaledPart } from "./kind.ts";

/** A row of some part: an image or a record. */
export interface RowAt {
  /** A view, valid until the next row. */
  readonly values: Float32Array;
  /** Its class, where it is known. */
  readonly label: number | undefined;
}

/** The rows of several parts, one after the other. */
export function rowsOf(parts: readonly ScaledPart[]): { count: number; at(index: number): RowAt } {
  const starts: number[] = [];
  let count = 0;
  for (const { from, to } of parts) {
    starts.push(count);
    count += to - from;
  }
  return {
    count,
    at(index) {
      if (index >= count) throw new FleetError("BAD_INPUT", `there is no row ${index}, there are ${count}`);
      let p = starts.length - 1;
      while (starts[p]! > index) p--;
      const { read, from, labels } = parts[p]!;
      const row = from + index - starts[p]!;
      return { values: read(row, 1), label: labels?.[row] };
    },
  };
}

/** One sample a row; `target` writes what the network shall say of it. */
export function rowSamples(
  parts: readonly ScaledPart[],
  target: (row: RowAt, y: Float32Array) => void,
): Samples {
  const { count, at } = rowsOf(parts);
  return {
    count,
    read(indexes, x, y) {
      const size = x.length / indexes.length;
      const outputs = y.length / indexes.length;
      for (let k = 0; k < indexes.length; k++) {
        const row = at(indexes[k]!);
        x.set(row.values, k * size);
        target(row, y.subarray(k * outputs, (k + 1) * outputs));
      }
    },
  };
}
