import { createRandom } from "../engine/random.ts";
import type { AlarmRule } from "../scoring/events.ts";
import { type AlarmMetrics, alarmMetrics, alarmSpans } from "./alarms.ts";
import { type FixedMetrics, fixedThresholdMetrics } from "./fixed.ts";
import { aucPr, auroc, type Scores } from "./ranking.ts";

/** One line of an evaluation table. */
export interface Evaluation extends FixedMetrics, AlarmMetrics {
  readonly rows: number;
  readonly anomalousShare: number;
  readonly auroc: number;
  readonly aucPr: number;
}

export interface EvaluateOptions {
  readonly scores: Scores;
  readonly labels: Uint8Array;
  /** With the threshold that was fixed before these labels were seen. */
  readonly rule: AlarmRule;
  /** Rows per second; without it, false alarms per day are NaN. */
  readonly rateHz?: number | undefined;
}

/** Judges the scores of one device. Throws BAD_INPUT when there is not one label per score. */
export function evaluateScores({ scores, labels, rule, rateHz }: EvaluateOptions): Evaluation {
  return {
    rows: labels.length,
    anomalousShare: share(labels),
    auroc: auroc(scores, labels),
    aucPr: aucPr(scores, labels),
    ...fixedThresholdMetrics(scores, labels, rule.threshold),
    ...alarmMetrics(alarmSpans(scores, rule), labels, rateHz),
  };
}

export interface BaselineOptions {
  readonly labels: Uint8Array;
  readonly rateHz?: number | undefined;
}

/** What guessing gets: seeded scores in [0, 1), alarmed as often as rows are anomalous. Printed beside every result. */
export function randomRow(options: BaselineOptions & { readonly seed: number }): Evaluation {
  const random = createRandom(options.seed).uniform;
  const scores = Float64Array.from(options.labels, () => random());
  return evaluateScores({ ...options, scores, rule: { threshold: 1 - share(options.labels) } });
}

/** What one alarm that never ends gets: it finds every event, and its precision is the share of anomalous rows. */
export function alwaysAlarmRow(options: BaselineOptions): Evaluation {
  const scores = new Float64Array(options.labels.length).fill(1);
  return evaluateScores({ ...options, scores, rule: { threshold: 0 } });
}

/** The mean of each number over the devices; NaN values are left out, as they say that a device has no such number. */
export function macroAverage(rows: readonly Evaluation[]): Evaluation {
  const first = rows[0];
  if (!first)
    return evaluateScores({ scores: new Float64Array(0), labels: new Uint8Array(0), rule: { threshold: 0 } });
  const keys = Object.keys(first) as (keyof Evaluation)[];
  const mean = (key: keyof Evaluation) => {
    const values = rows.map((row) => row[key]).filter((value) => !Number.isNaN(value));
    return values.reduce((a, b) => a + b, 0) / values.length;
  };
  return Object.fromEntries(keys.map((key) => [key, mean(key)])) as unknown as Evaluation;
}

function share(labels: Uint8Array): number {
  return labels.length === 0 ? 0 : labels.reduce((a, b) => a + b, 0) / labels.length;
}
