import fc from "fast-check";
import { expect, test } from "vitest";
import { fitScaler, rowScaler, scaleSeries } from "../../../models/data/scaling.ts";
import {
  type ChannelStatistics,
  decodeStatistics,
  emptyStatistics,
  encodeStatistics,
  mergeInOrder,
  mergeStatistics,
  observe,
  seriesStatistics,
} from "../../../models/data/statistics.ts";

const CHANNELS = 2;
const number = fc.double({ min: -1e4, max: 1e4, noNaN: true });
const rowsOf = fc
  .array(fc.tuple(fc.option(number, { nil: Number.NaN, freq: 9 }), number), { minLength: 1, maxLength: 60 })
  .map((rows) => Float64Array.from(rows.flat()));

function statisticsOf(values: Float64Array): ChannelStatistics {
  const statistics = emptyStatistics(CHANNELS);
  observe(statistics, values);
  return statistics;
}

/** Two passes over all rows: the plain definition. */
function reference(values: Float64Array) {
  return Array.from({ length: CHANNELS }, (_, c) => {
    const seen = [...values].filter((x, i) => i % CHANNELS === c && !Number.isNaN(x));
    const mean = seen.reduce((a, b) => a + b, 0) / Math.max(1, seen.length);
    return {
      count: seen.length,
      mean,
      m2: seen.reduce((sum, x) => sum + (x - mean) ** 2, 0),
      size: Math.max(1, ...seen.map(Math.abs)),
    };
  });
}

test("statistics - merging any split in any order equals the statistics of all rows together", () => {
  const property = fc.property(fc.array(rowsOf, { minLength: 1, maxLength: 8 }), (parts) => {
    const merged = mergeInOrder(parts.map((part, i) => [`d${i}`, statisticsOf(part)] as const));
    const all = reference(Float64Array.from(parts.flatMap((part) => [...part])));
    for (const [c, { count, mean, m2, size }] of all.entries()) {
      expect(merged.count[c]).toBe(count);
      expect(Math.abs(merged.mean[c]! - mean)).toBeLessThanOrEqual(1e-12 * size);
      // Relative to the sum of squares, which is what rounding is relative to.
      expect(Math.abs(merged.m2[c]! - m2)).toBeLessThanOrEqual(1e-12 * Math.max(1, count * size * size));
    }
  });
  fc.assert(property);
});

test("statistics - any order of arrival gives the same bits", () => {
  const property = fc.property(
    fc.array(rowsOf, { minLength: 2, maxLength: 8 }).chain((parts) => {
      const list = parts.map((part, i) => [`d${i}`, encodeStatistics(statisticsOf(part))] as const);
      return fc.tuple(fc.constant(list), fc.shuffledSubarray(list, { minLength: list.length }));
    }),
    ([list, shuffled]) => {
      expect(mergeStatistics(shuffled)).toEqual(mergeStatistics(list));
    },
  );
  fc.assert(property);
});

test("statistics - a million rows far from zero keep their variance", () => {
  const values = Float64Array.from({ length: 1_000_000 }, (_, i) => 1e6 + (i % 2));
  const statistics = emptyStatistics(1);
  observe(statistics, values);
  expect(statistics.m2[0]! / statistics.count[0]!).toBeCloseTo(0.25, 6);
});

test("statistics - encoded and decoded they are the same, at any place in a message", () => {
  const statistics = statisticsOf(Float64Array.of(1, 2, 3, Number.NaN, 5, 6));
  const encoded = encodeStatistics(statistics);
  expect(encoded.length).toBe(24 * CHANNELS);
  const message = new Uint8Array(encoded.length + 3);
  message.set(encoded, 3);
  expect(decodeStatistics(message.subarray(3))).toEqual(statistics);
});

test("statistics - of the largest values there are, whoever has them, merge to some that can be read", () => {
  const most = (2 - 2 ** -23) * 2 ** 127;
  const of = (...values: number[]) => {
    const statistics = emptyStatistics(1);
    observe(statistics, Float32Array.from(values));
    return encodeStatistics(statistics);
  };
  const merged = mergeStatistics([
    ["a", of(most, most, most)],
    ["b", of(-most, -most)],
    ["c", of(most, -most, Number.NaN)],
    ["d", of(Number.NaN)],
  ]);
  expect(decodeStatistics(merged).count[0]).toBe(7);
});

