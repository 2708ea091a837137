import type { DataSet, DeviceData } from "../../models/data/device-set.ts";
import { alarmRule } from "../../models/detectors/alarm-rule.ts";
import { macroAverage } from "../../models/evaluation/evaluate.ts";
import { judgeDevice, judgePooled, type ToJudge } from "../../models/evaluation/judge.ts";
import type { RunRow } from "../../models/evaluation/run.ts";
import type { VusOptions } from "../../models/evaluation/vus.ts";
import { fitLevel } from "../../models/scoring/alarm-level.ts";
import { smooth } from "../../models/scoring/smoothing.ts";
import type { AlarmSpec } from "../../protocol/task.ts";

/** What a peer made of one device: a score for each held-back row and each test row, higher is stranger. */
export interface PeerScores {
  readonly device: string;
  readonly data: DeviceData;
  readonly heldBack: Float32Array;
  readonly test: Float32Array;
}

export interface JudgePeerOptions {
  readonly set: DataSet;
  readonly detector: string;
  readonly seed: number;
  /** Rows of the causal moving average; 1: the scores as they are. */
  readonly span: number;
  /** Of our own detectors: rule, quantile and what makes an alarm. Its `smooth` is ours alone. */
  readonly alarm: AlarmSpec;
  readonly vus: VusOptions;
}

/** The lines that `run` would give, were the peer a detector of ours in the arm `local`. */
export function judgePeer(peers: readonly PeerScores[], options: JudgePeerOptions): RunRow[] {
  const { set, detector, seed } = options;
  const line = (device: string, evaluation: RunRow["evaluation"]): RunRow => ({
    data: set.name,
    detector,
    arm: "local",
    seed,
    device,
    evaluation,
    model: null,
  });
  const scored = peers.map((peer) => scoredAs(peer, options));
  if (set.judging === "pooled") return [line("pooled", judgePooled(scored, { ...options, input: "series" }))];
  const each = peers.map(({ device, data }, d) => line(device, judgeDevice(scored[d]!, data, options)));
  return [...each, line("macro", macroAverage(each.map(({ evaluation }) => evaluation)))];
}

/**
 * Some peers score around an arbitrary zero (an isolation forest's usual row is negative), but the rule's margin and pooling take scores by their ratio to the
 * threshold. So each device's scores are moved until the least held-back one is 0, which changes no order.
 */
function scoredAs({ data, heldBack, test }: PeerScores, { set, span, alarm }: JudgePeerOptions): ToJudge {
  const least = heldBack.reduce((a, b) => Math.min(a, b), Number.POSITIVE_INFINITY);
  const all = new Float64Array(heldBack.length + test.length);
  all.set(heldBack);
  all.set(test, heldBack.length);
  // One stream: the average of the first test rows has held-back rows in it, as ours has.
  const smoothed = smooth(
    all.map((score) => score - least),
    span,
  );
  const rateHz = data.test.rateHz ?? set.rateHz ?? alarm.rateHz;
  const level = fitLevel(smoothed.subarray(0, heldBack.length), { ...alarm, rateHz, smooth: span });
  return {
    scores: smoothed.subarray(heldBack.length),
    labels: data.labels ?? new Uint8Array(data.test.rows),
    threshold: level.threshold,
    rule: alarmRule({ input: "series" }, alarm, level),
  };
}
