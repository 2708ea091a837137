import type { AlarmSpec } from "../../protocol/task.ts";
import type { DataSet, DeviceData } from "../data/device-set.ts";
import { alarmRule } from "../detectors/alarm-rule.ts";
import type { Input } from "../detectors/kind.ts";
import { type Evaluation, evaluateScores } from "./evaluate.ts";
import type { Scored } from "./scored.ts";
import type { VusOptions } from "./vus.ts";

/** One device's scores, from whatever detector, with the threshold that was set before the labels were read. */
export type ToJudge = Pick<Scored, "scores" | "labels" | "rule" | "threshold"> &
  Partial<Pick<Scored, "contributions" | "terms">>;

interface JudgeOptions {
  readonly set: DataSet;
  readonly vus?: VusOptions | undefined;
}

export function judgeDevice(one: ToJudge, data: DeviceData, { vus, set }: JudgeOptions): Evaluation {
  const { scores, labels, rule, contributions, terms } = one;
  const explained =
    data.rootCauses && contributions && terms === data.test.channels
      ? { contributions, channels: terms, events: data.rootCauses }
      : undefined;
  return evaluateScores({
    scores,
    labels,
    rule,
    rateHz: data.test.rateHz ?? set.rateHz,
    vus,
    explained,
  });
}

/** Scores of different devices are comparable as multiples of their thresholds. */
export function judgePooled(
  scored: readonly ToJudge[],
  { alarm, vus, set, input }: JudgeOptions & { readonly alarm: AlarmSpec; readonly input: Input },
): Evaluation {
  const scores = new Float64Array(scored.reduce((sum, one) => sum + one.scores.length, 0));
  let at = 0;
  for (const one of scored) {
    scores.set(
      one.scores.map((score) => score / one.threshold),
      at,
    );
    at += one.scores.length;
  }
  const rule = alarmRule({ input }, alarm, { threshold: 1 });
  const labels = joinedLabels(scored.map(({ labels }) => labels));
  return evaluateScores({ scores, labels, rule, rateHz: set.rateHz, vus });
}

/** Of all devices, one after the other. */
export function joinedLabels(parts: readonly Uint8Array[]): Uint8Array {
  return new Uint8Array(Buffer.concat(parts));
}
