import { FleetError } from "../../protocol/errors.ts";
import type { Samples } from "../engine/samples.ts";
import type { Change } from "./augment/change.ts";
import type { ScaledPart } from "./kind.ts";

/** A row of some part: an image or a record. */
export interface RowAt {
  /** A view, valid until the next row. */
  readonly values: Float32Array;
  /** Its class, where it is known. */
  readonly label: number | undefined;
}

/** A row as it is to be learned. */
export interface Target extends RowAt {
  /** Where it was mixed with another row: that row's class, and this row's own part, else 1. */
  readonly other?: number | undefined;
  readonly own: number;
}

/** The rows of several parts, one after the other; those that `keep` leaves out are not there. */
export function rowsOf(
  parts: readonly ScaledPart[],
  keep?: (label: number | undefined) => boolean,
): { count: number; at(index: number): RowAt } {
  const starts: number[] = [];
  const kept = keep && parts.map((part) => keptRows(part, keep));
  let count = 0;
  parts.forEach(({ from, to }, p) => {
    starts.push(count);
    count += kept ? kept[p]!.length : to - from;
  });
  return {
    count,
    at(index) {
      if (index >= count) throw new FleetError("BAD_INPUT", `there is no row ${index}, there are ${count}`);
      let p = starts.length - 1;
      while (starts[p]! > index) p--;
      const { read, from, labels } = parts[p]!;
      const k = index - starts[p]!;
      const row = kept ? kept[p]![k]! : from + k;
      return { values: read(row, 1), label: labels?.[row] };
    },
  };
}

function keptRows(
  { from, to, labels }: ScaledPart,
  keep: (label: number | undefined) => boolean,
): Uint32Array {
  return Uint32Array.from({ length: to - from }, (_, i) => from + i).filter((row) => keep(labels?.[row]));
}

/** One sample a row; `target` writes what the network shall say of it. `change` draws every row anew. */
export function rowSamples(
  { count, at }: ReturnType<typeof rowsOf>,
  target: (row: Target, y: Float32Array) => void,
  change?: Change,
): Samples {
  // What is mixed holds two of them at once.
  const copyAt = (index: number) => at(index).values.slice();
  return {
    count,
    read(indexes, x, y) {
      const size = x.length / indexes.length;
      const outputs = y.length / indexes.length;
      for (let k = 0; k < indexes.length; k++) {
        const index = indexes[k]!;
        const row = at(index);
        const sample = y.subarray(k * outputs, (k + 1) * outputs);
        if (!change) {
          x.set(row.values, k * size);
          target({ ...row, own: 1 }, sample);
          continue;
        }
        const { seen, wanted, other, own } = change(index, count, copyAt);
        x.set(seen, k * size);
        target(
          { values: wanted, label: row.label, other: own < 1 ? at(other).label : undefined, own },
          sample,
        );
      }
    },
  };
}
