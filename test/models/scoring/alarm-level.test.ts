import { expect, test } from "vitest";
import { createRandom } from "../../../models/engine/random.ts";
import { budgetThreshold, parseAlarmBudget } from "../../../models/scoring/alarm-budget.ts";
import { fitLevel } from "../../../models/scoring/alarm-level.ts";
import { fitThreshold } from "../../../models/scoring/threshold.ts";
import { AlarmSpec, alarmRules } from "../../../protocol/task.ts";

function scoresOf(rows: number): Float64Array {
  const { normal } = createRandom(3);
  return Float64Array.from({ length: rows }, () => normal() ** 2);
}

test("alarm level - each rule gives what fitThreshold gives for the task's quantile", () => {
  const scores = scoresOf(3000);
  const quantile = 0.995;
  const expected = {
    auto: fitThreshold(scores, { kind: "auto", quantile }),
    quantile: fitThreshold(scores, { kind: "quantile", quantile }),
    pot: fitThreshold(scores, { kind: "pot", risk: 1 - quantile }),
    mad: fitThreshold(scores, { kind: "mad" }),
    conformal: fitThreshold(scores, { kind: "conformal", alpha: 1 - quantile }),
  };
  for (const rule of alarmRules)
    expect(fitLevel(scores, { rule, quantile })).toEqual({ threshold: expected[rule], basis: "rule" });
  expect(new Set(Object.values(expected)).size).toBeGreaterThanOrEqual(4);
});

test("alarm level - a budget is kept with the task's own debounce and the device's rate, and says how certain it is", () => {
  const scores = scoresOf(5000);
  const alarm = AlarmSpec.parse({ budget: "2/hour", k: 1, n: 1, gap: 3 });
  const level = fitLevel(scores, { ...alarm, rateHz: 1 / 60 });
  const { k, n, gap, release } = alarm;
  const asked = { budget: parseAlarmBudget("2/hour"), rateHz: 1 / 60, rule: { k, n, gap, release } };
  expect(level).toEqual({ threshold: budgetThreshold(scores, asked).threshold, basis: "counted" });
  // A quarter of the rows per second: four times as much time, so four times as many alarms may come.
  expect(fitLevel(scores, { ...alarm, rateHz: 1 / 240 }).threshold).toBeLessThan(level.threshold);
  const rare = fitLevel(scores, { ...alarm, budget: "1 per year", rateHz: 1 / 60 });
  expect(rare).toMatchObject({ basis: "extrapolated", caution: expect.stringContaining("may be off") });
  expect(rare.threshold).toBeGreaterThan(level.threshold);
  const flat = fitLevel(new Float64Array(500).fill(1), { ...alarm, budget: "1 per year", rateHz: 1 });
  expect(flat).toMatchObject({
    threshold: 1,
    basis: "highest",
    caution: expect.stringContaining("not certain"),
  });
});

test("alarm level - what can't be had gives way to the rule auto, and says why", () => {
  const scores = scoresOf(300);
  const { threshold } = fitLevel(scores, { quantile: 0.999 });
  const noRate = fitLevel(scores, { quantile: 0.999, budget: "1 per week" });
  expect(noRate).toEqual({ threshold, basis: "fallback", caution: expect.stringContaining("set rateHz") });
  const tooFew = fitLevel(scores, { quantile: 0.999, rule: "conformal" });
  expect(tooFew).toEqual({
    threshold,
    basis: "fallback",
    caution: expect.stringContaining("needs 999 held-back scores and there are 300"),
  });
  // Nothing stands in where there is nothing.
  expect(() => fitLevel(new Float64Array(0), { quantile: 0.999, rule: "conformal" })).toThrow(
    expect.objectContaining({ code: "BAD_INPUT" }),
  );
});

test("alarm level - a task with a budget that can't be read is refused with what to write", () => {
  for (const budget of ["weekly", "", "0 per week", `1 per ${"w".repeat(80)}`])
    expect(AlarmSpec.safeParse({ budget }).success, budget).toBe(false);
  const { error } = AlarmSpec.safeParse({ budget: "weekly" });
  expect(error?.issues[0]?.message).toContain('write it like "1 per week"');
  expect(AlarmSpec.parse({})).toMatchObject({ rule: "auto", gap: 10, release: 1 });
});

test("rule auto - the level is raised by one standard error of what is independent in smoothed scores", () => {
  const scores = Float64Array.from({ length: 900 }, (_, i) => 1 + (i % 97) / 97);
  const plain = fitLevel(scores, { quantile: 0.98 }).threshold;
  const smoothed = fitLevel(scores, { quantile: 0.98, smooth: [3, 10, 30] }).threshold;
  expect(smoothed / plain).toBeCloseTo(1 + 1 / Math.sqrt(900 / 30), 12);
  // A rule that was asked for by name is that rule.
  expect(fitLevel(scores, { rule: "quantile", quantile: 0.98, smooth: 30 }).threshold).toBe(plain);
});
