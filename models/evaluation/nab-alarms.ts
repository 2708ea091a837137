import { type AlarmRule, alarmMachine } from "../scoring/events.ts";
import type { Span } from "./alarms.ts";
import { type NabSeries, nabScore } from "./nab.ts";
import type { Scores } from "./ranking.ts";

/** The scores of one file, with the rule that was fixed before its windows were seen. */
export interface AlarmedSeries {
  readonly scores: Scores;
  readonly rule: AlarmRule;
  readonly windows: readonly Span[];
}

export interface NabFigures {
  /** NAB's standard profile, normalised over the corpus, of the alarms at the thresholds that were fixed on held-back rows. */
  readonly nabScore: number;
  /** ORACLE: the same with all thresholds times the factor that these labels like best, as NAB's published tables choose theirs. */
  readonly nabScoreOracle: number;
}

/** Thresholds that the oracle tries, as multiples of the fixed ones: 1/4 to 1024. */
const ORACLE_FACTORS = Array.from({ length: 49 }, (_, i) => 2 ** (i / 4 - 2));

/**
 * NAB counts detections, and a detector says what one is. Here it is an alarm, at the row at which it is raised: one that lasts is one detection, as it is one
 * message to an operator. NaN for a corpus without windows.
 */
export function nabFigures(corpus: readonly AlarmedSeries[]): NabFigures {
  const at = (factor: number) => scoreAt(corpus, factor);
  return { nabScore: at(1), nabScoreOracle: Math.max(...ORACLE_FACTORS.map(at)) };
}

/** Of one file at its fixed threshold; NaN where it has no windows. */
export function nabOfFile(file: AlarmedSeries): number {
  return scoreAt([file], 1);
}

function scoreAt(corpus: readonly AlarmedSeries[], factor: number): number {
  const raised = corpus.map(({ scores, rule, windows }): NabSeries => {
    return { scores: onsets(scores, { ...rule, threshold: rule.threshold * factor }), windows };
  });
  // The test part begins after the probation.
  return nabScore(raised, { threshold: 1, probation: 0 }).score;
}

/** 1 at rows at which an alarm is raised. */
function onsets(scores: Scores, rule: AlarmRule): Float64Array {
  const machine = alarmMachine(rule);
  const nothing = new Float32Array(0);
  return Float64Array.from(scores, (score, row) =>
    machine.push(row, score, nothing)?.kind === "onset" ? 1 : 0,
  );
}
