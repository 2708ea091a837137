import fc from "fast-check";
import { expect, test } from "vitest";
import { createRandom } from "../../../models/engine/random.ts";
import { fitPareto } from "../../../models/scoring/pareto.ts";
import { fitThreshold, quantile } from "../../../models/scoring/threshold.ts";

// Excesses drawn with scipy 1.17 and fitted with scipy.stats.genpareto.fit(floc=0); `value` is scipy's log-likelihood at its fit.
const SCIPY = [
  {
    gamma: -0.41074,
    sigma: 2.56731,
    value: -91.926784,
    excesses: [
      3.4154, 1.1849, 1.4671, 0.7482, 2.4295, 0.0509, 0.889, 0.0615, 0.2588, 4.9498, 1.9301, 1.0578, 1.3788,
      3.3795, 0.8092, 1.6344, 2.0563, 0.8408, 1.362, 2.5162, 3.8108, 0.3222, 4.1834, 0.0104, 2.4396, 2.8302,
      0.2899, 1.0288, 2.8663, 0.0287, 1.7965, 2.7023, 1.3403, 2.2803, 0.5005, 0.4329, 0.8629, 0.3877, 0.8144,
      4.4666, 1.5663, 0.7976, 0.6139, 4.5528, 1.1092, 5.4451, 1.3492, 1.3695, 3.6474, 2.3781, 1.5954, 1.0529,
      3.4365, 1.0065, 4.008, 0.1414, 1.0633, 1.3635, 4.528, 0.5616,
    ],
  },
  {
    gamma: -0.16247,
    sigma: 2.29355,
    value: -100.05802,
    excesses: [
      3.2802, 2.2569, 2.5252, 1.9865, 7.12, 0.809, 1.0159, 0.4536, 0.1041, 0.4788, 4.9412, 3.6673, 0.2385,
      1.8516, 1.3048, 1.8062, 2.1534, 0.7325, 6.5065, 1.2541, 1.9783, 2.017, 0.4064, 0.1277, 1.0604, 2.8881,
      3.3772, 2.6186, 0.2403, 4.8919, 3.2393, 4.2024, 1.4818, 4.9452, 0.0956, 0.0615, 0.0408, 0.5828, 0.5716,
      0.4153, 1.6743, 0.0795, 1.7851, 0.3631, 2.2656, 0.0426, 0.7438, 5.5723, 1.5461, 3.3382, 2.146, 1.8871,
      0.4245, 1.7085, 0.081, 3.2356, 6.4413, 3.8484, 0.1041, 0.827,
    ],
  },
  {
    gamma: 0.0154,
    sigma: 2.26275,
    value: -109.918374,
    excesses: [
      0.8272, 0.245, 2.4149, 4.4703, 0.8126, 6.0673, 4.4641, 0.2843, 3.9521, 6.7797, 0.4594, 2.0317, 2.5136,
      2.282, 0.2065, 2.7088, 2.4578, 5.015, 4.586, 0.8588, 3.3441, 6.2147, 7.2217, 0.365, 0.0544, 2.6163,
      0.5074, 1.9672, 10.9297, 1.0509, 0.6181, 1.3811, 2.6732, 0.2178, 1.0559, 0.2955, 2.7203, 5.1708, 1.0414,
      1.0216, 1.8185, 0.5085, 0.602, 0.8682, 1.3854, 0.173, 3.7439, 2.0677, 0.7657, 0.1641, 3.8962, 0.2891,
      0.2942, 0.2881, 0.1724, 7.8957, 0.6684, 0.788, 5.2251, 2.3624,
    ],
  },
];

const logLikelihood = (y: readonly number[], gamma: number, sigma: number) =>
  y.reduce((sum, v) => sum - Math.log(sigma) - (1 + 1 / gamma) * Math.log1p((gamma * v) / sigma), 0);

for (const { gamma, sigma, value, excesses } of SCIPY) {
  test(`pareto - fits as scipy does, gamma ${gamma}`, () => {
    const fit = fitPareto(Float64Array.from(excesses));
    expect(logLikelihood(excesses, fit.gamma, fit.sigma)).toBeGreaterThan(value - 1e-4);
    expect(fit.gamma).toBeCloseTo(gamma, 2);
    expect(fit.sigma).toBeCloseTo(sigma, 1);
  });
}

test("quantile - interpolates as numpy does", () => {
  const x = Float64Array.of(
    1.524,
    -0.428,
    -0.304,
    0.353,
    -0.121,
    -0.197,
    -1.114,
    -0.012,
    -0.444,
    1.166,
    0.653,
  );
  const numpy = [
    [0, -1.114],
    [0.1, -0.444],
    [0.5, -0.121],
    [0.95, 1.345],
    [0.999, 1.52042],
    [1, 1.524],
  ] as const;
  for (const [q, expected] of numpy) expect(quantile(x, q)).toBeCloseTo(expected, 10);
});

/** -log(1 - u): an exponential tail, whose levels are known. */
function exponential(count: number, seed: number): Float64Array {
  const random = createRandom(seed).uniform;
  return Float64Array.from({ length: count }, () => -Math.log(1 - random()));
}

