import fc from "fast-check";
import { expect, test } from "vitest";
import { alarmMetrics, alarmSpans, labelledEvents } from "../../../models/evaluation/alarms.ts";
import {
  alwaysAlarmRow,
  evaluateScores,
  macroAverage,
  randomRow,
  tableMetrics,
} from "../../../models/evaluation/evaluate.ts";
import { fixedThresholdMetrics } from "../../../models/evaluation/fixed.ts";
import { aucPr, auroc } from "../../../models/evaluation/ranking.ts";
import { volumeUnderSurface } from "../../../models/evaluation/vus.ts";

// The expected numbers are those of scikit-learn 1.9.1 on these vectors, which hold many ties.
const LABELS = Uint8Array.from([
  0, 0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0, 0, 0, 1, 1, 0, 1, 1, 0, 0, 0, 0, 0, 0, 1, 1, 1, 0, 1,
  0, 1, 0, 1,
]);
const SCORES = Float64Array.from([
  -0.1, 0.1, 0.1, -0.4, 0.1, 1.4, -0.7, 0.9, 0.1, -0.6, 2, 1.6, -0.4, 0.1, 0.6, -0.2, 0.7, -0.1, 0.7, 1.4,
  0.1, 1, -0.5, 0.9, -0.4, -0.6, -0.2, 0.9, 1.1, -1.3, -0.8, 1.4, -1.2, 0.3, -0.1, 2.1, 0.7, 0.5, -0.4, 0.5,
]);

test("ranking - AUROC and average precision are those of scikit-learn, ties and all", () => {
  expect(auroc(SCORES, LABELS)).toBeCloseTo(0.5467032967032966, 12);
  expect(aucPr(SCORES, LABELS)).toBeCloseTo(0.4689586270468623, 12);
});

test("fixed - precision, recall and F1 are those of scikit-learn", () => {
  const { precision, recall, f1, falsePositiveRate } = fixedThresholdMetrics(SCORES, LABELS, 0.5);
  expect([precision, recall, f1]).toEqual([1 / 3, 5 / 14, expect.closeTo(0.3448275862068966, 12)]);
  expect(falsePositiveRate).toBe(10 / 26);
});

const labelled = fc
  .array(fc.tuple(fc.integer({ min: 0, max: 8 }), fc.constantFrom(0, 1)), { minLength: 2, maxLength: 60 })
  .filter((rows) => new Set(rows.map(([, label]) => label)).size === 2)
  .map((rows) => ({
    scores: Float64Array.from(rows, ([s]) => s),
    labels: Uint8Array.from(rows, ([, l]) => l),
  }));

test("ranking - AUROC is the share of pairs in the right order, and keeps to any monotone change of the score", () => {
  const property = fc.property(labelled, ({ scores, labels }) => {
    let right = 0;
    let pairs = 0;
    for (let i = 0; i < labels.length; i++) {
      for (let j = 0; j < labels.length; j++) {
        if (labels[i] !== 1 || labels[j] !== 0) continue;
        pairs++;
        right += scores[i]! > scores[j]! ? 1 : scores[i] === scores[j] ? 0.5 : 0;
      }
    }
    expect(auroc(scores, labels)).toBeCloseTo(right / pairs, 12);
    expect(
      auroc(
        scores.map((s) => Math.exp(s)),
        labels,
      ),
    ).toBe(auroc(scores, labels));
    expect(
      auroc(
        scores.map((s) => -s),
        labels,
      ),
    ).toBeCloseTo(1 - right / pairs, 12);
  });
  fc.assert(property);
});

test("ranking - perfect is 1, one score for all is 0.5 and the anomalous share; one kind alone is NaN", () => {
  const labels = Uint8Array.of(0, 0, 0, 1);
  expect([auroc(Float64Array.of(1, 2, 3, 4), labels), aucPr(Float64Array.of(1, 2, 3, 4), labels)]).toEqual([
    1, 1,
  ]);
  expect([auroc(new Float64Array(4), labels), aucPr(new Float64Array(4), labels)]).toEqual([0.5, 0.25]);
  expect([
    auroc(new Float64Array(2), new Uint8Array(2)),
    aucPr(new Float64Array(2), new Uint8Array(2)),
  ]).toEqual([Number.NaN, Number.NaN]);
  expect(auroc(Float64Array.of(Number.NaN, 1), Uint8Array.of(1, 0))).toBe(0);
  expect(() => auroc(new Float64Array(3), labels)).toThrow(
    "3 scores can't be judged by 4 labels; give one each",
  );
});

