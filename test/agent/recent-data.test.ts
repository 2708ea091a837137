import { join } from "node:path";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { readIfThere } from "../../agent/durable.ts";
import { parseRecent, replayedData, ringData, saveRecent } from "../../agent/recent-data.ts";
import { type Sandbox, sandbox } from "./sandbox.ts";

const rows = (from: number, count: number) =>
  Float32Array.from({ length: count * 2 }, (_, i) => from * 2 + i + 0.5);

describe("recent data", () => {
  it("hold the last rows, oldest first, whatever was pushed and filled", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 9 }),
        fc.array(fc.integer({ min: 0, max: 12 }), { maxLength: 8 }),
        (capacity, parts) => {
          const ring = ringData({ channels: 2, capacity });
          let seen = 0;
          for (const part of parts) {
            if (part % 2 === 0) ring.fill(rows(seen, part));
            else for (let i = 0; i < part; i++) ring.push(rows(seen + i, 1));
            seen += part;
          }
          const count = Math.min(seen, capacity);
          expect(ring.snapshot()).toEqual({ values: rows(seen - count, count), rows: count, channels: 2 });
          const last: number[] = [];
          ring.last(3, (row) => last.push(...row));
          expect(last).toEqual([...rows(seen - Math.min(3, count), Math.min(3, count))]);
        },
      ),
    );
  });

  it("are the same of a replay, without a copy", () => {
    const values = rows(0, 20);
    const ring = ringData({ channels: 2, capacity: 7 });
    ring.fill(values.subarray(0, 10 * 2));
    const replayed = replayedData({ channels: 2, capacity: 7, values, seen: 10 });
    for (let row = 10; row < 20; row++) {
      expect(replayed.snapshot()).toEqual(ring.snapshot());
      expect(replayed.snapshot().values.buffer).toBe(values.buffer);
      for (const data of [ring, replayed]) data.push(rows(row, 1));
    }
  });
});

describe("saved recent data", () => {
  let box: Sandbox;
  beforeEach(async () => {
    box = await sandbox();
  });
  afterEach(() => box.close());

  it("read back bit by bit, and any change is seen", async () => {
    const path = join(box.dir, "recent");
    const values = rows(0, 5);
    values[3] = Number.NaN;
    await saveRecent(path, { values, rows: 5, channels: 2 });
    const bytes = (await readIfThere(path))!;
    expect(parseRecent(bytes)).toEqual({ values, rows: 5, channels: 2 });
    for (const at of [0, 5, 9, 13, 30]) {
      const damaged = bytes.slice();
      damaged[at]! ^= 1;
      expect(() => parseRecent(damaged)).toThrow("do not read back");
    }
    expect(() => parseRecent(bytes.subarray(0, 20))).toThrow("do not read back");
  });
});
