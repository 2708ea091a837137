import { parseAlarmBudget } from "../../protocol/alarm-budget.ts";
import { FleetError } from "../../protocol/errors.ts";
import type { levelBases } from "../../protocol/messages.ts";
import type { AlarmSpec } from "../../protocol/task.ts";
import { budgetThreshold } from "./alarm-budget.ts";
import { longest, type Smoothing } from "./ladder.ts";
import { fitThreshold, type ThresholdRule } from "./threshold.ts";

/** What of a task's alarm settings makes a threshold, and the device's rows per second where they are known. */
export type FitLevelOptions = Pick<AlarmSpec, "quantile"> &
  Partial<Pick<AlarmSpec, "rule" | "budget" | "k" | "n" | "gap" | "release">> & {
    readonly rateHz?: number | undefined;
    /** How the scores were smoothed; without it they are taken as they are. */
    readonly smooth?: Smoothing;
  };

/**
 * What a threshold stands on. `rule`: the rule alone. `counted`, `extrapolated`, `highest`: a budget, as `budgetThreshold` says, the latter two with less and less
 * certainty. `fallback`: what was asked for can't be had here, and the rule `auto` stands in.
 */
export type LevelBasis = (typeof levelBases)[number];

export interface Level {
  readonly threshold: number;
  readonly basis: LevelBasis;
  /** What a person should know of it: why it is weaker than asked for. */
  readonly caution?: string;
}

/**
 * The alarm level from held-back normal scores, in the order of time, by the task's budget or else by its rule. What can't be had (a budget without a rate, a
 * conformal level from too few scores) gives way to `auto`, and `caution` says so. Throws BAD_INPUT as `fitThreshold` does.
 */
export function fitLevel(scores: Float32Array | Float64Array, options: FitLevelOptions): Level {
  const { budget, rateHz, quantile } = options;
  if (budget === undefined) return byRule(scores, options);
  if (rateHz === undefined) {
    return {
      ...byRule(scores, options),
      basis: "fallback",
      caution: `the budget "${budget}" needs the rows per second, and neither the data nor the task say them: the rule at ${quantile} stands in; set rateHz`,
    };
  }
  const { k, n, gap, release } = options;
  const rule = { ...(k && { k }), ...(n && { n }), ...(gap && { gap }), ...(release && { release }) };
  const { threshold, basis, allowed } = budgetThreshold(scores, {
    budget: parseAlarmBudget(budget),
    rateHz,
    rule,
  });
  if (basis === "counted") return { threshold, basis };
  const shown = Number(allowed.toPrecision(2));
  return {
    threshold,
    basis,
    caution:
      basis === "highest"
        ? `the held-back data show too few alarms at any threshold to keep to the budget "${budget}": the highest level in them stands in, which is not certain`
        : `the budget "${budget}" allows ${shown} alarms in the held-back data, fewer than can be counted: the threshold goes on from their tail and may be off`,
  };
}

/**
 * The scale of scores with an exponential tail is known to 1/sqrt(m) of itself from m scores that are independent of each other, and of smoothed ones one in
 * `longest` is. The rule `auto` asks for one such standard error more than the quantile. On training rows alone, with the first half of the held-back rows to
 * set the level and the second to judge it: at a quantile of 0.999, rows above it fall from .12 to 0 on SKAB (40 rows), from .101 to .085 on jumpstarter2
 * (580) and from .013 to .011 on SMD (2,400).
 */
function standardError(scores: Float32Array | Float64Array, smooth: Smoothing): number {
  let count = 0;
  for (const score of scores) if (!Number.isNaN(score)) count++;
  return Math.sqrt(longest(smooth) / Math.max(1, count));
}

function byRule(
  scores: Float32Array | Float64Array,
  { rule = "auto", quantile, smooth }: FitLevelOptions,
): Level {
  const margin = smooth === undefined ? 1 : 1 + standardError(scores, smooth);
  const auto = (): number => margin * fitThreshold(scores, { kind: "auto", quantile });
  if (rule === "auto") return { threshold: auto(), basis: "rule" };
  const risk = 1 - quantile;
  const rules: Record<typeof rule, ThresholdRule> = {
    quantile: { kind: "quantile", quantile },
    pot: { kind: "pot", risk },
    mad: { kind: "mad" },
    conformal: { kind: "conformal", alpha: risk },
  };
  try {
    return { threshold: fitThreshold(scores, rules[rule]), basis: "rule" };
  } catch (error) {
    if (rule !== "conformal" || !(error instanceof FleetError)) throw error;
    return { threshold: auto(), basis: "fallback", caution: `${error.message}; the rule auto stands in` };
  }
}
