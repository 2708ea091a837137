import type { AlarmSpec } from "../../protocol/task.ts";
import type { AlarmRule } from "../scoring/events.ts";
import type { Calibration, Detector } from "./detector.ts";

type Debounce = Omit<AlarmRule, "threshold">;

export function alarmRule(
  detector: Pick<Detector, "input">,
  alarm: Pick<AlarmSpec, "k" | "n"> & Debounce,
  { threshold }: Pick<Calibration, "threshold">,
): AlarmRule {
  return { threshold, ...debounceOf(detector, alarm) };
}

/** Where rows stand alone, so do their alarms: each row over the threshold is one, and the next one below it ends it. */
export function debounceOf({ input }: Pick<Detector, "input">, alarm: Debounce): Debounce {
  if (input !== "series") return { k: 1, n: 1, gap: 1, release: 1 };
  const { k, n, gap, release } = alarm;
  return { ...(k && { k }), ...(n && { n }), ...(gap && { gap }), ...(release && { release }) };
}