test("alarms - events found, false alarms per day of normal time, and no credit for length", () => {
  const labels = new Uint8Array(8640 * 2); // two days at a row in ten seconds
  labels.fill(1, 1000, 1500);
  labels.fill(1, 5000, 5010);
  expect(labelledEvents(labels)).toEqual([
    { from: 1000, to: 1500 },
    { from: 5000, to: 5010 },
  ]);
  const alarms = [
    { from: 1490, to: 1600 },
    { from: 2000, to: 2001 },
    { from: 5010, to: 5011 },
  ];
  const metrics = alarmMetrics(alarms, labels, 0.1);
  expect(metrics).toMatchObject({
    eventRecall: 0.5,
    eventPrecision: 1 / 3,
    eventF1: 0.4,
    events: 2,
    alarms: 3,
    falseAlarms: 2,
  });
  expect(metrics.falseAlarmsPerDay).toBeCloseTo((2 * 8640) / (8640 * 2 - 510), 10);
  expect(alarmMetrics(alarms, labels).falseAlarmsPerDay).toBeNaN();
});

test("alarms - spans over a list of scores, also one that is still open at the end", () => {
  const rule = { threshold: 1, k: 1, n: 1, gap: 2 };
  expect(alarmSpans(Float64Array.of(0, 2, 2, 0, 0, 0, 3, 0), rule)).toEqual([
    { from: 1, to: 3, raised: 1 },
    { from: 6, to: 7, raised: 6 },
  ]);
  expect(alarmSpans(Float64Array.of(2, 0, 2, 2), { threshold: 1, k: 3, n: 5, gap: 2 })).toEqual([
    { from: 0, to: 4, raised: 3 },
  ]);
});

test("evaluate - the always-alarm row finds all and its precision is the anomalous share", () => {
  const labels = new Uint8Array(1000);
  labels.fill(1, 100, 200);
  expect(alwaysAlarmRow({ labels, rateHz: 1 })).toMatchObject({
    auroc: 0.5,
    aucPr: 0.1,
    precision: 0.1,
    recall: 1,
    falsePositiveRate: 1,
    eventRecall: 1,
    alarms: 1,
    falseAlarms: 0,
  });
});

test("evaluate - the random row is seeded and near its expected values", () => {
  const labels = new Uint8Array(20_000);
  for (let i = 0; i < labels.length; i += 400) labels.fill(1, i, i + 40);
  const row = randomRow({ labels, rateHz: 1, seed: 5 });
  expect(randomRow({ labels, rateHz: 1, seed: 5 })).toEqual(row);
  expect(row.auroc).toBeCloseTo(0.5, 1);
  for (const value of [row.aucPr, row.precision, row.recall, row.f1, row.falsePositiveRate])
    expect(Math.abs(value - 0.1)).toBeLessThan(0.02);
});

test("evaluate - the macro average leaves out what a device does not have", () => {
  const rule = { threshold: 0.5, k: 1, n: 1 };
  const scores = Float64Array.of(0, 1);
  const one = evaluateScores({ scores, labels: Uint8Array.of(0, 1), rule, rateHz: 1 });
  const none = evaluateScores({ scores, labels: Uint8Array.of(0, 0), rule, rateHz: 1 });
  expect(none.auroc).toBeNaN();
  expect(macroAverage([one, none])).toMatchObject({
    auroc: 1,
    eventRecall: 1,
    f1: 0.5,
    rows: 2,
    falseAlarms: 0.5,
  });
  expect(macroAverage([none]).auroc).toBeNaN();
});

test("evaluate - a row carries volumes, delay and hit rates, and the table has null for what there is not", () => {
  const labels = new Uint8Array(100);
  labels.fill(1, 40, 50);
  const scores = Float64Array.from(labels, (label, i) => label * (i >= 42 ? 1 : 0));
  const contributions = new Float32Array(200);
  for (let row = 0; row < 100; row++) contributions[2 * row + 1] = 1;
  const events = [{ from: 40, to: 50, channels: [1] }];
  const rule = { threshold: 0.5, k: 1, n: 1 };
  const explained = { contributions, channels: 2, events };
  const row = evaluateScores({ scores, labels, rule, rateHz: 0.1, vus: { window: 10 }, explained });
  expect(row).toMatchObject({ detectionDelay: 2, detectionDelaySeconds: 20, missedEvents: 0, hitRate100: 1 });
  expect(row.vusPr).toBe(volumeUnderSurface(scores, labels, { window: 10 }).vusPr);
  const plain = evaluateScores({ scores, labels, rule });
  expect(plain.vusPr).toBe(volumeUnderSurface(scores, labels, { window: 20 }).vusPr);
  expect(tableMetrics(plain)).toEqual({
    vusPr: plain.vusPr,
    aucPr: plain.aucPr,
    auroc: 0.9,
    pointF1: plain.f1,
    eventF1: 1,
    falsePositiveRate: 0,
    falseAlarmsPerDay: null,
    detectionDelay: 2,
    hitRate100: null,
    compositeF1: 1,
  });
  expect(macroAverage([row, plain]).hitRate100).toBe(1);
  expect(alwaysAlarmRow({ labels, vus: { window: 0 } })).toMatchObject({
    detectionDelay: 0,
    // Event F1 is fooled by an alarm without end; precision by rows, 0.1 here, is not.
    eventF1: 1,
    compositeF1: 0.2 / 1.1,
    vusPr: 0.1,
    hitRate100: Number.NaN,
  });
});
