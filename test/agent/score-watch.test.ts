import { expect, test } from "vitest";
import { textToWatch, watchToText } from "../../agent/checkpoint.ts";
import { type ScoreWatch, scoreWatch, type WatchState } from "../../agent/score-watch.ts";
import type { Calibration } from "../../models/detectors/detector.ts";
import { createRandom } from "../../models/engine/random.ts";
import { fitLevel } from "../../models/scoring/alarm-level.ts";
import { driftReference } from "../../models/scoring/drift.ts";
import { smooth } from "../../models/scoring/smoothing.ts";
import { fitTail, tailProbability } from "../../models/scoring/tail.ts";
import { AlarmSpec } from "../../protocol/task.ts";
import { quietLog } from "../support/quiet-log.ts";

const alarm = AlarmSpec.parse({ quantile: 0.99 });
const sizes = { memoryRows: 500, keptScores: 1000, pauseRows: 3000 };

/** Smoothed squared residuals, times `scale`. */
function scoresOf(rows: number, seed: number, scale = 1): Float64Array {
  const { normal } = createRandom(seed);
  return smooth(Float64Array.from({ length: rows }, () => scale * normal() ** 2)).map(
    (score) => score + scale,
  );
}

function calibrate(scores = scoresOf(4000, 1)): Calibration {
  const nothing = { sigma: [], scalerMean: [], scalerSigma: [], levels: [1], rows: scores.length };
  return {
    ...nothing,
    ...fitLevel(scores, alarm),
    tail: fitTail(scores),
    drift: driftReference(scores),
  };
}

function open(options: { calibration?: Calibration; start?: WatchState } = {}) {
  const log = quietLog();
  const { calibration = calibrate(), start } = options;
  return { log, calibration, watch: scoreWatch({ calibration, alarm, log, start, sizes }) };
}

/** Rows at which it calibrated again. */
function feed(watch: ScoreWatch, scores: Float64Array, alarmed: (row: number) => boolean = () => false) {
  const at: number[] = [];
  scores.forEach((score, row) => {
    if (watch.push(score, alarmed(row))) at.push(row);
  });
  return at;
}

test("score watch - scores like the calibration's are stable and change nothing", () => {
  const { watch, calibration } = open();
  expect(feed(watch, scoresOf(8000, 2))).toEqual([]);
  expect(watch.drift().state).toBe("stable");
  const { threshold } = calibration;
  expect(watch.level()).toEqual({
    ...{ threshold, installed: threshold, basis: "rule" },
    ...{ recalibrations: 0, limited: false },
  });
});

test("score watch - drifting scores give a new threshold and tail from the drift's rows alone, and again after the pause", () => {
  const { watch, calibration, log } = open();
  feed(watch, scoresOf(2000, 2));
  const drifted = scoresOf(9000, 3, 1.5);
  let fitted: Calibration | undefined;
  const at: number[] = [];
  drifted.forEach((score, row) => {
    const next = watch.push(score, false);
    if (next === undefined) return;
    fitted ??= next;
    at.push(row);
  });
  expect(at.length).toBe(3);
  expect(at[0]).toBeGreaterThanOrEqual(sizes.keptScores);
  expect(at[0]).toBeLessThan(2500);
  expect([at[1]! - at[0]!, at[2]! - at[1]!]).toEqual([sizes.pauseRows, sizes.pauseRows]);
  // 1.5 times the scores, 1.5 times the level; a thousand rows place the 0.99 quantile within a tenth or so, and have a
  // larger standard error than those of the calibration.
  expect(fitted!.threshold / calibration.threshold).toBeGreaterThan(1.35);
  expect(fitted!.threshold / calibration.threshold).toBeLessThan(1.8);
  expect(tailProbability(fitted!.tail, calibration.threshold)).toBeGreaterThan(
    5 * tailProbability(calibration.tail, calibration.threshold),
  );
  // What the scores are compared with stays, so that the call for retraining comes.
  expect(fitted!.drift).toBe(calibration.drift);
  expect(watch.drift().state).toBe("retrain-due");
  expect(watch.level()).toMatchObject({
    installed: calibration.threshold,
    recalibrations: 3,
    limited: false,
  });
  expect(log.lines.some((line) => line.includes("retraining is due"))).toBe(true);
});

test("score watch - never while an alarm is open, and alarmed rows are not learned", () => {
  const { watch, calibration } = open();
  feed(watch, scoresOf(2000, 2));
  expect(feed(watch, scoresOf(4000, 3, 1.5), () => true)).toEqual([]);
  expect(watch.drift().state).toBe("retrain-due");
  // Every third stretch of 100 rows is a fault that reaches ten times as high.
  const fault = (row: number) => Math.floor(row / 100) % 3 === 0;
  const scores = scoresOf(3000, 4, 1.5).map((score, row) => (fault(row) ? 10 * score : score));
  const at = feed(watch, scores, fault);
  expect(at.length).toBe(1);
  expect(fault(at[0]!)).toBe(false);
  expect(watch.level().threshold / calibration.threshold).toBeLessThan(1.8);
});

test("score watch - however many rows alarm, no score of before the drift is fitted to", () => {
  const { watch, calibration } = open();
  feed(watch, scoresOf(2000, 2));
  const drifted = scoresOf(9000, 3, 1.5);
  let lowest = Number.POSITIVE_INFINITY;
  drifted.forEach((score, row) => {
    // Four fifths of the rows are in or about an alarm.
    const next = watch.push(score, row % 200 < 120);
    if (next !== undefined) lowest = Math.min(lowest, next.tail.knots[0]!);
  });
  expect(calibration.tail.knots[0]).toBeLessThan(1.4);
  expect(lowest).toBeGreaterThan(1.5); // the least that a drifted score can be
  expect(lowest).toBeLessThan(2);
});

for (const [what, scale, bound] of [
  ["up", 5, 2],
  ["down", 0.2, 0.5],
] as const) {
  test(`score watch - the threshold goes ${what} no further than twofold, and says that it would have`, () => {
    const { watch, calibration, log } = open();
    feed(watch, scoresOf(8000, 3, scale));
    expect(watch.level()).toMatchObject({ threshold: bound * calibration.threshold, limited: true });
    expect(log.lines.some((line) => line.includes("goes no further than 2 times"))).toBe(true);
  });
}

test("score watch - restarted from its checkpoint at any row, it does the same", () => {
  const scores = Float64Array.from([...scoresOf(1500, 2), ...scoresOf(6000, 3, 1.5)]);
  const alarmed = (row: number) => row % 701 < 30;
  const whole = open().watch;
  const expected = feed(whole, scores, alarmed);
  expect(expected.length).toBeGreaterThan(0);
  let { watch, calibration } = open();
  const at: number[] = [];
  scores.forEach((score, row) => {
    if (row % 331 === 7) {
      const start = textToWatch(JSON.parse(JSON.stringify(watchToText(watch.state()))));
      watch = open({ calibration, start }).watch;
    }
    const next = watch.push(score, alarmed(row));
    if (next === undefined) return;
    calibration = next;
    at.push(row);
  });
  expect(at).toEqual(expected);
  expect(watch.level()).toEqual(whole.level());
  expect(watch.state()).toEqual(whole.state());
});

test("score watch - a state of another calibration is left out with a warning", () => {
  const { watch } = open();
  feed(watch, scoresOf(100, 2));
  const state = { ...watch.state(), drift: { ...watch.state().drift, counts: [1, 2] } };
  const { watch: fresh, log } = open({ start: state });
  expect(fresh.state()).toEqual(open().watch.state());
  expect(log.lines.some((line) => line.includes("can't be used"))).toBe(true);
});