test("threshold - POT from 1000 scores comes near the true level of a risk that 1000 scores hardly show", () => {
  const levels = [1, 2, 3, 4, 5, 6, 7, 8].map((seed) =>
    fitThreshold(exponential(1000, seed), { kind: "pot", risk: 1e-4 }),
  );
  const mean = levels.reduce((a, b) => a + b, 0) / levels.length;
  expect(mean).toBeGreaterThan(-Math.log(1e-4) * 0.75);
  expect(mean).toBeLessThan(-Math.log(1e-4) * 1.35);
});

test("threshold - auto is the quantile with many scores and POT with few", () => {
  const [many, few] = [exponential(20_000, 1), exponential(500, 1)];
  expect(fitThreshold(many)).toBe(fitThreshold(many, { kind: "quantile" }));
  expect(fitThreshold(few)).toBe(fitThreshold(few, { kind: "pot" }));
  expect(fitThreshold(few)).not.toBe(fitThreshold(few, { kind: "quantile" }));
});

test("threshold - always finite, never below the lowest score, for any scores and rule", () => {
  const values = fc.array(fc.double({ min: 0, max: 1e9, noNaN: true }), { minLength: 1, maxLength: 80 });
  const property = fc.property(
    values,
    fc.constantFrom("auto", "pot", "quantile", "mad" as const),
    (list, kind) => {
      const level = fitThreshold(Float64Array.from(list), { kind } as { kind: "auto" });
      expect(Number.isFinite(level)).toBe(true);
      expect(level).toBeGreaterThanOrEqual(Math.min(...list));
    },
  );
  fc.assert(property, { numRuns: 300 });
});

test("threshold - all scores equal gives that score, one score itself; NaN scores are left out", () => {
  for (const kind of ["auto", "pot", "quantile", "mad"] as const) {
    expect(fitThreshold(new Float64Array(500).fill(0.25), { kind })).toBe(0.25);
    expect(fitThreshold(Float64Array.of(Number.NaN, 7), { kind })).toBe(7);
  }
});

test("threshold - MAD of known numbers, and what stands in for it when most are equal", () => {
  // By hand: median 4, deviations 3 2 1 0 1 2 96, MAD 2.
  const list = Float64Array.of(1, 2, 3, 4, 5, 6, 100);
  expect(fitThreshold(list, { kind: "mad" })).toBeCloseTo(4 + 3.5 * 1.4826 * 2, 10);
  const mostlyZero = Float64Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0, 10);
  expect(fitThreshold(mostlyZero, { kind: "mad", factor: 2 })).toBeCloseTo(2 * 1.2533 * 1, 10);
});

test("threshold - conformal is the ceil((n + 1)(1 - alpha))-th score, and keeps its promise on fresh scores", () => {
  const ranks = Float64Array.from({ length: 999 }, (_, i) => i + 1);
  expect(fitThreshold(ranks, { kind: "conformal", alpha: 0.001 })).toBe(999);
  expect(fitThreshold(ranks, { kind: "conformal", alpha: 0.1 })).toBe(900);
  expect(fitThreshold(ranks.subarray(0, 99), { kind: "conformal", alpha: 0.15 })).toBe(85);
  let passed = 0;
  for (let seed = 1; seed <= 200; seed++) {
    const level = fitThreshold(exponential(49, seed), { kind: "conformal", alpha: 0.1 });
    passed += exponential(100, seed + 1000).filter((score) => score > level).length;
  }
  // 0.1 of 20,000, and the spread of 200 calibrations: 3 sigma of Beta(45, 5) means.
  expect(passed / 20_000).toBeLessThan(0.1 + 0.01);
  expect(passed / 20_000).toBeGreaterThan(0.1 - 0.01);
});

test("threshold - conformal asks for the scores that it needs", () => {
  const level = (count: number) => fitThreshold(exponential(count, 1), { kind: "conformal" });
  expect(level(999)).toBe(Math.max(...exponential(999, 1)));
  expect(() => level(998)).toThrow(
    "a conformal threshold at alpha 0.001 needs 999 held-back scores and there are 998; give more data, a larger alpha, or use pot",
  );
  expect(() => fitThreshold(exponential(9, 1), { kind: "conformal", alpha: 1 })).toThrow(
    "alpha 1 is not between 0 and 1",
  );
  expect(() => fitThreshold(exponential(9, 1), { kind: "mad", factor: 0 })).toThrow(
    "is not a number above 0",
  );
});

test("threshold - no scores, infinite scores and impossible rules are said", () => {
  expect(() => fitThreshold(Float64Array.of(Number.NaN))).toThrow(
    "there are no held-back scores to set a threshold from; give more normal data",
  );
  expect(() => fitThreshold(Float64Array.of(1, Number.POSITIVE_INFINITY))).toThrow(
    "a held-back score is infinite; the detector diverged, train it again",
  );
  expect(() => fitThreshold(Float64Array.of(1), { kind: "quantile", quantile: 1.5 })).toThrow(
    "quantile 1.5 is not within 0 to 1",
  );
  expect(() => fitThreshold(Float64Array.of(1), { kind: "pot", risk: 0 })).toThrow(
    "risk 0 is not between 0 and 1",
  );
});
