import { expect, test } from "vitest";
import { LEVEL_BOUND, levelTracker } from "../../../models/scoring/level.ts";

const of = (rows: number, sigma = 1) =>
  levelTracker({ rows, sigma: Float64Array.of(sigma), sigmaFloor: 0.1 });

test("level - a small lasting change is taken off as an exponential average takes it", () => {
  const tracker = of(10);
  const out = new Float32Array(1);
  let level = 0;
  for (let row = 0; row < 50; row++) {
    tracker.push(Float32Array.of(2), out);
    expect(out[0]).toBeCloseTo(2 - level, 5);
    level += (2 - level) / 10;
  }
  expect(out[0]).toBeLessThan(0.02);
});

test("level - one row moves it by no more than the bound, however far off it is", () => {
  const tracker = of(10, 0.5);
  tracker.push(Float32Array.of(1e6), new Float32Array(1));
  expect(tracker.level[0]).toBeCloseTo((LEVEL_BOUND * 0.5) / 10, 6);
});

test("level - a missing value stays missing and moves nothing; 0 rows track nothing", () => {
  const tracker = of(10);
  const out = new Float32Array(1);
  tracker.push(Float32Array.of(1), out);
  const before = tracker.level[0];
  tracker.push(Float32Array.of(Number.NaN), out);
  expect(out[0]).toBeNaN();
  expect(tracker.level[0]).toBe(before);
  const off = of(0);
  for (let row = 0; row < 20; row++) off.push(Float32Array.of(5), out);
  expect(out[0]).toBe(5);
});
