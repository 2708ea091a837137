import type { AlarmBudget } from "../../protocol/alarm-budget.ts";
import { FleetError } from "../../protocol/errors.ts";
import { type AlarmRule, alarmMachine, DEFAULT_K, DEFAULT_N } from "./events.ts";
import { FEWEST_EXCESSES, fitOpenTail, paretoLevel, shapePrior } from "./pareto.ts";
import { quantileOfSorted, sortedScores } from "./sorted.ts";

export { type AlarmBudget, parseAlarmBudget } from "../../protocol/alarm-budget.ts";

export interface BudgetOptions {
  readonly budget: AlarmBudget;
  /** Scores per second. */
  readonly rateHz: number;
  /** The debounce that the alarms will have. */
  readonly rule?: Omit<AlarmRule, "threshold">;
}

export interface BudgetedThreshold {
  readonly threshold: number;
  /** Alarms that the machine raises on the held-back scores at this threshold, and those that the budget allows in that time. */
  readonly alarms: number;
  readonly allowed: number;
  /**
   * `counted`: the held-back time shows enough alarms; `extrapolated`: the Pareto tail of the alarms' peaks went on from what it shows;
   * `highest`: too few peaks for a tail, so it is the highest level of the held-back scores, and the budget is not certain.
   */
  readonly basis: "counted" | "extrapolated" | "highest";
}

/**
 * The threshold at which the alarm machine, debounce and all, raises no more alarms on normal data than the budget says.
 *
 * Counted: the lowest threshold down to which the machine, run over the held-back scores, keeps to the budget. A budget that allows
 * less than `COUNTED_FROM` alarms in that time can't be read off it; there the peaks of the alarms at a lower threshold u get a
 * generalised Pareto tail (peaks over threshold on declustered maxima, as in Coles 2001, chapter 5.3), alarms come at
 * the rate lambda(x) = lambda(u) (1 + gamma (x - u) / sigma)^(-1/gamma), and lambda is set to the budget; gamma has a prior (`shapePrior`). The higher of the two counts.
 * An alarm's peak is the highest threshold at which it would still be raised: the k-th highest of its n scores.
 *
 * `scores` are held-back normal scores in the order of time; NaN rows are seen by nobody. Throws BAD_INPUT as `fitThreshold` does.
 */
export function budgetThreshold(
  scores: Float32Array | Float64Array,
  { budget, rateHz, rule = {} }: BudgetOptions,
): BudgetedThreshold {
  if (!(rateHz > 0 && Number.isFinite(rateHz)))
    throw new FleetError("BAD_INPUT", `an alarm budget needs the rows per second, and ${rateHz} is none`);
  const seen = Float64Array.from(scores).filter((score) => !Number.isNaN(score));
  const levels = debounced(seen, rule);
  const sorted = sortedScores(levels);
  const allowed = (budget.alarms / budget.perSeconds) * (seen.length / rateHz);
  const at = (threshold: number) => alarmPeaks(seen, levels, { ...rule, threshold });

  const grid = candidates(sorted);
  const steps: { readonly threshold: number; readonly peaks: readonly number[] }[] = [];
  for (const threshold of grid) {
    const peaks = at(threshold);
    steps.push({ threshold, peaks });
    if (peaks.length > Math.max(allowed, ENOUGH_PEAKS)) break;
  }
  const bad = steps.findIndex(({ peaks }) => peaks.length > allowed);
  let good = steps[bad < 0 ? steps.length - 1 : Math.max(0, bad - 1)]!;
  if (bad > 0) {
    let low = steps[bad]!.threshold;
    for (let i = 0; i < REFINEMENTS && low < good.threshold; i++) {
      const threshold = low + (good.threshold - low) / 2;
      const peaks = at(threshold);
      if (peaks.length > allowed) low = threshold;
      else good = { threshold, peaks };
    }
  }
  const counted = { threshold: good.threshold, alarms: good.peaks.length, allowed };
  if (allowed >= COUNTED_FROM) return { ...counted, basis: "counted" };

  const most = steps.reduce((a, b) => (b.peaks.length > a.peaks.length ? b : a));
  const excesses = Float64Array.from(most.peaks, (peak) => peak - most.threshold);
  if (excesses.length < FEWEST_EXCESSES) return { ...counted, basis: "highest" };
  const further =
    most.threshold + paretoLevel(fitOpenTail(excesses, shapePrior), Math.min(1, allowed / excesses.length));
  if (!Number.isFinite(further) || further <= counted.threshold) return { ...counted, basis: "extrapolated" };
  return { threshold: further, alarms: at(further).length, allowed, basis: "extrapolated" };
}

/** Ten alarms vary by a third from one stretch of time to the next; fewer say too little by themselves. */
const COUNTED_FROM = 10;
/** Peaks enough for a Pareto tail; a lower threshold would only add what is not tail. */
const ENOUGH_PEAKS = 30;
const REFINEMENTS = 20;

/** Thresholds to try, from the highest level down to the median; close together where alarms are rare. */
function candidates(sorted: Float64Array): number[] {
  const levels = [quantileOfSorted(sorted, 1)];
  for (let above = 1 / sorted.length; above < 0.5; above *= 1.25)
    levels.push(quantileOfSorted(sorted, 1 - above));
  levels.push(quantileOfSorted(sorted, 0.5));
  return levels.filter((level, i) => i === 0 || level < levels[i - 1]!);
}

/** (rows): the k-th highest of the last n scores; k of n scores are above a threshold exactly where this is. */
function debounced(
  scores: Float64Array,
  { k = DEFAULT_K, n = DEFAULT_N }: Omit<AlarmRule, "threshold">,
): Float64Array {
  return scores.map((_, i) => {
    const last = scores.slice(Math.max(0, i - n + 1), i + 1).sort();
    // Fewer than k scores can't alarm; the lowest stands for "below any threshold that counts".
    return last[Math.max(0, last.length - k)]!;
  });
}

/** One peak per alarm that the machine raises. */
function alarmPeaks(scores: Float64Array, levels: Float64Array, rule: AlarmRule): number[] {
  const machine = alarmMachine(rule);
  const none = new Float32Array(0);
  const peaks: number[] = [];
  let open = false;
  for (let row = 0; row < scores.length; row++) {
    const event = machine.push(row, scores[row]!, none);
    if (event?.kind === "onset") {
      open = true;
      peaks.push(levels[row]!);
    } else if (event?.kind === "end") open = false;
    else if (open) peaks[peaks.length - 1] = Math.max(peaks.at(-1)!, levels[row]!);
  }
  return peaks;
}