test("statistics - broken ones from the wire are refused by what is wrong with them", () => {
  const bytes = (...numbers: number[]) => new Uint8Array(Float64Array.from(numbers).buffer);
  const code = (encoded: Uint8Array) => {
    try {
      return decodeStatistics(encoded).channels;
    } catch (error) {
      return (error as { code: string }).code;
    }
  };
  expect(code(bytes(5, 1, 2))).toBe(1);
  expect(code(bytes(5, 1))).toBe("BAD_MESSAGE");
  expect(code(new Uint8Array(0))).toBe("BAD_MESSAGE");
  expect(code(bytes(5, Number.NaN, 2))).toBe("NOT_FINITE");
  expect(code(bytes(-5, 1, 2))).toBe("BAD_MESSAGE");
  expect(code(bytes(5.5, 1, 2))).toBe("BAD_MESSAGE");
  expect(code(bytes(5, 1, -2))).toBe("BAD_MESSAGE");
  expect(code(bytes(5, 1e39, 0))).toBe("BAD_MESSAGE");
  expect(code(bytes(0, 1e300, 0))).toBe("BAD_MESSAGE");
  expect(code(bytes(5, 0, 5.1 * 1.16e77))).toBe("BAD_MESSAGE");
  expect(() => mergeStatistics([])).toThrow("there are no statistics to merge; wait for at least one device");
  expect(() =>
    mergeStatistics([
      ["a", bytes(1, 1, 0)],
      ["b", new Uint8Array(48)],
    ]),
  ).toThrow(/can't join/);
});

test("scaling - z-scores have mean 0 and variance 1, and stop at the clip", () => {
  const values = Float32Array.of(10, 20, 30, 40);
  const scaler = fitScaler(seriesStatistics({ values, channels: 1, rows: 4 }), { clip: 3 });
  const z = scaleSeries(scaler, values, { fill: true });
  expect(z.reduce((a, b) => a + b, 0)).toBeCloseTo(0, 6);
  expect(z.reduce((a, b) => a + b * b, 0) / 4).toBeCloseTo(1, 6);
  expect([...scaleSeries(scaler, Float32Array.of(1e9, -1e9), { fill: true })]).toEqual([3, -3]);
});

test("scaling - a constant channel does not explode: one per cent of its size is one sigma", () => {
  const values = Float32Array.of(50, 0, 50, 0, 50, 0);
  const scaler = fitScaler(seriesStatistics({ values, channels: 2, rows: 3 }));
  expect([...scaler.sigma]).toEqual([0.5, 0.01]);
  expect([...scaleSeries(scaler, Float32Array.of(50.5, 0.02), { fill: true })]).toEqual([1, Math.fround(2)]);
});

test("scaling - a channel without any value scales to 0", () => {
  const values = Float32Array.of(Number.NaN, Number.NaN);
  const scaler = fitScaler(seriesStatistics({ values, channels: 1, rows: 2 }));
  expect([...scaleSeries(scaler, values, { fill: true })]).toEqual([0, 0]);
});

test("scaling - a missing value becomes the last valid one, 0 before the first, and NaN in the target", () => {
  const scaler = { channels: 1, mean: Float64Array.of(1), sigma: Float64Array.of(2), clip: 10 };
  const values = Float32Array.of(Number.NaN, 5, Number.NaN, 3);
  expect([...scaleSeries(scaler, values, { fill: true })]).toEqual([0, 2, 2, 1]);
  expect([...scaleSeries(scaler, values, { fill: false })]).toEqual([Number.NaN, 2, Number.NaN, 1]);
  const rows = rowScaler(scaler);
  const [out, target] = [new Float32Array(1), new Float32Array(1)];
  rows.scaleRow(Float32Array.of(5), out);
  // Restarted with its state, it goes on where it was.
  rowScaler(scaler, rows.last.slice()).scaleRow(Float32Array.of(Number.NaN), out, target);
  expect([out[0], target[0]]).toEqual([2, Number.NaN]);
});

test("scaling - in place gives the same as into a new array", () => {
  const values = Float32Array.of(1, 2, 3, 4, 5, 6);
  const scaler = fitScaler(seriesStatistics({ values, channels: 2, rows: 3 }));
  const copy = values.slice();
  expect(scaleSeries(scaler, copy, { out: copy, fill: true })).toEqual(
    scaleSeries(scaler, values, { fill: true }),
  );
  expect(() => fitScaler(emptyStatistics(1), { sigmaFloor: 0 })).toThrow(/must both be above 0/);
});
