import type { Random } from "../../engine/random.ts";

/**
 * Mixes a sample with another, in place, and gives its own part, lambda ~ Beta(alpha, alpha). Of input and target alike, classes too, as the paper has it: between
 * two samples lies what is between their targets. Source: Zhang et al. 2018, arXiv 1710.09412, equation 1.
 */
export function mixup(random: Random, alpha: number): (rows: Float32Array, other: Float32Array) => number {
  return (rows, other) => {
    const one = gamma(random, alpha);
    const sum = one + gamma(random, alpha);
    // Both can round to 0 where alpha is tiny: then lambda is 0 or 1, evenly.
    const lambda = sum > 0 ? one / sum : random.integer(2);
    for (let i = 0; i < rows.length; i++) rows[i] = lambda * rows[i]! + (1 - lambda) * other[i]!;
    return lambda;
  };
}

/** Of scale 1. Source: Marsaglia & Tsang 2000, ACM TOMS 26(3); shapes below 1 by their note on the power of a uniform. */
function gamma(random: Random, shape: number): number {
  if (shape < 1) return gamma(random, shape + 1) * random.uniform() ** (1 / shape);
  const d = shape - 1 / 3;
  const c = 1 / Math.sqrt(9 * d);
  for (;;) {
    const x = random.normal();
    const v = (1 + c * x) ** 3;
    if (v > 0 && Math.log(1 - random.uniform()) < 0.5 * x * x + d - d * v + d * Math.log(v)) return d * v;
  }
}
