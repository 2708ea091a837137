import { type AlarmRule, alarmMachine } from "../scoring/events.ts";
import { harmonicMean, ratio } from "./fixed.ts";
import type { Scores } from "./ranking.ts";

/** Rows from..to-1. */
export interface Span {
  readonly from: number;
  readonly to: number;
}

export interface AlarmSpan extends Span {
  /** The row at which the alarm was raised: k-of-n raises it later than its first row above the threshold. */
  readonly raised: number;
}

export interface AlarmMetrics {
  /** Labelled events that an alarm overlaps, as a part of all; NaN when there is none. */
  readonly eventRecall: number;
  /** Alarms that overlap a labelled event, as a part of all alarms; 0 when there is none. */
  readonly eventPrecision: number;
  readonly eventF1: number;
  readonly events: number;
  readonly alarms: number;
  readonly falseAlarms: number;
  /** False alarms per day of normal time; NaN without a rate. */
  readonly falseAlarmsPerDay: number;
}

/** Runs of label 1. */
export function labelledEvents(labels: Uint8Array): Span[] {
  const events: Span[] = [];
  for (let i = 0; i < labels.length; i++) {
    if (labels[i] !== 1) continue;
    const from = i;
    while (labels[i + 1] === 1) i++;
    events.push({ from, to: i + 1 });
  }
  return events;
}

/** The alarms that an agent would raise over these scores, from its first row above the threshold to its last. */
export function alarmSpans(scores: Scores, rule: AlarmRule): AlarmSpan[] {
  const machine = alarmMachine(rule);
  const none = new Float32Array(0);
  const spans: AlarmSpan[] = [];
  let raised = 0;
  for (let row = 0; row < scores.length; row++) {
    const event = machine.push(row, scores[row]!, none);
    if (event?.kind === "onset") raised = row;
    if (event?.kind === "end") spans.push({ from: event.since, to: event.until + 1, raised });
  }
  const { open } = machine.state();
  if (open) spans.push({ from: open.since, to: open.until + 1, raised });
  return spans;
}

/** How an operator meets a detector: events found, alarms for nothing. An event counts once, however long it is. */
export function alarmMetrics(alarms: readonly Span[], labels: Uint8Array, rateHz?: number): AlarmMetrics {
  const events = labelledEvents(labels);
  const found = events.filter((event) => alarms.some((alarm) => overlap(alarm, event))).length;
  const right = alarms.filter((alarm) => events.some((event) => overlap(alarm, event))).length;
  const falseAlarms = alarms.length - right;
  const normalRows = labels.length - events.reduce((sum, event) => sum + event.to - event.from, 0);
  const normalDays = rateHz === undefined ? Number.NaN : normalRows / rateHz / SECONDS_PER_DAY;
  const eventRecall = events.length === 0 ? Number.NaN : found / events.length;
  const eventPrecision = ratio(right, alarms.length);
  return {
    eventRecall,
    eventPrecision,
    eventF1: harmonicMean(eventPrecision, Number.isNaN(eventRecall) ? 0 : eventRecall),
    events: events.length,
    alarms: alarms.length,
    falseAlarms,
    falseAlarmsPerDay: normalRows === 0 ? 0 : falseAlarms / normalDays,
  };
}

const SECONDS_PER_DAY = 86_400;

export function overlap(a: Span, b: Span): boolean {
  return a.from < b.to && b.from < a.to;
}
