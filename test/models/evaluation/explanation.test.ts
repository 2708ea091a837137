import fc from "fast-check";
import { expect, test } from "vitest";
import { createRandom } from "../../../models/engine/random.ts";
import { reliability, tailCalibration } from "../../../models/evaluation/calibration.ts";
import { classMetrics } from "../../../models/evaluation/classes.ts";
import { hitRate, hitRates } from "../../../models/evaluation/root-cause.ts";

test("root cause - the hit rate is the part of the causes among as many of the highest channels", () => {
  const scores = Float64Array.of(5, 1, 4, 3, 2, 0);
  // The highest are 0, 2, 3, 4, 1, 5.
  expect(hitRate(scores, [0, 3], 100)).toBe(0.5);
  expect(hitRate(scores, [0, 3], 150)).toBe(1);
  expect(hitRate(scores, [1, 5, 4], 100)).toBe(0);
  // 150 % of 3 is 4 places.
  expect(hitRate(scores, [1, 5, 4], 150)).toBe(1 / 3);
  expect(hitRate(Float64Array.of(Number.NaN, 1, 2), [0], 100)).toBe(0);
});

test("root cause - equal scores share their places, so that silence gets no more than a random order", () => {
  expect(hitRate(new Float64Array(10), [0, 1], 100)).toBeCloseTo(0.2, 12);
  expect(hitRate(Float64Array.of(9, 1, 1, 1, 0), [0, 3], 100)).toBeCloseTo((1 + 1 / 3) / 2, 12);
  const tied = fc.array(fc.integer({ min: 0, max: 3 }), { minLength: 4, maxLength: 12 });
  fc.assert(
    fc.property(tied, fc.constantFrom(100, 150), (values, percent) => {
      // The mean over many random orders of the ties.
      const random = createRandom(7).uniform;
      const causes = [0, 2, 3];
      let sum = 0;
      for (let i = 0; i < 400; i++) {
        const moved = Float64Array.from(values, (v) => v + random() / 2);
        sum += hitRate(moved, causes, percent);
      }
      expect(Math.abs(sum / 400 - hitRate(Float64Array.from(values), causes, percent))).toBeLessThan(0.12);
    }),
    { numRuns: 40 },
  );
});

test("root cause - an event's channels are ranked by their mean over its rows, missing ones left out", () => {
  const channels = 3;
  const contributions = Float32Array.from(
    [
      [9, 0, 0],
      [0, 4, 1],
      [0, Number.NaN, 3],
      [0, 0, 5],
    ].flat(),
  );
  const event = (from: number, to: number, causes: number[]) => ({ from, to, channels: causes });
  // Means of rows 1 and 2: 0, 4, 2.
  expect(hitRates(contributions, channels, [event(1, 3, [1])])).toEqual({ hitRate100: 1, hitRate150: 1 });
  expect(hitRates(contributions, channels, [event(1, 3, [1]), event(3, 4, [0, 2])])).toEqual({
    hitRate100: (1 + 0.75) / 2,
    hitRate150: 1,
  });
  expect(hitRates(contributions, channels, []).hitRate100).toBeNaN();
  expect(() => hitRates(contributions, channels, [event(3, 5, [1])])).toThrow(
    /rows 3 to 4 .* not within 4 rows/,
  );
  expect(() => hitRates(contributions, channels, [event(1, 2, [3])])).toThrow(
    /give the causes of this series/,
  );
});

test("root cause - contributions that are the causes get 1, random ones about the share of the causes", () => {
  const random = createRandom(5).uniform;
  const channels = 20;
  const rows = 4000;
  const events = Array.from({ length: 400 }, (_, i) => ({
    from: 10 * i,
    to: 10 * i + 5,
    channels: [1, 4, 6, 7, 12],
  }));
  const perfect = new Float32Array(rows * channels);
  for (let row = 0; row < rows; row++)
    for (const c of events[0]!.channels) perfect[row * channels + c] = 1 + c;
  expect(hitRates(perfect, channels, events)).toEqual({ hitRate100: 1, hitRate150: 1 });
  const guess = hitRates(
    Float32Array.from(perfect, () => random()),
    channels,
    events,
  );
  expect(Math.abs(guess.hitRate100 - 0.25)).toBeLessThan(0.03);
  expect(Math.abs(guess.hitRate150 - 0.35)).toBeLessThan(0.03);
});

