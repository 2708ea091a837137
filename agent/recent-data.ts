import { crc32 } from "node:zlib";
import type { Recent } from "../models/detectors/detector.ts";
import { FleetError } from "../protocol/errors.ts";
import { writeDurably } from "./durable.ts";

/** The last rows that were read, raw units: what the agent trains on. */
export interface RecentData {
  readonly channels: number;
  readonly rows: number;
  /** One row (channels), copied. */
  push(row: Float32Array): void;
  /** The rows oldest first, for another thread: either an array that is nobody else's and may be handed over, or shared memory. */
  snapshot(): Recent;
  /** Up to `count` of the last rows, oldest first. The row is valid until the next one. */
  last(count: number, visit: (row: Float32Array) => void): void;
}

export interface RingData extends RecentData {
  /** Rows (rows, channels), copied; of more than fit, the last. */
  fill(values: Float32Array): void;
}

/** In one array of fixed size, for data that is gone once it was read. */
export function ringData(options: { readonly channels: number; readonly capacity: number }): RingData {
  const { channels, capacity } = options;
  const ring = new Float32Array(capacity * channels);
  const visited = new Float32Array(channels);
  let rows = 0;
  let next = 0; // where the next row goes
  const push = (row: Float32Array) => {
    const at = next * channels;
    for (let c = 0; c < channels; c++) ring[at + c] = row[c]!;
    next = next + 1 === capacity ? 0 : next + 1;
    if (rows < capacity) rows += 1;
  };
  return {
    channels,
    get rows() {
      return rows;
    },
    push,
    fill(values) {
      const given = values.length / channels;
      for (let i = Math.max(0, given - capacity); i < given; i++)
        push(values.subarray(i * channels, (i + 1) * channels));
    },
    snapshot() {
      const values = new Float32Array(rows * channels);
      // Until the ring is full, its oldest row is at 0; afterwards at `next`.
      const oldest = rows < capacity ? 0 : next;
      const head = ring.subarray(oldest * channels, rows * channels);
      values.set(head);
      values.set(ring.subarray(0, oldest * channels), head.length);
      return { values, rows, channels };
    },
    last(count, visit) {
      for (let back = Math.min(count, rows); back > 0; back--) {
        const at = ((next - back + capacity) % capacity) * channels;
        visited.set(ring.subarray(at, at + channels));
        visit(visited);
      }
    },
  };
}

/**
 * The same over recorded data that stays in memory anyway: each push moves on by one row, and nothing is ever copied. `values` holds what
 * was recorded before and then the live rows, in shared memory, so that a snapshot is a view which another thread can read.
 */
export function replayedData(options: {
  readonly channels: number;
  readonly capacity: number;
  readonly values: Float32Array;
  /** Rows that were seen already. */
  readonly seen: number;
}): RecentData {
  const { channels, capacity, values } = options;
  const visited = new Float32Array(channels);
  let seen = options.seen;
  const rows = () => Math.min(seen, capacity);
  return {
    channels,
    get rows() {
      return rows();
    },
    push() {
      seen += 1;
    },
    snapshot: () => ({
      values: values.subarray((seen - rows()) * channels, seen * channels),
      rows: rows(),
      channels,
    }),
    last(count, visit) {
      for (let row = seen - Math.min(count, rows()); row < seen; row++) {
        for (let c = 0; c < channels; c++) visited[c] = values[row * channels + c]!;
        visit(visited);
      }
    },
  };
}

/** "SRD1": Starling recent data, form 1. Then channels, rows, crc32 of the values (uint32 each, little endian), and the values. */
const magic = 0x31445253;
const headBytes = 16;

export async function saveRecent(path: string, { values, rows, channels }: Recent): Promise<void> {
  const body = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
  const head = new DataView(new ArrayBuffer(headBytes));
  for (const [i, n] of [magic, channels, rows, crc32(body)].entries()) head.setUint32(i * 4, n, true);
  await writeDurably(path, new Uint8Array(head.buffer), body);
}

/** Throws CORRUPT where the bytes are not what saveRecent wrote. */
export function parseRecent(bytes: Uint8Array): Recent {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const whole = bytes.length >= headBytes && view.getUint32(0, true) === magic;
  const [channels, rows] = whole ? [view.getUint32(4, true), view.getUint32(8, true)] : [0, 0];
  // A copy, from its own first byte: the slice of a Buffer would be a view of it.
  const body = new Uint8Array(bytes.subarray(headBytes));
  if (!whole || body.length !== channels * rows * 4 || crc32(body) !== view.getUint32(12, true)) {
    throw new FleetError("CORRUPT", "the recent data do not read back as they were written");
  }
  return { values: new Float32Array(body.buffer), rows, channels };
}
