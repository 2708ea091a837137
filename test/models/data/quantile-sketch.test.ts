import fc from "fast-check";
import { expect, test } from "vitest";
import { decodeSketch, encodeSketch, maxSketchBytes } from "../../../models/data/quantile-codec.ts";
import { fitQuantileScaler } from "../../../models/data/quantile-scaling.ts";
import {
  accuracyOf,
  countOf,
  emptySketch,
  mergeSketches,
  type QuantileSketch,
  refinedFrame,
  type SketchFrame,
  sketchFrame,
  sketchQuantiles,
  sketchValues,
} from "../../../models/data/quantile-sketch.ts";
import { fitScaler } from "../../../models/data/scaling.ts";
import { emptyStatistics, observe } from "../../../models/data/statistics.ts";
import { createRandom } from "../../../models/engine/random.ts";

function frameOf(values: Float32Array, channels = 1, maxBuckets?: number): SketchFrame {
  const statistics = emptyStatistics(channels);
  observe(statistics, values);
  return sketchFrame(statistics, maxBuckets);
}

function sketchOf(values: Float32Array, frame: SketchFrame): QuantileSketch {
  const sketch = emptySketch(frame);
  sketchValues(sketch, values);
  return sketch;
}

const numbers = (maxLength: number) =>
  fc.array(fc.oneof(fc.float({ noNaN: true, noDefaultInfinity: true }), fc.integer({ min: -5, max: 5 })), {
    minLength: 1,
    maxLength,
  });

test("sketch - any quantile is within the stated relative error of the distance from the centre", () => {
  const property = fc.property(
    numbers(300),
    fc.integer({ min: 3, max: 40 }),
    fc.double({ min: 0, max: 1, noNaN: true }),
    (list, maxBuckets, q) => {
      const values = Float32Array.from(list);
      const frame = frameOf(values, 1, maxBuckets);
      const sketch = sketchOf(values, frame);
      const channel = sketch.channels[0]!;
      expect(channel.counts.size).toBeLessThanOrEqual(maxBuckets);
      expect(countOf(channel)).toBe(values.length);
      const exact = values.slice().sort()[Math.floor(q * (values.length - 1))]!;
      const centre = frame.centre[0]!;
      const allowed = accuracyOf(channel) * Math.abs(exact - centre) * (1 + 1e-9) + frame.resolution[0]!;
      expect(Math.abs(sketchQuantiles(sketch, 0, [q])[0]! - exact)).toBeLessThanOrEqual(
        allowed + Math.abs(centre) * 1e-12,
      );
    },
  );
  fc.assert(property, { numRuns: 500 });
});

test("sketch - merged in any order and grouping it is the sketch of all values, to the last bit", () => {
  const property = fc.property(
    fc.array(numbers(60), { minLength: 1, maxLength: 6 }),
    fc.integer({ min: 3, max: 30 }),
    (parts, maxBuckets) => {
      const arrays = parts.map((part) => Float32Array.from(part));
      const all = Float32Array.from(parts.flat());
      const frame = frameOf(all, 1, maxBuckets);
      const sketches = arrays.map((part) => sketchOf(part, frame));
      const whole = encodeSketch(sketchOf(all, frame));
      expect(encodeSketch(mergeSketches(sketches))).toEqual(whole);
      expect(encodeSketch(mergeSketches(sketches.toReversed()))).toEqual(whole);
      expect(encodeSketch(sketches.reduce((a, b) => mergeSketches([b, a])))).toEqual(whole);
    },
  );
  fc.assert(property, { numRuns: 300 });
});

test("sketch - encodes within its bound, and reads back as it was", () => {
  const property = fc.property(numbers(200), fc.integer({ min: 3, max: 64 }), (list, maxBuckets) => {
    const values = Float32Array.from([...list, ...list.slice().reverse()]);
    const sketch = sketchOf(values, frameOf(values, 2, maxBuckets));
    const encoded = encodeSketch(sketch);
    expect(encoded.length).toBeLessThanOrEqual(maxSketchBytes(2, maxBuckets));
    const decoded = decodeSketch(encoded);
    expect(encodeSketch(decoded)).toEqual(encoded);
    expect(sketchQuantiles(decoded, 1, [0, 0.3, 1])).toEqual(sketchQuantiles(sketch, 1, [0, 0.3, 1]));
  });
  fc.assert(property, { numRuns: 200 });
});

