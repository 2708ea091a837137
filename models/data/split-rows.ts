import { FleetError } from "../../protocol/errors.ts";
import { type RowRange, splitInTime } from "./windows.ts";

interface Rows {
  /** (rows, channels). */
  readonly values: Float32Array;
  readonly rows: number;
  readonly channels: number;
  /** (rows): classes, where they are known. */
  readonly labels?: Uint8Array;
}

export interface SplitRows<R> {
  /** A copy with the rows in another order, those to train on first. */
  readonly series: R;
  readonly train: RowRange;
  readonly heldBack: RowRange;
}

/**
 * For rows in no order (records, images): what is held back is chosen by a hash of a row's values. So it does not matter where in a file a row stands
 * (files are often sorted by class), equal rows fall on one side but for at most one value at the border, and a row that is held back stays so while
 * others come and go. Throws BAD_INPUT for fewer than two rows.
 */
export function splitByContent<R extends Rows>(series: R, heldBackFraction: number): SplitRows<R> {
  const { rows, channels, values, labels } = series;
  const ranges = splitInTime(rows, heldBackFraction);
  if (values.length !== rows * channels) {
    throw new FleetError(
      "BAD_INPUT",
      `${rows} rows of ${channels} channels can't have ${values.length} values`,
    );
  }
  const hashes = rowHashes(series);
  const order = Uint32Array.from({ length: rows }, (_, i) => i).sort(
    (a, b) => hashes[a]! - hashes[b]! || a - b,
  );
  const sorted = new Float32Array(values.length);
  order.forEach((from, to) => {
    sorted.set(values.subarray(from * channels, (from + 1) * channels), to * channels);
  });
  return {
    series: {
      ...series,
      values: sorted,
      ...(labels && { labels: Uint8Array.from(order, (i) => labels[i]!) }),
    },
    ...ranges,
  };
}

/** 32 bits of each row's bits: FNV-1a over its words, mixed by the finalizer of MurmurHash3 (both in the public domain). */
function rowHashes({ rows, channels, values }: Rows): Uint32Array {
  const words = new Uint32Array(values.buffer, values.byteOffset, values.length);
  return Uint32Array.from({ length: rows }, (_, row) => {
    let hash = 0x811c9dc5;
    for (let c = 0; c < channels; c++) {
      hash = Math.imul(hash ^ words[row * channels + c]!, 0x01000193);
      // The low bits of small whole numbers as floats are all zero: the high ones must come down.
      hash ^= hash >>> 15;
    }
    hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
    hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
    return hash ^ (hash >>> 16);
  });
}
