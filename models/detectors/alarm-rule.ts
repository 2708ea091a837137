import type { AlarmSpec } from "../../protocol/task.ts";
import type { AlarmRule } from "../scoring/events.ts";
import type { Calibration, Detector } from "./detector.ts";

/** Where rows stand alone, so do their alarms: each row over the threshold is one, and the next one below it ends it. */
export function alarmRule(
  { input }: Pick<Detector, "input">,
  { k, n, gap, release }: Pick<AlarmSpec, "k" | "n" | "gap" | "release">,
  { threshold }: Pick<Calibration, "threshold">,
): AlarmRule {
  return { threshold, ...(input === "series" ? { k, n, gap, release } : ALONE) };
}

export const ALONE = { k: 1, n: 1, gap: 1, release: 1 } as const;
