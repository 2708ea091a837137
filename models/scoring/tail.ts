import { FEWEST_EXCESSES, fitOpenTail, paretoLevel, paretoSurvival } from "./pareto.ts";
import { quantileOfSorted, sortedScores } from "./sorted.ts";

/** How often a normal score is this high or higher, for every score. Plain JSON of at most `BODY_KNOTS` + 5 numbers. */
export interface Tail {
  /** Scores, rising; between them the probability falls evenly from 1 at the first to `share` at the last. */
  readonly knots: readonly number[];
  /** Part of the normal scores above the last knot, where the Pareto tail begins. */
  readonly share: number;
  /** Generalised Pareto distribution of the excess over the last knot. */
  readonly gamma: number;
  readonly sigma: number;
  /** Held-back scores behind it. */
  readonly count: number;
}

/** 65 knots place a quantile of the body within 1/64 of its neighbours; with the rest it is well below 100 numbers. */
export const BODY_KNOTS = 65;
/** No probability is said to be smaller: beyond, it is the shape of the formula that speaks, and no data. */
export const LEAST_P = 1e-12;
/** The tail is the upper 2 % as in POT (Siffer et al. 2017, section 4.3), more where fewer than 50 scores would be in it, at most 10 %. */
const TAIL = { least: 0.02, most: 0.1, scores: 50 } as const;

/**
 * The survival function of held-back normal scores: empirical in the body, generalised Pareto above (`fitOpenTail`: it never ends, so
 * that any two scores differ). Beyond the data it is a guess: with 50 scores
 * in the tail about a factor of three either way at p = 1/(5 n), and at 1/(50 n) fifteen times too small on average for a heavy tail (gamma 0.25). NaN scores are left out. Throws BAD_INPUT as `fitThreshold` does.
 */
export function fitTail(scores: Float32Array | Float64Array): Tail {
  const sorted = sortedScores(scores);
  const count = sorted.length;
  const wanted = Math.min(TAIL.most, Math.max(TAIL.least, TAIL.scores / count));
  const t = quantileOfSorted(sorted, 1 - wanted);
  const excesses = sorted.filter((score) => score > t).map((score) => score - t);
  // Of count + 1 scores, the next one among them: with ties at t, or few scores, never 0.
  const share = Math.max(excesses.length, 1) / (count + 1);
  const knots = Array.from({ length: BODY_KNOTS }, (_, j) =>
    quantileOfSorted(sorted, (j / (BODY_KNOTS - 1)) * (1 - wanted)),
  );
  return { knots, share, ...tailOf(excesses, { t, median: quantileOfSorted(sorted, 0.5) }), count };
}

/**
 * The probability, `LEAST_P`..1, that a normal score is at least this high; NaN for NaN. It never rises with the score, and on
 * normal data it is uniform.
 */
export function tailProbability(tail: Tail, score: number): number {
  const { knots, share } = tail;
  if (Number.isNaN(score)) return Number.NaN;
  const t = knots.at(-1)!;
  if (score > t) return Math.max(LEAST_P, share * paretoSurvival(tail, score - t));
  // The first knot at or above the score: of equal knots the one with the largest probability.
  let [low, high] = [0, knots.length - 1];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (knots[middle]! >= score) high = middle;
    else low = middle + 1;
  }
  if (low === 0) return 1;
  const from = knots[low - 1]!;
  const part = (score - from) / (knots[low]! - from);
  return 1 - ((low - 1 + part) / (knots.length - 1)) * (1 - share);
}

/** The score that a normal one reaches with probability `p`, above 0 to 1: `tailProbability` the other way about. */
export function tailLevel(tail: Tail, p: number): number {
  const { knots, share } = tail;
  const t = knots.at(-1)!;
  if (p < share) return t + paretoLevel(tail, Math.max(p, LEAST_P) / share);
  const at = ((1 - p) / (1 - share)) * (knots.length - 1);
  const below = knots[Math.floor(at)]!;
  return below + (knots[Math.ceil(at)]! - below) * (at - Math.floor(at));
}

function tailOf(
  excesses: Float64Array,
  { t, median }: { readonly t: number; readonly median: number },
): { gamma: number; sigma: number } {
  const mean = excesses.reduce((sum, y) => sum + y / excesses.length, 0);
  if (excesses.length >= FEWEST_EXCESSES) {
    const { gamma, sigma } = fitOpenTail(excesses);
    if (sigma > 0 && Number.isFinite(sigma)) return { gamma, sigma };
  }
  // Nothing above t says how fast the tail falls: the width of the body, or of the score itself, is what there is.
  const sigma = [mean, t - median, Math.abs(t)].find((width) => width > 0 && Number.isFinite(width)) ?? 1;
  return { gamma: 0, sigma };
}
