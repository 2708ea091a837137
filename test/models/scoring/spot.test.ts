import { expect, test } from "vitest";
import { createRandom } from "../../../models/engine/random.ts";
import { calibrateSpot, spot } from "../../../models/scoring/spot.ts";
import { fitThreshold } from "../../../models/scoring/threshold.ts";

const exponential = (count: number, seed: number) => {
  const { uniform } = createRandom(seed);
  return Float64Array.from({ length: count }, () => -Math.log(1 - uniform()));
};

test("spot - begins at the level that POT sets on the same scores", () => {
  const scores = exponential(2000, 3);
  expect(calibrateSpot(scores, { risk: 1e-3 }).level).toBeCloseTo(
    fitThreshold(scores, { kind: "pot", risk: 1e-3 }),
    6,
  );
});

test("spot - on normal data it alarms one to four times as often as its risk says", () => {
  let alarms = 0;
  for (const seed of [1, 2, 3, 4, 5]) {
    const stream = spot(calibrateSpot(exponential(2000, seed), { risk: 1e-3 }), { risk: 1e-3 });
    for (const score of exponential(20_000, seed + 50)) if (stream.push(score)) alarms++;
  }
  // 100 by the risk; more, because alarms are missing from the later fits.
  expect(alarms).toBeGreaterThan(100);
  expect(alarms).toBeLessThan(400);
});

test("spot - learns a tail that grows, nothing from an alarm, and remembers no more than it may", () => {
  const state = calibrateSpot(exponential(1000, 1), { risk: 1e-3, mostExcesses: 40 });
  const stream = spot(state, { risk: 1e-3, mostExcesses: 40 });
  expect(stream.push(1e6)).toBe(true);
  expect(stream.push(Number.NaN)).toBe(false);
  expect(stream.state()).toEqual(state);
  const steady = spot(state, { risk: 1e-3, mostExcesses: 40 });
  for (const score of exponential(10_000, 2)) {
    stream.push(score * 1.3);
    steady.push(score);
  }
  expect(stream.level).toBeGreaterThan(steady.level * 1.1);
  expect(stream.state().excesses.length).toBe(40);
});

test("spot - goes on from its state as if it had not stopped", () => {
  const scores = exponential(4000, 8);
  const whole = spot(calibrateSpot(scores.subarray(0, 1000)));
  const first = spot(calibrateSpot(scores.subarray(0, 1000)));
  for (const score of scores.subarray(1000, 2000)) first.push(score);
  const second = spot(JSON.parse(JSON.stringify(first.state())));
  for (const score of scores.subarray(1000)) whole.push(score);
  for (const score of scores.subarray(2000)) second.push(score);
  expect(second.state()).toEqual(whole.state());
});

test("spot - impossible options are said", () => {
  expect(() => calibrateSpot(exponential(10, 1), { risk: 0 })).toThrow("risk 0 is not between 0 and 1");
  expect(() => calibrateSpot(exponential(10, 1), { mostExcesses: 2 })).toThrow(
    "mostExcesses 2 must be a whole number of 3 or more",
  );
});
