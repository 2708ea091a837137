import { FleetError } from "../../protocol/errors.ts";
import { quantileOfSorted, sortedScores } from "./sorted.ts";

/** The score distribution of the time of calibration. Plain JSON. */
export interface DriftReference {
  /** Inner edges of the bins, rising. */
  readonly edges: readonly number[];
  /** Part of the scores in each bin: one more than edges. */
  readonly shares: readonly number[];
  /** Rows that count as one: scores that follow each other are alike, and `count / correlationRows` of them are independent. */
  readonly correlationRows: number;
  readonly count: number;
}

export type DriftVerdict = "stable" | "drifting" | "retrain-due";

/** Plain JSON, of a size that does not grow. */
export interface DriftState {
  readonly verdict: DriftVerdict;
  /** Exponentially forgotten count per bin, and of all rows ever. */
  readonly counts: readonly number[];
  readonly rows: number;
  /** Page-Hinkley sums for a rise and for a fall of the scores. */
  readonly rise: number;
  readonly fall: number;
  /** Rows in a row that spoke for a worse verdict, and for a better one. */
  readonly worseRows: number;
  readonly betterRows: number;
}

export interface DriftMonitor {
  /** The next score, alarmed or not: what alarms for ever is drift too. NaN changes nothing. No allocation. */
  push(score: number): DriftVerdict;
  readonly verdict: DriftVerdict;
  /** Population stability index of the recent scores against the reference. */
  readonly psi: number;
  state(): DriftState;
}

export interface DriftOptions {
  /** Rows after which an old score counts 1/e. */
  readonly memoryRows?: number;
}

/** Deciles: as usual for the stability index. */
const BINS = 10;
/** At one row a second about half an hour, at one a minute a day and a half. */
export const DEFAULT_MEMORY_ROWS = 2000;
/**
 * The customary reading of the index: below 0.1 nothing has changed, from 0.25 the model no longer fits. Source: Siddiqi 2006,
 * Credit Risk Scorecards. Back to half of it before a verdict is taken back.
 */
const PSI = { drifting: 0.1, major: 0.25, calm: 0.05 } as const;
/** Standard deviations of chance above which the index must lie besides; about once in 10^6 for a chi-square of 9 degrees of freedom. */
const CHANCE_SIGMAS = 7;
/** Page-Hinkley: a change of the mean by less than a quarter of a standard deviation is let pass ... */
const ALLOWED_SHIFT = 0.25;
/** ... and 30 correlation lengths of it in one direction are not: about 10^7 of them between false signals (Siegmund 1985, eq. 2.56). */
const SIGNAL = 30;
/** The sums stop here, so that the way back is not longer than the way there. */
const MOST_SUM = 1.5 * SIGNAL;
/** Smallest share that a bin is taken to have, as a part of one independent score; an empty bin would be an infinite index. */
const HALF_A_SCORE = 0.5;

/** Throws BAD_INPUT as `fitThreshold` does. `scores` in the order of time, as the detector gave them. */
export function driftReference(scores: Float32Array | Float64Array): DriftReference {
  const sorted = sortedScores(scores);
  const edges = Array.from({ length: BINS - 1 }, (_, i) => quantileOfSorted(sorted, (i + 1) / BINS)).filter(
    (edge, i, all) => i === 0 || edge > all[i - 1]!,
  );
  const counts = new Array<number>(edges.length + 1).fill(0);
  for (const score of sorted) counts[binOf(edges, score)]!++;
  const shares = counts.map((n) => n / sorted.length);
  const ranks = Float64Array.from(scores, (score) => rankOf({ edges, shares }, score)).filter(
    (rank) => !Number.isNaN(rank),
  );
  return { edges, shares, correlationRows: correlationRows(ranks), count: sorted.length };
}

/**
 * Compares the scores of a stream with those of the time of calibration, in two ways at once: the population stability index over
 * exponentially forgotten bins (any change of the distribution, slowly), and Page-Hinkley sums of the scores' ranks (a change
 * of the level, fast; Page 1954, Biometrika 41). Both allow for the correlation of neighbouring scores and for the size of the reference.
 *
 * stable -> drifting: a sum passes its limit, or the index passes 0.1 and what chance would do. drifting -> retrain-due: the index is
 * above 0.25 and chance for `memoryRows` rows in a row. Back to stable: index below 0.05 (or within chance) and both sums below half
 * their limits, for `memoryRows` rows in a row.
 */
