import type { LinePreparerState } from "../models/data/line-preparer.ts";
import { sha256 } from "../protocol/hash.ts";
import type { RecentData } from "./recent-data.ts";

/** Rows that came together. */
export interface Batch {
  /** (rows, channels), row-major; NaN = missing. Not changed by who reads it. */
  readonly values: Float32Array;
  readonly rows: number;
  /** Time of each row, milliseconds since 1970. */
  atMs(index: number): number;
}

/** Where a device's samples come from. */
export interface Source {
  /** Names the data that rows are counted in: with another key, counting starts again. */
  readonly key: string;
  readonly channels: number;
  readonly names?: readonly string[] | undefined;
  /** A letter a channel (protocol/device-channels.ts), where columns of several kinds are prepared. */
  readonly kinds?: string | undefined;
  /** What counters go on from after the last batch, for a source that can't be read again. */
  prepared?(): LinePreparerState | undefined;
  readonly rateHz?: number | undefined;
  /** The rows' times are those of the device: rows per second can be measured by them. */
  readonly timed: boolean;
  /** Can be read again from any row: what is lost in a crash is read once more. */
  readonly seekable: boolean;
  /** Live rows wait until the task is serving. */
  readonly hold: boolean;
  /** The window as it was before `row`, as far as the source can know it, which then follows the rows that are pushed. Called once. */
  before(row: number, capacity: number): RecentData;
  /** Live rows from `from` on, until the source ends or the signal aborts. */
  batches(options: BatchOptions): AsyncIterable<Batch>;
}

export interface BatchOptions {
  readonly from: number;
  /** Time of row 0 where the data have no time of their own. */
  readonly startedMs: number;
  readonly signal: AbortSignal;
}

/** Rows that are prepared in another way are other data. */
export function sourceKey(
  name: string,
  { names, kinds }: { readonly names?: readonly string[]; readonly kinds?: string | undefined } = {},
): string {
  if (kinds === undefined) return name;
  const hash = sha256(Buffer.from([kinds, ...(names ?? [])].join("\n")));
  return `${name}#${hash.slice(0, 8)}`;
}
