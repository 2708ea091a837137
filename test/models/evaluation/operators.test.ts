import { readFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { expect, test } from "vitest";
import { createRandom } from "../../../models/engine/random.ts";
import { alarmSpans, labelledEvents } from "../../../models/evaluation/alarms.ts";
import { delayMetrics } from "../../../models/evaluation/delay.ts";
import { type Cardinality, type PositionalBias, rangeMetrics } from "../../../models/evaluation/range.ts";

test("delay - counts from an event's first row to the row at which its first alarm was raised", () => {
  const events = [
    { from: 10, to: 20 },
    { from: 40, to: 50 },
    { from: 70, to: 80 },
    { from: 90, to: 95 },
  ];
  const alarms = [
    { from: 12, to: 14, raised: 13 },
    { from: 16, to: 18, raised: 16 },
    { from: 35, to: 60, raised: 36 },
    { from: 79, to: 85, raised: 82 },
  ];
  expect(delayMetrics(alarms, events, 0.5)).toEqual({
    detectionDelay: 5,
    medianDetectionDelay: 3,
    detectionDelaySeconds: 10,
    missedEvents: 1,
  });
  expect(delayMetrics(alarms, events).detectionDelaySeconds).toBeNaN();
  expect(delayMetrics(alarms.slice(0, 3), events).medianDetectionDelay).toBe(1.5);
  expect(delayMetrics([], events)).toMatchObject({ detectionDelay: Number.NaN, missedEvents: 4 });
  expect(delayMetrics(alarms, [])).toMatchObject({ medianDetectionDelay: Number.NaN, missedEvents: 0 });
});

test("delay - an alarm of k of n rows is late by the rows that it waits for", () => {
  const scores = Float64Array.from({ length: 40 }, (_, i) => (i >= 20 && i < 30 ? 1 : 0));
  const events = [{ from: 20, to: 30 }];
  const delay = (k: number) =>
    delayMetrics(alarmSpans(scores, { threshold: 0.5, k, n: 5 }), events).detectionDelay;
  expect([1, 3, 5].map(delay)).toEqual([0, 2, 4]);
});

interface Case {
  readonly labels: readonly number[];
  readonly alarms: readonly number[];
  readonly results: readonly {
    readonly alpha: number;
    readonly cardinality: Cardinality;
    readonly bias: PositionalBias;
    readonly recall: number;
    readonly precision: number;
  }[];
}

// Written by range.py in the folder of the fixture, which runs the package prts.
const cases: readonly Case[] = readFileSync(
  join(import.meta.dirname, "../../fixtures/evaluation/range.jsonl"),
  "utf8",
)
  .trim()
  .split("\n")
  .map((line) => JSON.parse(line));

test("range - precision and recall are those of prts, for every bias, cardinality and alpha", () => {
  expect(cases.length).toBe(8);
  for (const { labels, alarms, results } of cases) {
    const [events, spans] = [labels, alarms].map((bits) => labelledEvents(Uint8Array.from(bits)));
    for (const { recall, precision, ...options } of results) {
      const ours = rangeMetrics(spans!, events!, options);
      expect(ours.rangeRecall).toBeCloseTo(recall, 12);
      expect(ours.rangePrecision).toBeCloseTo(precision, 12);
    }
  }
});

const bits = fc.array(fc.constantFrom(0, 1), { minLength: 1, maxLength: 50 });
const options = fc.record({
  alpha: fc.double({ min: 0, max: 1, noNaN: true }),
  cardinality: fc.constantFrom<Cardinality>("one", "reciprocal"),
  bias: fc.constantFrom<PositionalBias>("flat", "front", "middle", "back"),
});

test("range - alarms that are the events get 1; everything stays within 0..1; flat on events of one row is the row's", () => {
  fc.assert(
    fc.property(bits, bits, options, (a, b, chosen) => {
      const [events, alarms] = [a, b].map((list) => labelledEvents(Uint8Array.from(list)));
      if (events!.length > 0) {
        const perfect = rangeMetrics(events!, events!, chosen);
        for (const value of Object.values(perfect)) expect(value).toBeCloseTo(1, 12);
      }
      for (const value of Object.values(rangeMetrics(alarms!, events!, chosen))) {
        if (Number.isNaN(value)) continue;
        expect(value).toBeGreaterThanOrEqual(0);
        expect(value).toBeLessThanOrEqual(1 + 1e-12);
      }
    }),
  );
  const single = [1, 5, 9].map((from) => ({ from, to: from + 1 }));
  expect(rangeMetrics([{ from: 5, to: 6 }], single)).toMatchObject({ rangeRecall: 1 / 3, rangePrecision: 1 });
});

test("range - without alarms 0, without events NaN; front bias rewards the early alarm; a wrong alpha is refused", () => {
  const event = [{ from: 0, to: 10 }];
  expect(rangeMetrics([], event)).toEqual({ rangePrecision: 0, rangeRecall: 0, rangeF1: 0 });
  expect(rangeMetrics(event, [])).toEqual({ rangePrecision: 0, rangeRecall: Number.NaN, rangeF1: 0 });
  const recall = (from: number, bias: PositionalBias) =>
    rangeMetrics([{ from, to: from + 2 }], event, { bias }).rangeRecall;
  expect(recall(0, "front")).toBeCloseTo(19 / 55, 12);
  expect(recall(8, "front")).toBeCloseTo(3 / 55, 12);
  expect(recall(8, "back")).toBeCloseTo(19 / 55, 12);
  expect(() => rangeMetrics([], event, { alpha: 1.5 })).toThrow("alpha 1.5 must be within 0..1");
});

test("range - random alarms get about their share of the rows", () => {
  const random = createRandom(9).uniform;
  const labels = new Uint8Array(30_000);
  for (let i = 0; i < labels.length; i += 300) labels.fill(1, i, i + 60);
  const alarms = labelledEvents(Uint8Array.from(labels, () => (random() < 0.3 ? 1 : 0)));
  const { rangePrecision, rangeRecall } = rangeMetrics(alarms, labelledEvents(labels));
  expect(Math.abs(rangeRecall - 0.3)).toBeLessThan(0.03);
  expect(Math.abs(rangePrecision - 0.2)).toBeLessThan(0.02);
});