export function driftMonitor(
  reference: DriftReference,
  options: DriftOptions = {},
  start: DriftState = emptyState(reference),
): DriftMonitor {
  const { memoryRows = DEFAULT_MEMORY_ROWS } = options;
  if (!(memoryRows >= 1 && Number.isFinite(memoryRows)))
    throw new FleetError("BAD_INPUT", `memoryRows ${memoryRows} must be a number of 1 or more`);
  const { edges, shares, count } = reference;
  if (start.counts.length !== shares.length)
    throw new FleetError("CORRUPT", "the drift state is of another reference; begin with a new one");
  const length = Math.max(1, reference.correlationRows);
  const keep = 1 - 1 / memoryRows;
  const counts = Float64Array.from(start.counts);
  const shape = standardised(reference);
  // What the mean rank of the reference itself may be off by.
  const shift = ALLOWED_SHIFT + 3 * Math.sqrt(length / count);
  const independent = count / length;
  let { verdict, rows, worseRows, betterRows } = start;
  // In an array and not in variables: a closure's variable boxes each number that it is given.
  const now = Float64Array.of(start.rise, start.fall, 0, 0);

  const compare = () => {
    let weight = 0;
    for (let b = 0; b < counts.length; b++) weight += counts[b]!;
    // Weights w^i have the variance of (1 + w) / (1 - w) equal ones; while few rows were seen, of those.
    const seen = Math.min(rows, 2 * memoryRows - 1) / length;
    const least = HALF_A_SCORE / Math.max(1, Math.min(seen, independent));
    let psi = 0;
    for (let b = 0; b < shares.length; b++) {
      const expected = Math.max(shares[b]!, least);
      const actual = Math.max(weight > 0 ? counts[b]! / weight : 0, least);
      psi += (actual - expected) * Math.log(actual / expected);
    }
    // Under no change the index is chi-square of (bins - 1) degrees of freedom, times (1/n + 1/m) (Yurdakul 2018).
    const freedom = shares.length - 1;
    now[PSI_NOW] = psi;
    now[CHANCE] =
      (freedom + CHANCE_SIGMAS * Math.sqrt(2 * freedom)) * (1 / Math.max(seen, 1e-9) + 1 / independent);
  };
  compare();

  const judge = () => {
    const limit = SIGNAL * length;
    const psi = now[PSI_NOW]!;
    const chance = now[CHANCE]!;
    const sum = Math.max(now[RISE]!, now[FALL]!);
    const calm = (psi < PSI.calm || psi < chance) && sum < limit / 2;
    worseRows = psi > PSI.major && psi > chance ? worseRows + 1 : 0;
    betterRows = calm ? betterRows + 1 : 0;
    if (verdict !== "retrain-due" && worseRows >= memoryRows) verdict = "retrain-due";
    else if (verdict === "stable" && ((psi > PSI.drifting && psi > chance) || sum > limit))
      verdict = "drifting";
    else if (verdict !== "stable" && betterRows >= memoryRows) verdict = "stable";
  };

  return {
    push(score) {
      if (Number.isNaN(score)) return verdict;
      rows++;
      for (let b = 0; b < counts.length; b++) counts[b] = counts[b]! * keep;
      counts[binOf(edges, score)]!++;
      const z = (rankOf(reference, score) - shape.mean) / shape.sigma;
      now[RISE] = Math.min(MOST_SUM * length, Math.max(0, now[RISE]! + z - shift));
      now[FALL] = Math.min(MOST_SUM * length, Math.max(0, now[FALL]! - z - shift));
      compare();
      judge();
      return verdict;
    },
    get verdict() {
      return verdict;
    },
    get psi() {
      return now[PSI_NOW]!;
    },
    state: () => ({
      ...{ verdict, counts: [...counts], rows, worseRows, betterRows },
      ...{ rise: now[RISE]!, fall: now[FALL]! },
    }),
  };
}

/** Places in the monitor's numbers. */
const RISE = 0;
const FALL = 1;
const PSI_NOW = 2;
const CHANCE = 3;

function emptyState({ shares }: DriftReference): DriftState {
  return {
    verdict: "stable",
    counts: shares.map(() => 0),
    rows: 0,
    rise: 0,
    fall: 0,
    worseRows: 0,
    betterRows: 0,
  };
}

/** The first bin holds what is at most the first edge. */
function binOf(edges: readonly number[], score: number): number {
  let bin = 0;
  while (bin < edges.length && score > edges[bin]!) bin++;
  return bin;
}

/** Where a score stands among the reference's, 0..1, as the middle of its bin: no score, however high, moves the mean alone. */
function rankOf({ edges, shares }: Pick<DriftReference, "edges" | "shares">, score: number): number {
  if (Number.isNaN(score)) return Number.NaN;
  const bin = binOf(edges, score);
  let below = 0;
  for (let b = 0; b < bin; b++) below += shares[b]!;
  return below + shares[bin]! / 2;
}

function standardised({ shares }: DriftReference): { readonly mean: number; readonly sigma: number } {
  let below = 0;
  let [mean, square] = [0, 0];
  for (const share of shares) {
    const rank = below + share / 2;
    mean += share * rank;
    square += share * rank * rank;
    below += share;
  }
  // A constant score has no spread of its own; any other one is then a change of half the range.
  return { mean, sigma: Math.max(Math.sqrt(Math.max(0, square - mean * mean)), 0.05) };
}

/**
 * tau = 1 + 2 sum of the autocorrelations, summed until the window is 5 tau long. At least 1, at most a tenth of the rows.
 * Source: Sokal 1997, Monte Carlo Methods in Statistical Mechanics, section 3.
 */
function correlationRows(values: Float64Array): number {
  const n = values.length;
  const mean = values.reduce((sum, v) => sum + v / n, 0);
  const variance = values.reduce((sum, v) => sum + (v - mean) ** 2 / n, 0);
  if (!(variance > 0)) return 1;
  let tau = 1;
  const most = Math.max(1, n / 10);
  for (let lag = 1; lag < most && lag < 5 * tau; lag++) {
    let product = 0;
    for (let i = lag; i < n; i++) product += (values[i]! - mean) * (values[i - lag]! - mean);
    tau += (2 * product) / (n * variance);
  }
  return Math.min(most, Math.max(1, tau));
}
