import fc from "fast-check";
import { expect, test } from "vitest";
import {
  checkedSketch,
  MOST_SKETCHED_CHANNELS,
  quantileStatistics,
  sketchOf,
} from "../../../models/data/fleet-quantiles.ts";
import { fleetStatistics } from "../../../models/data/fleet-statistics.ts";
import { encodeSketch } from "../../../models/data/quantile-codec.ts";
import { accuracyOf, emptySketch, sketchFrame, sketchValues } from "../../../models/data/quantile-sketch.ts";
import { fitScaler } from "../../../models/data/scaling.ts";
import {
  decodeStatistics,
  encodeStatistics,
  mergeStatistics,
  seriesStatistics,
} from "../../../models/data/statistics.ts";
import { createRandom } from "../../../models/engine/random.ts";
import { limits } from "../../../protocol/limits.ts";

/** Around 100 +- 5 and 0 +- 1, some values of the first a thousand times too far out. */
function series(rows: number, seed: number, { wild = 0, channels = 2 } = {}) {
  const random = createRandom(seed);
  const values = Float32Array.from({ length: rows * channels }, (_, i) => {
    const usual = i % 2 === 0 ? 100 + 5 * random.normal() : random.normal();
    return i % 2 === 0 && random.uniform() < wild ? usual * 1000 : usual;
  });
  return { values, rows, channels };
}

const whole = ({ rows }: { rows: number }) => ({ from: 0, to: rows });
const fleetOf = (all: ReturnType<typeof series>[]) =>
  mergeStatistics(all.map((one, i) => [`d${i}`, encodeStatistics(seriesStatistics(one))] as const));

function quantile(sorted: Float32Array, q: number): number {
  return sorted[Math.floor(q * (sorted.length - 1))]!;
}

test("fleet quantiles - two devices' sketches give the pooled median and range within the sketch's accuracy", () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 1e6 }), fc.integer({ min: 50, max: 800 }), (seed, rows) => {
      const all = [series(rows, seed), series(2 * rows, seed + 1)];
      const fleet = fleetOf(all);
      const sketches = all.map((one) => sketchOf(one, whole(one), fleet));
      const merged = decodeStatistics(quantileStatistics(sketches));
      expect(quantileStatistics([...sketches].reverse())).toEqual(quantileStatistics(sketches));
      for (const c of [0, 1]) {
        const pooled = Float32Array.from(
          all.flatMap(({ values }) => [...values].filter((_, i) => i % 2 === c)),
        ).sort();
        const sigma = (quantile(pooled, 0.75) - quantile(pooled, 0.25)) / 1.349;
        const spread = Math.sqrt(merged.m2[c]! / merged.count[c]!);
        expect(merged.count[c]).toBe(3 * rows);
        // Level 1 at most: 4 % of distances from the mean, which are about one sigma.
        expect(Math.abs(merged.mean[c]! - quantile(pooled, 0.5))).toBeLessThan(0.05 * sigma);
        expect(Math.abs(spread - sigma)).toBeLessThan(0.08 * sigma);
      }
    }),
    { numRuns: 30 },
  );
});

test("fleet quantiles - wild values move means and variances, and hardly the quantiles", () => {
  const all = [series(2_000, 1, { wild: 0.002 }), series(2_000, 2)];
  const parts = all.map((one, i) => ({ device: `d${i}`, series: one, range: whole(one) }));
  const [moments, quantiles] = (["federated", "quantile"] as const).map((scaling) =>
    fitScaler(decodeStatistics(fleetStatistics(scaling, parts)!), { sigmaFloor: 0.01 }),
  );
  expect(moments!.sigma[0]).toBeGreaterThan(1000);
  expect(quantiles!.sigma[0]).toBeGreaterThan(3);
  expect(quantiles!.sigma[0]).toBeLessThan(10);
  expect(Math.abs(quantiles!.mean[0]! - 100)).toBeLessThan(5);
  expect(fleetStatistics("local", parts)).toBeNull();
});

test("fleet quantiles - an answer of many channels still fits into its message, coarser where it must be", () => {
  const wide = series(3_000, 3, { channels: MOST_SKETCHED_CHANNELS });
  const fleet = fleetOf([wide]);
  const encoded = sketchOf(wide, whole(wide), fleet);
  expect(encoded.length).toBeLessThanOrEqual(limits.statisticsBytes);
  const { channels } = checkedSketch(encoded, { fleet, maxSamples: 3_000 });
  for (const channel of channels) expect(accuracyOf(channel)).toBeLessThan(0.2);
  const tooWide = series(10, 3, { channels: MOST_SKETCHED_CHANNELS + 2 });
  expect(() => sketchOf(tooWide, whole(tooWide), fleetOf([tooWide]))).toThrow(
    /takes up to 96 channels and there are 98; take federated/,
  );
});

test("fleet quantiles - a sketch that is damaged, in another frame, too coarse or over too many rows is refused by its code", () => {
  const one = series(500, 4);
  const fleet = fleetOf([one]);
  const good = sketchOf(one, whole(one), fleet);
  const rules = { fleet, maxSamples: 500 };
  expect(checkedSketch(good, rules).channels.length).toBe(2);
  const coded = (code: string) => expect.objectContaining({ code });
  const check =
    (bytes: Uint8Array, more = rules) =>
    () =>
      checkedSketch(bytes, more);
  expect(check(good.subarray(0, 40))).toThrow(coded("BAD_MESSAGE"));
  expect(check(sketchOf(one, whole(one), fleetOf([series(500, 5)])))).toThrow(coded("BAD_SHAPE"));
  expect(check(good, { ...rules, maxSamples: 499 })).toThrow(coded("OVER_WEIGHT"));
  const coarse = emptySketch(sketchFrame(decodeStatistics(fleet)));
  sketchValues(coarse, one.values);
  coarse.channels[0]!.level = 12;
  expect(check(encodeSketch(coarse))).toThrow(coded("BAD_MESSAGE"));
});
