import { type AlarmMachine, alarmMachine } from "../scoring/events.ts";
import { alarmRule } from "./alarm-rule.ts";
import type { StreamScorer } from "./detector.ts";
import type { CheckedRows } from "./detector-rows.ts";
import type { DetectorSettings } from "./detector-settings.ts";
import type { Fitted } from "./fitted.ts";
import { warmUpRows } from "./open.ts";

/** One way through a series, from its first row on: what an agent keeps of a stream. */
export interface DetectorPass {
  readonly fitted: Fitted;
  readonly scorer: StreamScorer;
  readonly alarm: AlarmMachine;
  /** Whether a score is made of one term a channel. */
  readonly byChannel: boolean;
  /** Shows it the end of the rows that came before, as an agent does when it begins with a new version. */
  warmUp(rows: CheckedRows): void;
}

export function openPass(fitted: Fitted, { alarm }: Pick<DetectorSettings, "alarm">): DetectorPass {
  const { detector, calibration, names } = fitted;
  const { smooth } = alarm;
  const scorer = detector.scorer(calibration, smooth);
  return {
    fitted,
    scorer,
    alarm: alarmMachine(alarmRule(detector, alarm, calibration)),
    byChannel: scorer.contributions.length === names.length,
    warmUp({ values, rows, channels }) {
      for (let i = Math.max(0, rows - warmUpRows(detector, smooth)); i < rows; i++)
        scorer.push(values.subarray(i * channels, (i + 1) * channels));
    },
  };
}
