import fc from "fast-check";
import { expect, it } from "vitest";
import { splitByContent } from "../../../models/data/split-rows.ts";

const rowsOf = (values: Float32Array, channels: number) =>
  Array.from({ length: values.length / channels }, (_, i) => [
    ...values.subarray(i * channels, (i + 1) * channels),
  ]);

const table = fc
  .record({ rows: fc.integer({ min: 2, max: 60 }), channels: fc.integer({ min: 1, max: 4 }) })
  .chain(({ rows, channels }) =>
    fc
      .array(fc.integer({ min: 0, max: 9 }), { minLength: rows * channels, maxLength: rows * channels })
      .map((list) => ({ rows, channels, values: Float32Array.from(list) })),
  );

it("a split by content keeps every row with its label and holds back the part that was asked for", () => {
  fc.assert(
    fc.property(table, fc.double({ min: 0.05, max: 0.9, noNaN: true }), (series, part) => {
      const labels = Uint8Array.from({ length: series.rows }, (_, i) => i);
      const { series: sorted, train, heldBack } = splitByContent({ ...series, labels }, part);
      expect([...sorted.labels].sort((a, b) => a - b)).toEqual([...labels]);
      const before = rowsOf(series.values, series.channels);
      rowsOf(sorted.values, series.channels).forEach((row, i) => {
        expect(row).toEqual(before[sorted.labels[i]!]);
      });
      expect([train.from, heldBack.from, heldBack.to]).toEqual([0, train.to, series.rows]);
      expect(Math.abs(heldBack.to - heldBack.from - part * series.rows)).toBeLessThanOrEqual(1);
    }),
  );
});

it("a split by content does not depend on the order of the rows, and parts equal rows at one value at most", () => {
  fc.assert(
    fc.property(table, fc.integer({ min: 1, max: 59 }), (series, turn) => {
      const { rows, channels, values } = series;
      const by = (turn % rows) * channels;
      const turned = Float32Array.from([...values.subarray(by), ...values.subarray(0, by)]);
      const one = splitByContent(series, 0.3);
      const other = splitByContent({ ...series, values: turned }, 0.3);
      expect(other.series.values).toEqual(one.series.values);
      const kept = rowsOf(one.series.values, channels).map(String);
      const trained = new Set(kept.slice(0, one.train.to));
      expect(new Set(kept.slice(one.train.to).filter((row) => trained.has(row))).size).toBeLessThanOrEqual(1);
    }),
  );
});

it("a file that is sorted by class is held back in all its classes alike", () => {
  const rows = 2000;
  const values = Float32Array.from({ length: rows }, (_, i) => i);
  const labels = Uint8Array.from({ length: rows }, (_, i) => Math.floor(i / 1000));
  const { series, heldBack } = splitByContent({ rows, channels: 1, values, labels }, 0.2);
  const second = series.labels.subarray(heldBack.from).reduce((sum, label) => sum + label, 0);
  // Of 400, binomial with a deviation of 9.
  expect(second).toBeGreaterThan(160);
  expect(second).toBeLessThan(240);
});
