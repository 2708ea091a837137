import { expect, test } from "vitest";
import { createRandom } from "../../../models/engine/random.ts";
import { type DriftVerdict, driftMonitor, driftReference } from "../../../models/scoring/drift.ts";
import { recalibrationScores } from "../../../models/scoring/recalibration.ts";
import { smooth } from "../../../models/scoring/smoothing.ts";

interface Change {
  readonly from: number;
  readonly scale: number;
}

/** Smoothed squared residuals whose size follows a slow AR(1), as real ones do; times `scale` from a row on. */
function scoresOf(rows: number, seed: number, change?: Change): Float64Array {
  const { normal } = createRandom(seed);
  let slow = 0;
  return smooth(
    Float64Array.from({ length: rows }, (_, i) => {
      slow = 0.9 * slow + 0.2 * normal();
      return Math.exp(slow) * normal() ** 2 * (change && i >= change.from ? change.scale : 1);
    }),
  );
}

function verdictsOf(scores: Float64Array, seed: number, memoryRows = 500) {
  const monitor = driftMonitor(driftReference(scoresOf(4000, seed)), { memoryRows });
  const first: Partial<Record<DriftVerdict, number>> = {};
  scores.forEach((score, i) => {
    first[monitor.push(score)] ??= i;
  });
  return { first, last: monitor.verdict, monitor };
}

test("drift - stationary scores: no signal in 20 streams of 20,000 rows", () => {
  let signals = 0;
  for (let seed = 1; seed <= 20; seed++) {
    if (verdictsOf(scoresOf(20_000, seed + 1000), seed).first.drifting !== undefined) signals++;
  }
  expect(signals).toBe(0);
});

for (const [name, scale] of [
  ["three times as large", 3],
  ["a third", 1 / 3],
] as const) {
  test(`drift - scores that become ${name} are drifting soon, and due for retraining when it lasts`, () => {
    for (const seed of [1, 2, 3]) {
      const { first, last } = verdictsOf(scoresOf(12_000, seed + 50, { from: 5000, scale }), seed);
      expect(first.drifting).toBeGreaterThanOrEqual(5000);
      expect(first.drifting).toBeLessThan(6500);
      expect(first["retrain-due"]).toBeGreaterThan(5500);
      expect(first["retrain-due"]).toBeLessThan(8000);
      expect(last).toBe("retrain-due");
    }
  });
}

test("drift - a passing change is drifting and then stable again, without a call for retraining", () => {
  const calm = scoresOf(16_000, 61);
  const scores = calm.map((s, i) => (i >= 4000 && i < 4600 ? 3 * s : s));
  const { first, last } = verdictsOf(scores, 2);
  expect(first.drifting).toBeGreaterThanOrEqual(4000);
  expect(first["retrain-due"]).toBeUndefined();
  expect(last).toBe("stable");
});

test("drift - a wider distribution of the same median is seen by the index", () => {
  const reference = Float64Array.from({ length: 4000 }, (_, i) => ((i * 7919) % 4000) / 4000);
  const monitor = driftMonitor(driftReference(reference), { memoryRows: 500 });
  const { uniform } = createRandom(5);
  for (let i = 0; i < 3000; i++) monitor.push(0.5 + (uniform() - 0.5) * 3);
  expect(monitor.psi).toBeGreaterThan(0.25);
  expect(monitor.verdict).toBe("retrain-due");
});

test("drift - goes on from its state as if it had not stopped; NaN changes nothing; the state does not grow", () => {
  const reference = driftReference(scoresOf(4000, 1));
  const scores = scoresOf(4000, 9, { from: 1000, scale: 3 });
  const whole = driftMonitor(reference);
  const first = driftMonitor(reference);
  for (const score of scores.subarray(0, 1500)) first.push(score);
  const before = first.state();
  first.push(Number.NaN);
  expect(first.state()).toEqual(before);
  const second = driftMonitor(reference, {}, JSON.parse(JSON.stringify(before)));
  for (const score of scores) whole.push(score);
  for (const score of scores.subarray(1500)) second.push(score);
  expect(second.state()).toEqual(whole.state());
  expect(JSON.stringify(whole.state()).length).toBeLessThan(600);
});

test("drift - constant scores are stable until they change; an infinite or missing reference is said", () => {
  const monitor = driftMonitor(driftReference(new Float64Array(500).fill(1)), { memoryRows: 100 });
  for (let i = 0; i < 1000; i++) expect(monitor.push(1)).toBe("stable");
  for (let i = 0; i < 1000; i++) monitor.push(2);
  expect(monitor.verdict).not.toBe("stable");
  expect(() => driftReference(new Float64Array(0))).toThrow("there are no held-back scores");
  expect(() => driftMonitor(driftReference(Float64Array.of(1, 2)), { memoryRows: 0 })).toThrow(
    "memoryRows 0 must be",
  );
});

test("recalibration - keeps the last unalarmed scores, none from the rows about an alarm, and no NaN", () => {
  const kept = recalibrationScores({ capacity: 6, guardRows: 2 });
  for (let row = 0; row < 20; row++) {
    kept.push(row === 16 ? Number.NaN : row, { alarmed: row >= 6 && row <= 9 });
  }
  // 4, 5 and 10, 11 are within two rows of the alarm; 18 and 19 may still turn out to be.
  expect([...kept.scores()]).toEqual([3, 12, 13, 14, 15, 17]);
  expect(kept.count).toBe(6);
  expect(() => recalibrationScores({ capacity: 0 })).toThrow("capacity 0 must be a whole number above 0");
});

test("recalibration - restarted from its state at any row, it keeps the same scores", () => {
  const options = { capacity: 6, guardRows: 2 };
  const whole = recalibrationScores(options);
  let parts = recalibrationScores(options);
  for (let row = 0; row < 40; row++) {
    if (row % 3 === 1) parts = recalibrationScores(options, parts.state());
    for (const kept of [whole, parts]) kept.push(row / 7, { alarmed: row % 17 === 9 });
    expect(parts.state()).toEqual(whole.state());
  }
  expect(whole.count).toBe(6);
});
