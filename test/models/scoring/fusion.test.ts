import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createRandom } from "../../../models/engine/random.ts";
import { fusedProbability, fusedSurprise, fusionRules, LEAST_FUSED } from "../../../models/scoring/fusion.ts";

const uniform = fc.double({ min: 1e-12, max: 1, noNaN: true });

/** The plain sum, in big enough numbers only as long as x is small. */
function fisherByTerms(probabilities: readonly number[]): number {
  const x = -probabilities.reduce((sum, p) => sum + Math.log(p), 0);
  let sum = 0;
  for (let k = 0, term = 1; k < probabilities.length; term *= x / ++k) sum += term;
  return Math.exp(-x) * sum;
}

/** Kolmogorov's distance of numbers from the uniform distribution on 0..1. */
function distanceFromUniform(numbers: readonly number[]): number {
  const sorted = [...numbers].sort((a, b) => a - b);
  return Math.max(...sorted.map((p, i) => Math.max(p - i / sorted.length, (i + 1) / sorted.length - p)));
}

describe("fusion", () => {
  it("fisher is chi-squared: textbook values of its survival function, and closed forms", () => {
    // Two p of 0.05: x = 2 ln 20, p = exp(-x) (1 + x) = 0.0025 (1 + 2 ln 20).
    expect(fusedProbability([0.05, 0.05], "fisher")).toBeCloseTo(0.0025 * (1 + 2 * Math.log(20)), 15);
    expect(fusedProbability([0.5, 0.5], "fisher")).toBeCloseTo(0.25 * (1 + 2 * Math.log(2)), 15);
    // Critical values of chi-squared at 5 %, from the tables: 9.488 (4 degrees), 12.592 (6), 18.307 (10).
    for (const [m, critical] of [
      [2, 9.4877],
      [3, 12.5916],
      [5, 18.307],
    ] as const) {
      const p = Math.exp(-critical / 2 / m);
      expect(fusedProbability(Array(m).fill(p), "fisher")).toBeCloseTo(0.05, 5);
    }
  });

  it("max is Tippett's: 1 - (1 - p)^m of the smallest", () => {
    expect(fusedProbability([0.05, 0.7], "max")).toBeCloseTo(0.0975, 15);
    expect(fusedProbability([0.3, 0.9, 0.2], "max")).toBeCloseTo(1 - 0.8 ** 3, 15);
    // m p for a small p, where 1 - (1 - p)^m would be 0.
    expect(fusedProbability([1e-20, 1], "max") / 2e-20).toBeCloseTo(1, 12);
    expect(fusedProbability([1e-300, 0.5], "max") / 2e-300).toBeCloseTo(1, 12);
  });

  it("fisher is the sum of its terms, whatever the probabilities", () => {
    fc.assert(
      fc.property(fc.array(uniform, { minLength: 2, maxLength: 12 }), (probabilities) => {
        const expected = fisherByTerms(probabilities);
        expect(Math.abs(fusedProbability(probabilities, "fisher") / expected - 1)).toBeLessThan(1e-9);
      }),
    );
  });

  it.each(fusionRules)(
    "%s - of independent uniform probabilities is uniform, with any of them missing",
    (rule) => {
      const random = createRandom(7);
      for (const m of [1, 2, 3, 6]) {
        const fused = Array.from({ length: 4000 }, () =>
          fusedProbability(
            Array.from({ length: m + 1 }, (_, i) => (i === 0 ? Number.NaN : random.uniform())),
            rule,
          ),
        );
        // Kolmogorov's 1 % level is 1.63 / sqrt(n).
        expect(distanceFromUniform(fused), `${m} modalities`).toBeLessThan(1.63 / Math.sqrt(4000));
      }
    },
  );

  it("fisher is too small where modalities depend on each other, which is why it is calibrated", () => {
    const random = createRandom(7);
    const fused = Array.from({ length: 4000 }, () => {
      const p = random.uniform();
      return fusedProbability([p, p, p], "fisher");
    });
    expect(fused.filter((p) => p < 0.01).length).toBeGreaterThan(4000 * 0.03);
  });

  it.each(fusionRules)(
    "%s - what is missing does not count, the order does not, and a smaller probability is never less alarming",
    (rule) => {
      fc.assert(
        fc.property(fc.array(uniform, { minLength: 1, maxLength: 8 }), uniform, (some, factor) => {
          const surprise = fusedSurprise(some, rule);
          expect(fusedSurprise([Number.NaN, ...some, Number.NaN], rule)).toBe(surprise);
          expect(fusedSurprise([...some].reverse(), rule)).toBeCloseTo(surprise, 9);
          const less = fusedSurprise([some[0]! * factor, ...some.slice(1)], rule);
          expect(less).toBeGreaterThanOrEqual(surprise - 1e-9);
          expect(fusedProbability(some, rule)).toBeGreaterThan(0);
          expect(surprise).toBeGreaterThanOrEqual(0);
        }),
      );
    },
  );

  it.each(fusionRules)("%s - stands the ends of 0..1, one modality alone, and refuses the rest", (rule) => {
    expect(fusedSurprise([], rule)).toBeNaN();
    expect(fusedProbability([Number.NaN, Number.NaN], rule)).toBeNaN();
    expect(fusedProbability([0.2, Number.NaN], rule)).toBeCloseTo(0.2, 15);
    expect(fusedSurprise([1, 1, 1], rule)).toBe(0);
    expect(fusedSurprise([0, 0.5], rule)).toBe(fusedSurprise([LEAST_FUSED, 0.5], rule));
    const all = fusedSurprise(Array(200).fill(0), rule);
    expect(Number.isFinite(all)).toBe(true);
    expect(all).toBeGreaterThan(600);
    for (const wrong of [-0.1, 1.1, Number.POSITIVE_INFINITY])
      expect(() => fusedSurprise([0.5, wrong], rule)).toThrow(/is no probability/);
  });
});
