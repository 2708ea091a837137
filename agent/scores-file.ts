import { closeSync, fstatSync, ftruncateSync, openSync, readSync, writeSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { FleetError } from "../protocol/errors.ts";

/**
 * The scores file: one record of 16 bytes for every live row that got a score, rows ascending, little endian:
 *
 *     0..7    row     float64, 0-based: the row's number since the first start (of a replay: its place in the file)
 *     8..11   score   float32, smoothed
 *     12      alarm   uint8, 1 while an alarm is open
 *     13..15  zero
 *
 * Rows without a score (no version yet, nothing seen) have no record.
 */
const recordBytes = 16;
const bufferRecords = 512;

export interface Scores {
  readonly rows: Float64Array;
  readonly scores: Float32Array;
  /** 1 while an alarm is open. */
  readonly alarms: Uint8Array;
}

/** Reads a scores file. A record that was cut off at the end is left out. Throws BAD_INPUT where there is no such file. */
export async function readScores(path: string): Promise<Scores> {
  const bytes = await readFile(path).catch((cause) => {
    throw new FleetError("BAD_INPUT", `${path}: the scores can't be read; check the path`, { cause });
  });
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const count = Math.floor(bytes.length / recordBytes);
  const rows = new Float64Array(count);
  const scores = new Float32Array(count);
  const alarms = new Uint8Array(count);
  for (let i = 0; i < count; i++) {
    rows[i] = view.getFloat64(i * recordBytes, true);
    scores[i] = view.getFloat32(i * recordBytes + 8, true);
    alarms[i] = view.getUint8(i * recordBytes + 12);
  }
  return { rows, scores, alarms };
}

export interface ScoresFile {
  append(row: number, score: number, alarm: boolean): void;
  flush(): void;
  close(): void;
}

/** Opens the file for appending and takes off what was written for `row` and later: those rows are scored again. */
export function openScoresFile(path: string, row: number): ScoresFile {
  let file: number;
  try {
    file = openSync(path, "a+");
  } catch (cause) {
    throw new FleetError("BAD_INPUT", `${path}: the scores can't be written there; check the path`, {
      cause,
    });
  }
  ftruncateSync(file, recordsBefore(file, row) * recordBytes);
  const buffer = new DataView(new ArrayBuffer(bufferRecords * recordBytes));
  let filled = 0;
  const flush = () => {
    if (filled > 0) writeSync(file, new Uint8Array(buffer.buffer, 0, filled * recordBytes));
    filled = 0;
  };
  return {
    append(at, score, alarm) {
      buffer.setFloat64(filled * recordBytes, at, true);
      buffer.setFloat32(filled * recordBytes + 8, score, true);
      buffer.setUint8(filled * recordBytes + 12, alarm ? 1 : 0);
      filled += 1;
      if (filled === bufferRecords) flush();
    },
    flush,
    close() {
      flush();
      closeSync(file);
    },
  };
}

/** How many records are for rows before `row`. Rows ascend, so a binary search finds it. */
function recordsBefore(file: number, row: number): number {
  const record = new DataView(new ArrayBuffer(recordBytes));
  const rowOf = (index: number) => {
    readSync(file, new Uint8Array(record.buffer), 0, recordBytes, index * recordBytes);
    return record.getFloat64(0, true);
  };
  let low = 0;
  let high = Math.floor(fstatSync(file).size / recordBytes);
  while (low < high) {
    const middle = (low + high) >> 1;
    if (rowOf(middle) < row) low = middle + 1;
    else high = middle;
  }
  return low;
}
