import type { CausedEvent } from "../data/root-causes.ts";
import { createRandom } from "../engine/random.ts";
import type { AlarmRule } from "../scoring/events.ts";
import { type AlarmMetrics, alarmMetrics, alarmSpans, labelledEvents } from "./alarms.ts";
import { type DelayMetrics, delayMetrics } from "./delay.ts";
import { type FixedMetrics, fixedThresholdMetrics, harmonicMean } from "./fixed.ts";
import { aucPr, auroc, type Scores } from "./ranking.ts";
import { type HitRates, hitRates } from "./root-cause.ts";
import { type Vus, type VusOptions, volumeUnderSurface } from "./vus.ts";

/** One line of an evaluation table. */
export interface Evaluation extends FixedMetrics, AlarmMetrics, DelayMetrics, Vus, HitRates {
  readonly rows: number;
  readonly anomalousShare: number;
  readonly auroc: number;
  readonly aucPr: number;
  /**
   * Harmonic mean of event recall and the precision of rows at the fixed threshold: unlike event F1, an alarm without end does not get a high one. Source: Garg
   * et al. 2021, arXiv 2109.11428, the composite F-score.
   */
  readonly compositeF1: number;
}

export interface EvaluateOptions {
  readonly scores: Scores;
  readonly labels: Uint8Array;
  /** With the threshold that was fixed before these labels were seen. */
  readonly rule: AlarmRule;
  /** Rows per second; without it, false alarms per day are NaN. */
  readonly rateHz?: number | undefined;
  /** Window and thresholds of VUS-PR and VUS-ROC; tables state both. */
  readonly vus?: VusOptions | undefined;
  /** For the hit rates, which are NaN without it. */
  readonly explained?: Explained | undefined;
}

export interface Explained {
  /** (rows, channels): what each channel made of each row's score. */
  readonly contributions: Float32Array;
  readonly channels: number;
  readonly events: readonly CausedEvent[];
}

/** Judges the scores of one device. Throws BAD_INPUT when there is not one label per score. */
export function evaluateScores({
  scores,
  labels,
  rule,
  rateHz,
  vus,
  explained,
}: EvaluateOptions): Evaluation {
  const alarms = alarmSpans(scores, rule);
  const rows = fixedThresholdMetrics(scores, labels, rule.threshold);
  const events = alarmMetrics(alarms, labels, rateHz);
  return {
    rows: labels.length,
    anomalousShare: share(labels),
    auroc: auroc(scores, labels),
    aucPr: aucPr(scores, labels),
    ...rows,
    ...volumeUnderSurface(scores, labels, vus),
    ...events,
    compositeF1: harmonicMean(rows.precision, Number.isNaN(events.eventRecall) ? 0 : events.eventRecall),
    ...delayMetrics(alarms, labelledEvents(labels), rateHz),
    ...hitRates(explained?.contributions ?? NOTHING, explained?.channels ?? 1, explained?.events ?? []),
  };
}

const NOTHING = new Float32Array(0);

/** What the JSON of our result tables has of one device. Numbers that there are none of are null there. */
export interface TableMetrics {
  readonly vusPr: number | null;
  readonly aucPr: number | null;
  readonly auroc: number | null;
  /** Row by row at the fixed threshold, never point-adjusted. */
  readonly pointF1: number | null;
  readonly eventF1: number | null;
  readonly falsePositiveRate: number | null;
  readonly falseAlarmsPerDay: number | null;
  /** Mean over the found events, in rows. */
  readonly detectionDelay: number | null;
  readonly hitRate100: number | null;
  readonly compositeF1: number | null;
}

export function tableMetrics(evaluation: Evaluation): TableMetrics {
  const {
    vusPr,
    aucPr,
    auroc,
    f1: pointF1,
    eventF1,
    compositeF1,
    falsePositiveRate,
    falseAlarmsPerDay,
  } = evaluation;
  const { detectionDelay, hitRate100 } = evaluation;
  const numbers = {
    vusPr,
    aucPr,
    auroc,
    pointF1,
    eventF1,
    falsePositiveRate,
    falseAlarmsPerDay,
    detectionDelay,
    hitRate100,
    compositeF1,
  };
  const entries = Object.entries(numbers).map(([key, value]) => [key, Number.isFinite(value) ? value : null]);
  return Object.fromEntries(entries) as TableMetrics;
}

export interface BaselineOptions {
  readonly labels: Uint8Array;
  readonly rateHz?: number | undefined;
  readonly vus?: VusOptions | undefined;
}

/** What guessing gets: seeded scores in [0, 1), alarmed as often as rows are anomalous. Printed beside every result. */
export function randomRow(options: BaselineOptions & { readonly seed: number }): Evaluation {
  const scores = randomScores(options.labels, options.seed);
  return evaluateScores({ ...options, scores, rule: randomRule(options.labels) });
}

export function randomScores(labels: Uint8Array, seed: number): Float64Array {
  const random = createRandom(seed).uniform;
  return Float64Array.from(labels, () => random());
}

export function randomRule(labels: Uint8Array): AlarmRule {
  return { threshold: 1 - share(labels) };
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
