import { FleetError } from "../../protocol/errors.ts";

/** `fisher`: every modality counts, and weak signs in several add up; `max`: the one that is most alarmed counts alone. */
export const fusionRules = ["fisher", "max"] as const;
export type FusionRule = (typeof fusionRules)[number];

/** A probability of 0 is taken as this: its logarithm is finite, and it is smaller than any that a detector gives. */
export const LEAST_FUSED = 1e-300;

/**
 * How improbable several tail probabilities are together: -ln of the fused probability p, 0 and up, without an upper end. NaN is a missing modality, and m the
 * number of those that are there; NaN where none is. For independent modalities p is uniform on normal rows; where they depend on each other it is too small, so
 * it has to be calibrated on normal rows as any other score (`fitTail`).
 *
 * fisher: -2 sum ln p_i is chi-squared with 2 m degrees of freedom (Fisher 1932, Statistical Methods for Research Workers, 4th ed., section 21.1), whose
 * survival function is a sum of m terms, exp(-x) sum_{k<m} x^k / k! with x = -sum ln p_i.
 * max: 1 - (1 - min p_i)^m (Tippett 1931, The Methods of Statistics).
 *
 * Throws BAD_INPUT for a number outside 0..1.
 */
export function fusedSurprise(probabilities: ArrayLike<number>, rule: FusionRule): number {
  let m = 0;
  let x = 0;
  let least = 1;
  for (let i = 0; i < probabilities.length; i++) {
    const p = probabilities[i]!;
    if (Number.isNaN(p)) continue;
    if (!(p >= 0 && p <= 1))
      throw new FleetError(
        "BAD_INPUT",
        `${p} is no probability; give numbers from 0 to 1, NaN where missing`,
      );
    m++;
    x += surpriseOf(p);
    least = Math.min(least, p);
  }
  if (m === 0) return Number.NaN;
  if (m === 1) return x;
  return rule === "fisher" ? fisherSurprise(x, m) : leastSurprise(Math.max(least, LEAST_FUSED), m);
}

/** The fused probability itself, `Number.MIN_VALUE`..1. */
export function fusedProbability(probabilities: ArrayLike<number>, rule: FusionRule): number {
  const surprise = fusedSurprise(probabilities, rule);
  return Number.isNaN(surprise) ? surprise : Math.max(Number.MIN_VALUE, Math.exp(-surprise));
}

/** -ln p, with a floor under p. */
export function surpriseOf(p: number): number {
  return p === 1 ? 0 : -Math.log(Math.max(p, LEAST_FUSED));
}

/**
 * -ln of exp(-x) sum_{k<m} x^k / k!, the survival function of chi-squared with 2 m degrees of freedom at 2 x. By its largest term, since both the exponential and
 * the powers leave the range of a number.
 */
function fisherSurprise(x: number, m: number): number {
  if (x === 0) return 0;
  // The terms grow as long as k < x.
  const top = Math.min(m - 1, Math.floor(x));
  let logTop = 0;
  for (let k = 1; k <= top; k++) logTop += Math.log(x / k);
  let sum = 1;
  for (let k = top, term = 1; k > 0; k--) {
    term *= k / x;
    sum += term;
  }
  for (let k = top + 1, term = 1; k < m; k++) {
    term *= x / k;
    sum += term;
  }
  return Math.max(0, x - logTop - Math.log(sum));
}

function leastSurprise(p: number, m: number): number {
  // 1 - (1 - p)^m without losing a small p, and its logarithm without losing one near 1.
  const logMiss = m * Math.log1p(-p);
  return logMiss === Number.NEGATIVE_INFINITY ? 0 : -Math.log(-Math.expm1(logMiss)) || 0;
}
