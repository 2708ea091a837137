import { FleetError } from "../../protocol/errors.ts";
import { fitPareto } from "./pareto.ts";

export type ThresholdRule =
  /** The quantile of the held-back scores. */
  | { readonly kind: "quantile"; readonly quantile?: number }
  /** Peaks over threshold: the level that a normal score passes with probability `risk`. */
  | { readonly kind: "pot"; readonly risk?: number; readonly initialQuantile?: number }
  /** The quantile, or POT at the same risk when too few scores lie above the quantile to place it. */
  | { readonly kind: "auto"; readonly quantile?: number };

/** One normal row in a thousand passes: 1.4 rows a day at one row a minute, before debounce. */
export const DEFAULT_QUANTILE = 0.999;
/** The initial level of POT. Source: Siffer et al. 2017, section 4.3. */
export const DEFAULT_INITIAL_QUANTILE = 0.98;
/** Fewer scores than this above a quantile, and the quantile is hardly more than the luck of a few rows. */
const FEWEST_ABOVE = 10;

/**
 * The alarm level from held-back normal scores; NaN scores (rows where nothing was seen) are left out. An alarm is a
 * score above it. Always finite. Throws BAD_INPUT when there is no score, or an infinite one.
 */
export function fitThreshold(
  scores: Float32Array | Float64Array,
  rule: ThresholdRule = { kind: "auto" },
): number {
  const sorted = sortedScores(scores);
  if (rule.kind === "pot") {
    return pot(sorted, rule.risk ?? 1 - DEFAULT_QUANTILE, rule.initialQuantile ?? DEFAULT_INITIAL_QUANTILE);
  }
  const q = rule.quantile ?? DEFAULT_QUANTILE;
  if (rule.kind === "quantile" || sorted.length * (1 - q) >= FEWEST_ABOVE) return quantileOfSorted(sorted, q);
  return pot(sorted, 1 - q, Math.min(DEFAULT_INITIAL_QUANTILE, q));
}

/** The q-quantile with linear interpolation between the two nearest scores (Hyndman and Fan 1996, type 7). */
export function quantile(scores: Float32Array | Float64Array, q: number): number {
  return quantileOfSorted(sortedScores(scores), q);
}

function sortedScores(scores: Float32Array | Float64Array): Float64Array {
  const seen = Float64Array.from(scores).filter((score) => !Number.isNaN(score));
  if (seen.length === 0) {
    throw new FleetError(
      "BAD_INPUT",
      "there are no held-back scores to set a threshold from; give more normal data",
    );
  }
  if (!seen.every(Number.isFinite)) {
    throw new FleetError("BAD_INPUT", "a held-back score is infinite; the detector diverged, train it again");
  }
  return seen.sort();
}

function quantileOfSorted(sorted: Float64Array, q: number): number {
  if (!(q >= 0 && q <= 1)) throw new FleetError("BAD_INPUT", `quantile ${q} is not within 0 to 1`);
  const at = (sorted.length - 1) * q;
  const low = sorted[Math.floor(at)]!;
  return low + (sorted[Math.ceil(at)]! - low) * (at - Math.floor(at));
}

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
  const { gamma, sigma } = fitPareto(excesses);
  const ratio = (risk * n) / excesses.length;
  // The risk is larger than the part above t: the level lies below t, where the scores themselves tell.
  if (ratio >= 1) return quantileOfSorted(sorted, 1 - risk);
  const step = Math.abs(gamma) < 1e-9 ? -Math.log(ratio) : (ratio ** -gamma - 1) / gamma;
  const level = t + sigma * step;
  return Number.isFinite(level) ? level : quantileOfSorted(sorted, 1);
}

/** A Pareto tail needs a few points; from three on its fit is bounded by the shape limits of `fitPareto`. */
const FEWEST_EXCESSES = 3;
