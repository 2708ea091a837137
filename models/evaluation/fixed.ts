import { checkSameLength, type Scores } from "./ranking.ts";

/** At a threshold that was fixed before the labels were seen. Never point-adjusted. */
export interface FixedMetrics {
  /** 0 when there is no alarm. */
  readonly precision: number;
  /** 0 when no row is anomalous. */
  readonly recall: number;
  readonly f1: number;
  /** Normal rows that were alarmed, as a part of the normal rows. */
  readonly falsePositiveRate: number;
}

/** Row by row: a row is alarmed when its score is above the threshold; a NaN score is no alarm. */
export function fixedThresholdMetrics(scores: Scores, labels: Uint8Array, threshold: number): FixedMetrics {
  checkSameLength(scores, labels);
  let hits = 0;
  let alarms = 0;
  let positives = 0;
  for (let i = 0; i < labels.length; i++) {
    const alarm = scores[i]! > threshold;
    if (alarm) alarms++;
    if (labels[i] === 1) positives++;
    if (alarm && labels[i] === 1) hits++;
  }
  const precision = ratio(hits, alarms);
  const recall = ratio(hits, positives);
  return {
    precision,
    recall,
    f1: harmonicMean(precision, recall),
    falsePositiveRate: ratio(alarms - hits, labels.length - positives),
  };
}

export function harmonicMean(a: number, b: number): number {
  return ratio(2 * a * b, a + b);
}

export function ratio(part: number, whole: number): number {
  return whole === 0 ? 0 : part / whole;
}