test("sketch - damaged bytes are refused or are another valid sketch, and never anything else", () => {
  const { normal } = createRandom(1);
  const values = Float32Array.from({ length: 400 }, normal);
  const encoded = encodeSketch(sketchOf(values, frameOf(values, 2)));
  for (let length = 0; length < encoded.length; length++)
    expect(() => decodeSketch(encoded.subarray(0, length))).toThrow(/a quantile sketch/);
  const property = fc.property(fc.nat(encoded.length - 1), fc.integer({ min: 1, max: 255 }), (at, flip) => {
    const damaged = encoded.slice();
    damaged[at]! ^= flip;
    try {
      expect(encodeSketch(decodeSketch(damaged))).toEqual(damaged);
    } catch (error) {
      expect(["BAD_MESSAGE", "NOT_FINITE"]).toContain((error as { code?: string }).code);
    }
  });
  fc.assert(property, { numRuns: 1000 });
});

test("sketch - 38 channels of sensor data keep about 2 % and take 25 KB", () => {
  const { normal } = createRandom(2);
  const values = Float32Array.from({ length: 38 * 5000 }, (_, i) => 1000 + (i % 38) + normal());
  const sketch = sketchOf(values, frameOf(values, 38));
  expect(Math.max(...sketch.channels.map(accuracyOf))).toBeLessThan(0.045);
  expect(encodeSketch(sketch).length).toBeLessThan(30_000);
});

test("sketch - sketches of different frames do not merge, and no sketches neither", () => {
  const values = Float32Array.of(1, 2, 3);
  const [a, b] = [frameOf(values), frameOf(values.map((v) => v + 1))];
  expect(() => mergeSketches([sketchOf(values, a), sketchOf(values, b)])).toThrow("has another frame");
  expect(() => mergeSketches([])).toThrow("there are no sketches to merge");
  expect(() => sketchFrame(emptyStatistics(1), 2)).toThrow("maxBuckets 2 must be");
});

test("quantile scaler - on normal numbers with a large offset it is nearly the usual scaler", () => {
  const { normal } = createRandom(3);
  const values = Float32Array.from({ length: 20_000 }, () => 101_325 + 50 * normal());
  const scaler = fitQuantileScaler(sketchOf(values, frameOf(values)), { sigmaFloor: 1e-5 });
  expect(Math.abs(scaler.mean[0]! - 101_325)).toBeLessThan(0.05 * 50);
  expect(scaler.sigma[0]! / 50).toBeGreaterThan(0.95);
  expect(scaler.sigma[0]! / 50).toBeLessThan(1.05);
});

test("quantile scaler - one value in a hundred that is a thousand times too large does not move it after a second pass", () => {
  const { normal, uniform } = createRandom(4);
  const values = Float32Array.from({ length: 20_000 }, () => (uniform() < 0.01 ? 50_000 : 5 + normal()));
  const statistics = emptyStatistics(1);
  observe(statistics, values);
  expect(fitScaler(statistics).sigma[0]!).toBeGreaterThan(4000);
  // The first frame is made by the wild values; about its median, the second one sees the others.
  const first = sketchOf(values, sketchFrame(statistics));
  const second = sketchOf(values, refinedFrame(first));
  const scaler = fitQuantileScaler(second);
  expect(Math.abs(scaler.mean[0]! - 5)).toBeLessThan(0.3);
  expect(scaler.sigma[0]!).toBeGreaterThan(0.7);
  expect(scaler.sigma[0]!).toBeLessThan(1.4);
});

test("quantile scaler - channels that stand still, are zero, or were never seen get a floor and no NaN", () => {
  const rows = 1000;
  const values = new Float32Array(rows * 4);
  for (let i = 0; i < rows; i++)
    values.set([7, 0, Number.NaN, i % 10 === 0 ? (i % 20 === 0 ? 5 : -5) : 0], 4 * i);
  const scaler = fitQuantileScaler(sketchOf(values, frameOf(values, 4)));
  expect(scaler.mean[0]).toBeCloseTo(7, 6);
  expect(scaler.sigma[0]).toBeCloseTo(0.07, 6);
  expect([...scaler.mean.slice(1)].map((m) => Math.abs(m) < 0.01)).toEqual([true, true, true]);
  expect([...scaler.sigma.slice(1, 3)]).toEqual([0.01, 0.01]);
  // Half the range of its 5 % and 95 % quantiles, or 1 % and 99 %.
  expect(scaler.sigma[3]).toBeGreaterThan(1);
  expect(scaler.sigma[3]).toBeLessThan(4);
});