test("calibration - reliability bins are those of scikit-learn 1.9.1 (calibration_curve)", () => {
  const p = Float64Array.of(0.05, 0.1, 0.1, 0.35, 0.41, 0.45, 0.81, 0.85, 0.9, 1);
  const labels = Uint8Array.of(0, 0, 1, 0, 1, 0, 1, 1, 0, 1);
  const { bins, expectedCalibrationError } = reliability(p, labels, 5);
  expect(bins.map((b) => b.rows)).toEqual([3, 1, 2, 0, 4]);
  const seen = bins.filter((b) => b.rows > 0);
  const [shares, means] = [
    [1 / 3, 0, 0.5, 0.75],
    [0.25 / 3, 0.35, 0.43, 0.89],
  ];
  seen.forEach((bin, i) => {
    expect(bin.anomalousShare).toBeCloseTo(shares[i]!, 12);
    expect(bin.meanProbability).toBeCloseTo(means[i]!, 12);
  });
  expect(bins[3]!.meanProbability).toBeNaN();
  expect(expectedCalibrationError).toBeCloseTo((0.75 + 0.35 + 0.14 + 0.56) / 10, 12);
  expect(() => reliability(Float64Array.of(1.2), Uint8Array.of(1))).toThrow(
    "row 1 has the probability 1.2; give probabilities, not scores",
  );
  expect(reliability(Float64Array.of(Number.NaN), Uint8Array.of(1)).expectedCalibrationError).toBeNaN();
});

test("calibration - probabilities that hold are near the diagonal, and tails that hold keep their level", () => {
  const random = createRandom(6).uniform;
  const p = Float64Array.from({ length: 50_000 }, () => random());
  const labels = Uint8Array.from(p, (value) => (random() < value ? 1 : 0));
  expect(reliability(p, labels).expectedCalibrationError).toBeLessThan(0.02);
  expect(
    reliability(
      p.map((value) => value ** 3),
      labels,
    ).expectedCalibrationError,
  ).toBeGreaterThan(0.15);
  const normal = new Uint8Array(p.length);
  for (const { level, observed } of tailCalibration(p, normal, [0.5, 0.1, 0.01]))
    expect(Math.abs(observed / level - 1)).toBeLessThan(0.2);
  expect(
    tailCalibration(
      p.map((value) => value / 2),
      normal,
      [0.1],
    )[0]!.observed,
  ).toBeCloseTo(0.2, 1);
  // Anomalous rows and rows without a probability take no part.
  const few = tailCalibration(Float64Array.of(0.01, Number.NaN, 0.5), Uint8Array.of(1, 0, 0), [0.1, 0.5]);
  expect(few.map((point) => point.observed)).toEqual([0, 1]);
});

test("classes - accuracy and log loss are those of scikit-learn 1.9.1, also for a class that got no probability", () => {
  const p = Float64Array.from(
    [
      [0.7, 0.2, 0.1],
      [0.1, 0.8, 0.1],
      [0.3, 0.3, 0.4],
      [1, 0, 0],
    ].flat(),
  );
  const metrics = classMetrics(p, [0, 1, 0, 2], 3);
  expect(metrics.accuracy).toBe(0.5);
  expect(metrics.logLoss).toBeCloseTo(9.456861172174008, 12);
  expect(metrics.confusion).toEqual([
    [1, 0, 1],
    [0, 1, 0],
    [1, 0, 0],
  ]);
  // Not normalised, the same.
  expect(
    classMetrics(
      p.map((v) => 2 * v),
      [0, 1, 0, 2],
      3,
    ).logLoss,
  ).toBeCloseTo(9.456861172174008, 12);
  expect(() => classMetrics(p, [0, 1, 0, 3], 3)).toThrow("row 4 has the class 3; classes are 0 to 2");
  expect(() => classMetrics(p, [0, 1], 3)).toThrow("12 probabilities can't be judged by 2 rows of 3 classes");
});
