import { expect, test } from "vitest";
import { createRandom } from "../../../models/engine/random.ts";
import { fitSmoothing, smoother } from "../../../models/scoring/ladder.ts";

const uniform = createRandom(3).uniform;
const normal = Float64Array.from({ length: 2000 }, () => uniform());

test("ladder - begins as the mean of what it has seen, then is the mean of exponential averages over their levels", () => {
  const ladder = smoother([2, 4], [1, 10]);
  expect(ladder.push(3)).toBeCloseTo((3 + 0.3) / 2, 6);
  expect(ladder.push(5)).toBeCloseTo((4 + 0.4) / 2, 6);
  // 2 rows: 4 + (8-4)/2 = 6; 4 rows: the mean of three, 16/3.
  expect(ladder.push(8)).toBeCloseTo((6 + 16 / 30) / 2, 6);
});

test("ladder - on normal scores it passes 1 about as often as its rungs pass their quantile, and a lasting small change more than a spike", () => {
  const smooth = [3, 10, 30];
  const levels = fitSmoothing(smooth, normal);
  const ladder = smoother(smooth, levels);
  const scores = normal.map((score) => ladder.push(score));
  expect(scores.filter((score) => score > 1).length / scores.length).toBeLessThan(0.02);
  ladder.reset();
  for (const score of normal) ladder.push(score);
  let lasting = 0;
  for (let row = 0; row < 60; row++) lasting = Math.max(lasting, ladder.push(0.9));
  expect(lasting).toBeGreaterThan(1);
});

test.each([[10], [[3, 10, 30]]] as const)(
  "smoothing %j - restored, it goes on to the bit; a missing score changes nothing",
  (smooth) => {
    const levels = fitSmoothing(smooth, normal);
    const whole = smoother(smooth, levels);
    let part = smoother(smooth, levels);
    expect(whole.push(Number.NaN)).toBeNaN();
    for (const [row, score] of normal.subarray(0, 200).entries()) {
      if (row % 17 === 0) {
        const state = part.state();
        part = smoother(smooth, levels);
        part.restore(state);
      }
      const value = whole.push(score);
      expect(part.push(score)).toBe(value);
      expect(part.push(Number.NaN)).toBe(value);
    }
  },
);

test("ladder - levels of another ladder are refused", () => {
  expect(() => smoother([3, 10], [1])).toThrow(/calibrate again/);
});
