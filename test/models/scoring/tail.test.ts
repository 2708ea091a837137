import fc from "fast-check";
import { expect, test } from "vitest";
import { createRandom } from "../../../models/engine/random.ts";
import { fitTail, LEAST_P, tailLevel, tailProbability } from "../../../models/scoring/tail.ts";

/** Scores of three tails: exponential, heavy (Pareto, gamma 0.25), and ending (uniform). */
const SOURCES = {
  exponential: (u: number) => -Math.log(1 - u),
  heavy: (u: number) => (1 - u) ** -0.25,
  uniform: (u: number) => u,
} as const;

function drawn(source: keyof typeof SOURCES, count: number, seed: number): Float64Array {
  const { uniform } = createRandom(seed);
  return Float64Array.from({ length: count }, () => SOURCES[source](uniform()));
}

/** Largest distance between the values' distribution function and the diagonal. */
function kolmogorov(p: Float64Array): number {
  const sorted = p.slice().sort();
  return sorted.reduce(
    (d, v, i) => Math.max(d, Math.abs(v - i / p.length), Math.abs(v - (i + 1) / p.length)),
    0,
  );
}

for (const source of ["exponential", "heavy", "uniform"] as const) {
  test(`tail - p is uniform on held-out normal scores, ${source}`, () => {
    for (const seed of [1, 2, 3, 4]) {
      const tail = fitTail(drawn(source, 4000, seed));
      const p = drawn(source, 4000, seed + 100).map((score) => tailProbability(tail, score));
      // Two samples of n = m = 4000 at the 0.001 level: 1.95 sqrt(2/4000), and 1/64 of the knots' spacing between.
      expect(kolmogorov(p)).toBeLessThan(1.95 * Math.sqrt(2 / 4000) + 0.002);
    }
  });
}

test("tail - five times beyond the data it is on average within half an order of magnitude", () => {
  for (const [source, score, truth] of [
    ["exponential", -Math.log(1e-4), 1e-4],
    ["heavy", 1e-4 ** -0.25, 1e-4],
  ] as const) {
    const logs = [1, 2, 3, 4, 5, 6, 7, 8].map((seed) =>
      Math.log10(tailProbability(fitTail(drawn(source, 2000, seed)), score) / truth),
    );
    const mean = logs.reduce((a, b) => a + b, 0) / logs.length;
    expect(mean).toBeGreaterThan(-0.5);
    expect(mean).toBeLessThan(0.5);
    expect(Math.min(...logs)).toBeGreaterThan(-2);
  }
});

test("tail - never rises with the score, stays within 0..1, and survives JSON, for any scores", () => {
  const scores = fc.array(fc.oneof(fc.double({ min: -1e6, max: 1e6, noNaN: true }), fc.constantFrom(0, 1)), {
    minLength: 1,
    maxLength: 300,
  });
  const property = fc.property(
    scores,
    fc.array(fc.double({ noNaN: true }), { maxLength: 20 }),
    (list, others) => {
      const tail = JSON.parse(JSON.stringify(fitTail(Float64Array.from(list))));
      expect(tail.knots.length + 5).toBeLessThanOrEqual(100);
      let last = 1;
      for (const score of [...list, ...others, Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY].sort(
        (a, b) => a - b,
      )) {
        const p = tailProbability(tail, score);
        expect(p).toBeLessThanOrEqual(last);
        expect(p).toBeGreaterThanOrEqual(LEAST_P);
        last = p;
      }
    },
  );
  fc.assert(property, { numRuns: 300 });
});

test("tail - the level of a probability has that probability", () => {
  const tail = fitTail(drawn("heavy", 3000, 9));
  for (const p of [0.9, 0.5, 0.1, 0.02, 0.01, 1e-4, 1e-8]) {
    expect(tailProbability(tail, tailLevel(tail, p)) / p).toBeCloseTo(1, 9);
  }
});

test("tail - equal scores: themselves are usual, more is not; NaN stays NaN", () => {
  const tail = fitTail(new Float64Array(200).fill(3));
  expect(tailProbability(tail, 3)).toBe(1);
  expect(tailProbability(tail, 3.1)).toBeLessThan(0.01);
  expect(tailProbability(tail, Number.NaN)).toBeNaN();
  expect(() => fitTail(new Float64Array(0))).toThrow("there are no held-back scores");
});
