import { expect, test } from "vitest";
import { createRandom } from "../../../models/engine/random.ts";
import {
  fitOpenTail,
  fitPareto,
  paretoLevel,
  paretoSurvival,
  shapePrior,
} from "../../../models/scoring/pareto.ts";

const excesses = (gamma: number, count: number, seed: number) => {
  const { uniform } = createRandom(seed);
  return Float64Array.from({ length: count }, () =>
    paretoLevel({ gamma, sigma: 1 }, 1 - 0.999999 * uniform()),
  );
};

test("pareto - many excesses give their distribution back, and level and survival are each other's inverse", () => {
  for (const gamma of [-0.2, 0, 0.3]) {
    const fit = fitPareto(excesses(gamma, 20_000, 1));
    expect(fit.gamma).toBeCloseTo(gamma, 1);
    expect(fit.sigma).toBeCloseTo(1, 1);
    expect(paretoSurvival(fit, paretoLevel(fit, 1e-4))).toBeCloseTo(1e-4, 12);
  }
});

/** Root mean square, over many fits to 30 excesses, of ln(level / true level) where one in 3000 passes it. */
function levelError(gamma: number, prior?: (gamma: number) => number): number {
  const truth = paretoLevel({ gamma, sigma: 1 }, 1 / 3000);
  const fits = 200;
  let sum = 0;
  for (let seed = 1; seed <= fits; seed++)
    sum += Math.log(paretoLevel(fitOpenTail(excesses(gamma, 30, seed), prior), 1 / 3000) / truth) ** 2 / fits;
  return Math.sqrt(sum);
}

test("pareto - with the prior of the shape, thirty excesses place a level a hundred times beyond them better, also where the shape is not the prior's", () => {
  for (const gamma of [0, 0.1, 0.2])
    expect(levelError(gamma, shapePrior)).toBeLessThan(0.65 * levelError(gamma));
  expect(levelError(0.4, shapePrior)).toBeLessThan(levelError(0.4));
  // Its mode, and its support.
  expect(fitOpenTail(excesses(0.1, 30, 1), shapePrior).gamma).toBeLessThan(0.5);
  const mode = 0.5 - 5 / 13;
  expect(shapePrior(mode)).toBeGreaterThan(Math.max(shapePrior(mode - 0.01), shapePrior(mode + 0.01)));
  expect([shapePrior(0.5), shapePrior(-0.5)]).toEqual([Number.NEGATIVE_INFINITY, Number.NEGATIVE_INFINITY]);
});
