import { FleetError } from "../../protocol/errors.ts";
import { FEWEST_EXCESSES, fitPareto, paretoLevel } from "./pareto.ts";
import { quantileOfSorted, sortedScores } from "./sorted.ts";

export type ThresholdRule =
  /** The quantile of the held-back scores. */
  | { readonly kind: "quantile"; readonly quantile?: number }
  /** Peaks over threshold: the level that a normal score passes with probability `risk`. */
  | { readonly kind: "pot"; readonly risk?: number; readonly initialQuantile?: number }
  /** The quantile, or POT at the same risk when too few scores lie above the quantile to place it. */
  | { readonly kind: "auto"; readonly quantile?: number }
  /** The median and `factor` times the median absolute deviation, made alike to a standard deviation. */
  | { readonly kind: "mad"; readonly factor?: number }
  /** Split conformal: a fresh normal score, exchangeable with the held-back ones, passes with probability at most `alpha`. */
  | { readonly kind: "conformal"; readonly alpha?: number };

/** One normal row in a thousand passes: 1.4 rows a day at one row a minute, before debounce. */
export const DEFAULT_QUANTILE = 0.999;
/** The same for the conformal rule. */
export const DEFAULT_ALPHA = 0.001;
/** The initial level of POT. Source: Siffer et al. 2017, section 4.3. */
export const DEFAULT_INITIAL_QUANTILE = 0.98;
/** Source: Iglewicz and Hoaglin 1993, How to Detect and Handle Outliers: the modified z-score above which a value is an outlier. */
export const DEFAULT_MAD_FACTOR = 3.5;
/** Fewer scores than this above a quantile, and the quantile is hardly more than the luck of a few rows. */
const FEWEST_ABOVE = 10;

/**
 * The alarm level from held-back normal scores; NaN scores (rows where nothing was seen) are left out. An alarm is a
 * score above it. Always finite. Throws BAD_INPUT when there is no score, or an infinite one, and where a conformal
 * level needs more scores than there are.
 */
export function fitThreshold(
  scores: Float32Array | Float64Array,
  rule: ThresholdRule = { kind: "auto" },
): number {
  const sorted = sortedScores(scores);
  if (rule.kind === "pot") {
    return pot(sorted, rule.risk ?? 1 - DEFAULT_QUANTILE, rule.initialQuantile ?? DEFAULT_INITIAL_QUANTILE);
  }
  if (rule.kind === "mad") return mad(sorted, rule.factor ?? DEFAULT_MAD_FACTOR);
  if (rule.kind === "conformal") return conformal(sorted, rule.alpha ?? DEFAULT_ALPHA);
  const q = rule.quantile ?? DEFAULT_QUANTILE;
  if (rule.kind === "quantile" || sorted.length * (1 - q) >= FEWEST_ABOVE) return quantileOfSorted(sorted, q);
  return pot(sorted, 1 - q, Math.min(DEFAULT_INITIAL_QUANTILE, q));
}

/** The q-quantile with linear interpolation between the two nearest scores (Hyndman and Fan 1996, type 7). */
export function quantile(scores: Float32Array | Float64Array, q: number): number {
  return quantileOfSorted(sortedScores(scores), q);
}

/**
 * median + factor * 1.4826 MAD; for normal numbers 1.4826 MAD is the standard deviation. Where more than half of the scores are
 * equal the MAD is 0, and 1.2533 times the mean absolute deviation stands in for it. It assumes scores that lie evenly about
 * their median; squared residuals have a long upper tail, where it alarms far more often than its factor suggests.
 * Source: Iglewicz and Hoaglin 1993, section 3.3 and 3.5.
 */
function mad(sorted: Float64Array, factor: number): number {
  if (!(factor > 0 && Number.isFinite(factor)))
    throw new FleetError("BAD_INPUT", `the factor ${factor} of the MAD rule is not a number above 0`);
  const median = quantileOfSorted(sorted, 0.5);
  const away = sorted.map((score) => Math.abs(score - median)).sort();
  const usual = SIGMA_PER_MAD * quantileOfSorted(away, 0.5);
  const mean = away.reduce((sum, d) => sum + d / away.length, 0);
  return Math.min(Number.MAX_VALUE, median + factor * (usual > 0 ? usual : SIGMA_PER_MEAN_DEVIATION * mean));
}

const SIGMA_PER_MAD = 1.4826;
const SIGMA_PER_MEAN_DEVIATION = 1.2533;

/**
 * The ceil((n + 1)(1 - alpha))-th smallest of n scores. The guarantee asks for exchangeable scores; rows that follow each other
 * are not quite that. Source: Papadopoulos et al. 2002, Inductive Confidence Machines; Lei et al. 2018, JASA 113, section 2.2.
 */
function conformal(sorted: Float64Array, alpha: number): number {
  if (!(alpha > 0 && alpha < 1)) throw new FleetError("BAD_INPUT", `alpha ${alpha} is not between 0 and 1`);
  const n = sorted.length;
  // Counted from above, because 1 - alpha in floating point would push whole numbers over to the next.
  const above = Math.floor((n + 1) * alpha * (1 + ROUNDING));
  if (above === 0) {
    const needed = Math.ceil((1 / alpha) * (1 - ROUNDING)) - 1;
    throw new FleetError(
      "BAD_INPUT",
      `a conformal threshold at alpha ${alpha} needs ${needed} held-back scores and there are ${n}; give more data, a larger alpha, or use pot`,
    );
  }
  return sorted[n - above]!;
}

/** A few units in the last place of a float64. */
const ROUNDING = 1e-12;

/**
 * z = t + sigma/gamma ((risk n / N_t)^-gamma - 1), with t the initial quantile, N_t of n scores above it, and a
 * generalised Pareto distribution (gamma, sigma) fitted to the excesses.
 * Source: Siffer et al. 2017, Anomaly Detection in Streams with Extreme Value Theory, equation 1.
 */
function pot(sorted: Float64Array, risk: number, initialQuantile: number): number {
  if (!(risk > 0 && risk < 1)) throw new FleetError("BAD_INPUT", `risk ${risk} is not between 0 and 1`);
  const n = sorted.length;
  const t = quantileOfSorted(sorted, initialQuantile);
  const excesses = sorted.filter((score) => score > t).map((score) => score - t);
  // With all scores equal there is no tail: the highest normal score is all that is known.
  if (excesses.length < FEWEST_EXCESSES) return quantileOfSorted(sorted, 1);
  const tail = fitPareto(excesses);
  const ratio = (risk * n) / excesses.length;
  // The risk is larger than the part above t: the level lies below t, where the scores themselves tell.
  if (ratio >= 1) return quantileOfSorted(sorted, 1 - risk);
  const level = t + paretoLevel(tail, ratio);
  return Number.isFinite(level) ? level : quantileOfSorted(sorted, 1);
}
