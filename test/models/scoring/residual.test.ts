import { expect, test } from "vitest";
import { residualFit, residualScorer } from "../../../models/scoring/residual.ts";
import { topChannels } from "../../../models/scoring/top-channels.ts";

const row = (...values: number[]) => Float32Array.from(values);

test("residual - sigma is the root mean square of each channel's residual, about zero, missing ones left out", () => {
  const fit = residualFit(2);
  fit.add(row(3, 1, -3, Number.NaN));
  fit.add(row(3, 1));
  expect([...fit.sigma()]).toEqual([3, 1]);
  expect([...residualFit(1).sigma()]).toEqual([0]);
});

test("residual - the score is the mean of r^2/sigma^2, and its terms are the contributions", () => {
  const scorer = residualScorer({ sigma: Float64Array.of(1, 2, 4) });
  expect(scorer.score(row(2, 2, 0))).toBe((4 + 1 + 0) / 3);
  expect([...scorer.contributions]).toEqual([4, 1, 0]);
});

test("residual - missing channels are skipped; with nothing seen the score is NaN", () => {
  const scorer = residualScorer({ sigma: Float64Array.of(1, 1) });
  expect(scorer.score(row(Number.NaN, 2))).toBe(4);
  expect([...scorer.contributions]).toEqual([0, 4]);
  expect(scorer.score(row(Number.NaN, Number.NaN))).toBeNaN();
});

test("residual - the floor holds a constant channel down, the clip any single one", () => {
  const scorer = residualScorer({ sigma: Float64Array.of(0, 1), sigmaFloor: 0.5, clip: 9 });
  expect(scorer.score(row(1, 100))).toBe((4 + 9) / 2);
});

test("residual - the contributions are one array that is filled again and again", () => {
  const scorer = residualScorer({ sigma: Float64Array.of(1) });
  const before = scorer.contributions;
  scorer.score(row(2));
  expect(scorer.contributions).toBe(before);
});

test("residual - a diverged detector and impossible options are said", () => {
  expect(() => residualScorer({ sigma: Float64Array.of(Number.NaN) })).toThrow(
    "a residual sigma is not finite; the detector diverged, train it again",
  );
  expect(() => residualScorer({ sigma: Float64Array.of(1), sigmaFloor: 0 })).toThrow(
    "sigmaFloor 0 and clip 1000 must both be above 0",
  );
});

test("topChannels - highest shares first, equal ones by channel, silent ones left out", () => {
  expect(topChannels(row(0, 6, 2, 2, 0))).toEqual([
    { channel: 1, share: 0.6 },
    { channel: 2, share: 0.2 },
    { channel: 3, share: 0.2 },
  ]);
  expect(topChannels(row(1, 3), 1)).toEqual([{ channel: 1, share: 0.75 }]);
  expect(topChannels(row(0, 0))).toEqual([]);
});
