import fc from "fast-check";
import { expect, test } from "vitest";
import { forecastWindows, splitInTime } from "../../../models/data/windows.ts";

test("windows - x is the window and y the same one row later", () => {
  const values = Float32Array.from({ length: 12 }, (_, i) => i); // (6, 2)
  const samples = forecastWindows({ values, rows: 6, channels: 2, window: 3, stride: 2 });
  expect(samples.count).toBe(2);
  const [x, y] = [new Float32Array(12), new Float32Array(12)];
  samples.read(Uint32Array.of(1, 0), x, y);
  expect([...x]).toEqual([4, 5, 6, 7, 8, 9, 0, 1, 2, 3, 4, 5]);
  expect([...y]).toEqual([6, 7, 8, 9, 10, 11, 2, 3, 4, 5, 6, 7]);
});

test("windows - never touch a row outside their range, and leave no window out", () => {
  const property = fc.property(
    fc.record({
      rows: fc.integer({ min: 1, max: 60 }),
      window: fc.integer({ min: 1, max: 10 }),
      stride: fc.integer({ min: 1, max: 7 }),
      cut: fc.tuple(fc.nat(60), fc.nat(60)),
    }),
    ({ rows, window, stride, cut }) => {
      const [from, to] = cut.map((c) => Math.min(c, rows)).sort((a, b) => a - b) as [number, number];
      const values = Float32Array.from({ length: rows }, (_, i) => i);
      const { count, read } = forecastWindows({ values, rows, channels: 1, window, stride, from, to });
      let expected = 0;
      for (let start = from; start + window + 1 <= to; start += stride) expected++;
      expect(count).toBe(expected);
      const [x, y] = [new Float32Array(count * window), new Float32Array(count * window)];
      read(
        Uint32Array.from({ length: count }, (_, i) => i),
        x,
        y,
      );
      expect(x.every((v) => v >= from && v < to - 1)).toBe(true);
      expect(y).toEqual(x.map((v) => v + 1));
    },
  );
  fc.assert(property);
});

test("windows - what can't be is said", () => {
  const given = { values: new Float32Array(6), rows: 6, channels: 1 };
  expect(() => forecastWindows({ ...given, window: 0 })).toThrow(
    "window 0 and stride 1 must be whole numbers above 0",
  );
  expect(() => forecastWindows({ ...given, window: 2, to: 7 })).toThrow(
    "rows 0 to 7 are not within a series of 6 rows",
  );
  const samples = forecastWindows({ ...given, window: 2 });
  expect(() => samples.read(Uint32Array.of(4), new Float32Array(2), new Float32Array(2))).toThrow(
    "there is no window 4, there are 4",
  );
});

test("splitInTime - holds back the end, at least one row and never all", () => {
  expect(splitInTime(100, 0.2)).toEqual({ train: { from: 0, to: 80 }, heldBack: { from: 80, to: 100 } });
  expect(splitInTime(2, 0.01).heldBack).toEqual({ from: 1, to: 2 });
  expect(splitInTime(2, 0.99).train).toEqual({ from: 0, to: 1 });
  expect(() => splitInTime(1, 0.2)).toThrow("can't hold back 0.2 of 1 rows; give a part of at least two");
});
