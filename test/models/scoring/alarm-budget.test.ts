import fc from "fast-check";
import { expect, test } from "vitest";
import { createRandom } from "../../../models/engine/random.ts";
import { alarmSpans } from "../../../models/evaluation/alarms.ts";
import { budgetThreshold, parseAlarmBudget } from "../../../models/scoring/alarm-budget.ts";
import { smooth } from "../../../models/scoring/smoothing.ts";

const WEEK = 7 * 86_400;

test("budget - texts as people write them", () => {
  for (const [text, alarms, perSeconds] of [
    ["1 per week", 1, WEEK],
    ["2/day", 2, 86_400],
    ["2 / day", 2, 86_400],
    ["1 false alarm per week", 1, WEEK],
    ["3 Alarms every 2 months", 3, 60 * 86_400],
    ["0.5 a day", 0.5, 86_400],
    ["one per hour", 1, 3600],
    ["an alarm per year", 1, 365 * 86_400],
    ["10 alarms per 30 minutes", 10, 1800],
  ] as const) {
    expect(parseAlarmBudget(text), text).toEqual({ alarms, perSeconds });
  }
  for (const text of [
    "",
    "week",
    "0 per week",
    "1",
    "1 per",
    "1 per 0 days",
    "-1 per day",
    "1 per fortnight",
    "1e9 per day",
  ]) {
    expect(() => parseAlarmBudget(text), text).toThrow(
      `the alarm budget "${text}" can't be read; write it like "1 per week" or "2/day"`,
    );
  }
});

/** Smoothed chi-square-like scores, as a detector gives them. */
function scoresOf(rows: number, seed: number): Float64Array {
  const { normal } = createRandom(seed);
  return smooth(Float64Array.from({ length: rows }, () => normal() ** 2));
}

test("budget - where the held-back time shows enough alarms they keep to it, and a lower threshold would not", () => {
  const scores = scoresOf(20_000, 1);
  const budget = { alarms: 3, perSeconds: 1000 };
  const found = budgetThreshold(scores, { budget, rateHz: 1 });
  expect(found).toMatchObject({ basis: "counted", allowed: 60 });
  expect(found.alarms).toBe(alarmSpans(scores, found).length);
  expect(found.alarms).toBeLessThanOrEqual(60);
  expect(found.alarms).toBeGreaterThanOrEqual(50);
  expect(alarmSpans(scores, { threshold: found.threshold * 0.9 }).length).toBeGreaterThan(60);
});

test("budget - extrapolated: fresh normal data fifty times as long keeps near the budget", () => {
  // One alarm in 20,000 rows, from 4000 rows: a fifth of an alarm is allowed in what is seen.
  const budget = { alarms: 1, perSeconds: 20_000 };
  let alarms = 0;
  for (let seed = 1; seed <= 8; seed++) {
    const found = budgetThreshold(scoresOf(4000, seed), { budget, rateHz: 1, rule: { k: 2, n: 4, gap: 5 } });
    expect(found.basis).toBe("extrapolated");
    expect(found.alarms).toBe(0);
    alarms += alarmSpans(scoresOf(200_000, seed + 100), {
      threshold: found.threshold,
      k: 2,
      n: 4,
      gap: 5,
    }).length;
  }
  // 80 are allowed. The tail of 30 peaks is uncertain by a factor of a few, on either side.
  expect(alarms).toBeGreaterThan(8);
  expect(alarms).toBeLessThan(160);
});

test("budget - the machine keeps to the budget on the held-back scores, for any scores and debounce", () => {
  const scores = fc.array(fc.oneof(fc.double({ min: 0, max: 100, noNaN: true }), fc.constant(Number.NaN)), {
    minLength: 1,
    maxLength: 200,
  });
  const rule = fc.record({
    k: fc.integer({ min: 1, max: 3 }),
    n: fc.integer({ min: 3, max: 5 }),
    gap: fc.integer({ min: 1, max: 10 }),
    release: fc.constantFrom(0.5, 0.9, 1),
  });
  const property = fc.property(
    scores,
    rule,
    fc.double({ min: 0.001, max: 1, noNaN: true }),
    (list, debounce, alarms) => {
      fc.pre(list.some((v) => !Number.isNaN(v)));
      const held = Float64Array.from(list);
      const found = budgetThreshold(held, { budget: { alarms, perSeconds: 10 }, rateHz: 1, rule: debounce });
      expect(alarmSpans(held, { ...debounce, threshold: found.threshold }).length).toBe(found.alarms);
      expect(found.alarms).toBeLessThanOrEqual(found.allowed);
    },
  );
  fc.assert(property, { numRuns: 300 });
});

test("budget - a tighter budget never gives a lower threshold", () => {
  const scores = scoresOf(5000, 4);
  const levels = [3600, 86_400, WEEK, 30 * 86_400, 365 * 86_400].map(
    (perSeconds) => budgetThreshold(scores, { budget: { alarms: 1, perSeconds }, rateHz: 1 / 10 }).threshold,
  );
  expect(levels).toEqual([...levels].sort((a, b) => a - b));
  expect(new Set(levels).size).toBeGreaterThan(2);
});

test("budget - scores without a tail, no scores and no rate are said", () => {
  const budget = parseAlarmBudget("1 per week");
  expect(budgetThreshold(new Float64Array(50).fill(2), { budget, rateHz: 1 })).toMatchObject({
    threshold: 2,
    alarms: 0,
    basis: "highest",
  });
  expect(() => budgetThreshold(Float64Array.of(Number.NaN), { budget, rateHz: 1 })).toThrow(
    "there are no held-back scores",
  );
  expect(() => budgetThreshold(Float64Array.of(1), { budget, rateHz: 0 })).toThrow(
    "needs the rows per second",
  );
});
