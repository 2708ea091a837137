import type { Calibration } from "../models/detectors/detector.ts";
import { fitLevel } from "../models/scoring/alarm-level.ts";
import {
  DEFAULT_MEMORY_ROWS,
  type DriftMonitor,
  type DriftState,
  driftMonitor,
} from "../models/scoring/drift.ts";
import { type RecalibrationScores, recalibrationScores } from "../models/scoring/recalibration.ts";
import { fitTail } from "../models/scoring/tail.ts";
import { FleetError } from "../protocol/errors.ts";
import type { Heartbeat } from "../protocol/messages.ts";
import type { AlarmSpec } from "../protocol/task.ts";
import type { Log } from "./log.ts";

/** Unalarmed scores that a new threshold is fitted to: 16 KB. They are all of the drift, so it has lasted as many rows. */
const keptScores = 2 * DEFAULT_MEMORY_ROWS;
/** Rows from one calibration by the agent itself to the next. */
const pauseRows = 5 * DEFAULT_MEMORY_ROWS;
/** The threshold goes no further than so many times the one that was fitted at the install, up or down. */
const mostFactor = 2;

/** Watches the live scores of one version against its calibration: says when they drift, and fits the threshold again while they do. */
export interface ScoreWatch {
  /**
   * The next score. Gives a new calibration where it is time for one: the scores have drifted for `keptScores` unalarmed rows, no alarm is open, and the last
   * time is `pauseRows` ago. It is fitted in one go, a fraction of a second. No allocation, but then.
   */
  push(score: number, alarmed: boolean): Calibration | undefined;
  drift(): NonNullable<Heartbeat["drift"]>;
  level(): NonNullable<Heartbeat["level"]>;
  /** A copy, to go on after a restart. */
  state(): WatchState;
}

export interface WatchState {
  readonly drift: DriftState;
  readonly kept: Float32Array;
  readonly waiting: Float32Array;
  readonly quietRows: number;
  /** Scores since the last calibration by the agent itself, or since the install. */
  readonly sinceRows: number;
  readonly recalibrations: number;
  /** The last calibration wanted to go further than `mostFactor`. */
  readonly limited: boolean;
  /** Threshold at the install. */
  readonly installed: number;
}

export interface WatchOptions {
  readonly calibration: Calibration;
  readonly alarm: AlarmSpec;
  readonly log: Log;
  /** Where it stood before a restart; one that is not of this calibration is left out. */
  readonly start?: WatchState | undefined;
  /** Smaller ones for tests. */
  readonly sizes?: { readonly memoryRows: number; readonly keptScores: number; readonly pauseRows: number };
}

const open = { alarmed: true };
const closed = { alarmed: false };

export function scoreWatch({ calibration, alarm, log, start, sizes }: WatchOptions): ScoreWatch {
  const { memoryRows, ...limits } = sizes ?? { memoryRows: DEFAULT_MEMORY_ROWS, keptScores, pauseRows };
  let now = calibration;
  let from = start;
  let monitor: DriftMonitor;
  try {
    monitor = driftMonitor(calibration.drift, { memoryRows }, from?.drift);
  } catch (error) {
    if (!(error instanceof FleetError && error.code === "CORRUPT")) throw error;
    log.warn({ error: error.message }, "what was known of the scores' drift can't be used");
    from = undefined;
    monitor = driftMonitor(calibration.drift, { memoryRows });
  }
  const kept: RecalibrationScores = recalibrationScores({ capacity: limits.keptScores }, from);
  const installed = from?.installed ?? calibration.threshold;
  let { sinceRows, recalibrations, limited } = from ?? {
    sinceRows: 0,
    recalibrations: 0,
    limited: false,
  };
  let verdict = monitor.verdict;

  const due = (alarmed: boolean) =>
    !alarmed &&
    verdict !== "stable" &&
    kept.count >= limits.keptScores &&
    (recalibrations === 0 || sinceRows >= limits.pauseRows);

  const recalibrate = (): Calibration => {
    const scores = kept.scores();
    const { threshold: wanted, basis, caution } = fitLevel(scores, { ...alarm, rateHz: now.rateHz });
    const threshold = Math.min(mostFactor * installed, Math.max(installed / mostFactor, wanted));
    limited = threshold !== wanted;
    recalibrations += 1;
    sinceRows = 0;
    const { caution: _, ...rest } = now;
    const fields = { before: now.threshold, threshold, wanted, installed, basis, scores: scores.length };
    if (limited)
      log.warn(
        fields,
        `the scores drift: the threshold was fitted again to unalarmed rows, but goes no further than ${mostFactor} times what it was at the install; retrain`,
      );
    else log.info(fields, "the scores drift: the threshold was fitted again to unalarmed rows");
    now = { ...rest, threshold, basis, ...(caution === undefined ? {} : { caution }), tail: fitTail(scores) };
    return now;
  };

  return {
    push(score, alarmed) {
      const before = verdict;
      verdict = monitor.push(score);
      kept.push(score, alarmed ? open : closed);
      sinceRows += 1;
      if (verdict !== before) tell(log, verdict, monitor.psi);
      // What is fitted to is all of the drift.
      if (before === "stable" && verdict !== "stable") kept.clear();
      return due(alarmed) ? recalibrate() : undefined;
    },
    drift: () => ({ state: verdict, index: monitor.psi }),
    level: () => ({ threshold: now.threshold, installed, basis: now.basis, recalibrations, limited }),
    state: () => ({
      drift: monitor.state(),
      ...kept.state(),
      sinceRows,
      recalibrations,
      limited,
      installed,
    }),
  };
}

function tell(log: Log, verdict: DriftState["verdict"], index: number): void {
  const fields = { drift: verdict, index };
  if (verdict === "stable") log.info(fields, "the scores are as at the calibration again");
  else if (verdict === "drifting") log.info(fields, "the scores drift away from those of the calibration");
  else log.warn(fields, "the scores have been far from those of the calibration for long: retraining is due");
}
