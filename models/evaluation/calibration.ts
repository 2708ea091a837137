import { FleetError } from "../../protocol/errors.ts";
import { checkSameLength, type Scores } from "./ranking.ts";

/** One point of a reliability curve: rows whose probability is in [from, to), the last bin with its end. */
export interface ReliabilityBin {
  readonly from: number;
  readonly to: number;
  readonly rows: number;
  /** NaN in an empty bin, as is the next. */
  readonly meanProbability: number;
  /** The part of its rows that is anomalous: on the diagonal, it is the mean probability. */
  readonly anomalousShare: number;
}

export interface Reliability {
  readonly bins: readonly ReliabilityBin[];
  /** Mean distance from the diagonal, weighted by rows; NaN without rows. Source: Guo et al. 2017, arXiv 1706.04599. */
  readonly expectedCalibrationError: number;
}

export const DEFAULT_BINS = 10;

/**
 * Whether probabilities of being anomalous hold: equal bins of 0..1, NaN left out.
 * Throws BAD_INPUT for a probability outside 0..1. Source: Niculescu-Mizil and Caruana 2005.
 */
export function reliability(probabilities: Scores, labels: Uint8Array, bins = DEFAULT_BINS): Reliability {
  checkSameLength(probabilities, labels);
  const sums = new Float64Array(bins);
  const rows = new Float64Array(bins);
  const anomalous = new Float64Array(bins);
  for (let i = 0; i < labels.length; i++) {
    const p = checked(probabilities[i]!, i);
    if (Number.isNaN(p)) continue;
    const bin = Math.min(bins - 1, Math.floor(p * bins));
    sums[bin]! += p;
    rows[bin]! += 1;
    if (labels[i] === 1) anomalous[bin]! += 1;
  }
  let [apart, all] = [0, 0];
  for (let b = 0; b < bins; b++) {
    apart += Math.abs(sums[b]! - anomalous[b]!);
    all += rows[b]!;
  }
  return {
    bins: Array.from(rows, (count, b) => ({
      from: b / bins,
      to: (b + 1) / bins,
      rows: count,
      meanProbability: sums[b]! / count,
      anomalousShare: anomalous[b]! / count,
    })),
    expectedCalibrationError: apart / all,
  };
}

export interface TailPoint {
  /** A tail probability: what part of normal rows should score as high. */
  readonly level: number;
  /** The part of the normal rows whose tail probability is at most the level; NaN without such rows. */
  readonly observed: number;
}

export const DEFAULT_LEVELS: readonly number[] = [0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001];

/**
 * Whether tail probabilities (small = strange) hold on normal rows, where they should be uniform: `observed` above the
 * level means more false alarms than promised. NaN left out. Throws BAD_INPUT for a probability outside 0..1.
 */
export function tailCalibration(
  tailProbabilities: Scores,
  labels: Uint8Array,
  levels: readonly number[] = DEFAULT_LEVELS,
): TailPoint[] {
  checkSameLength(tailProbabilities, labels);
  const normal = Array.from(tailProbabilities).filter(
    (p, i) => !Number.isNaN(checked(p, i)) && labels[i] !== 1,
  );
  return levels.map((level) => ({
    level,
    observed: normal.reduce((sum, p) => sum + (p <= level ? 1 : 0), 0) / normal.length,
  }));
}

function checked(p: number, row: number): number {
  if (p < 0 || p > 1) {
    throw new FleetError(
      "BAD_INPUT",
      `row ${row + 1} has the probability ${p}; give probabilities, not scores`,
    );
  }
  return p;
}
