import type { Series } from "../../models/data/series.ts";
import { alarmRule } from "../../models/detectors/alarm-rule.ts";
import { openDetector, warmUpRows } from "../../models/detectors/open.ts";
import { type AlarmRule, alarmMachine } from "../../models/scoring/events.ts";
import { type ChannelShare, topChannels } from "../../models/scoring/top-channels.ts";
import {
  type DeviceChannels,
  type PreparedChannels,
  unlikeChannels,
} from "../../protocol/device-channels.ts";
import { asFleetError, FleetError } from "../../protocol/errors.ts";
import { sameLayout } from "../../protocol/frame.ts";
import type { Model } from "./model.ts";

export interface ScoredSeries {
  readonly detector: string;
  /** (rows); NaN where too little has been seen. */
  readonly scores: Float64Array;
  /** (rows): the probability that a normal score is as high. */
  readonly probabilities: Float64Array;
  readonly threshold: number;
  /** (rows, terms). */
  readonly contributions: Float32Array;
  readonly terms: number;
  readonly alarms: readonly AlarmFound[];
}

/** Rows from..to-1. */
export interface AlarmFound {
  readonly from: number;
  readonly to: number;
  /** The row at which it was raised. */
  readonly raised: number;
  readonly peakRow: number;
  readonly peak: number;
  /** That of its peak. */
  readonly probability: number;
  /** It goes on at the end of the series. */
  readonly open: boolean;
  readonly channels: readonly ChannelShare[];
}

export interface ScoringInputs {
  readonly series: Series;
  readonly normal?: Series | undefined;
  /** What the channels are made of. */
  readonly prepared?: PreparedChannels | undefined;
}

/**
 * Scores a series as an agent would. With `normal` (the device's normal rows, of which the latest part is held back) scaler, threshold and tail are
 * learned from it, and the stream comes from its end. Throws BAD_INPUT without either that or a calibration in the model.
 */
export async function scoreSeries(
  model: Model,
  { series, normal, prepared }: ScoringInputs,
): Promise<ScoredSeries> {
  const { spec, alarm, topology, statistics } = model;
  const { channels } = series;
  if (normal && normal.channels !== channels)
    throw new FleetError(
      "BAD_INPUT",
      `the file has ${channels} channels and the one to calibrate by ${normal.channels}; give both the same`,
    );
  const known = model.calibration?.scalerMean.length ?? channels;
  if (model.prepared !== null)
    checkPrepared({ channels: known, prepared: model.prepared }, { channels, prepared });
  if (known !== channels)
    throw new FleetError("BAD_INPUT", `the file has ${channels} channels, the model is for ${known}`);
  const detector = await openDetector({ spec, topology, statistics, channels, seed: 0, maxBatch: 1 }).catch(
    (error: unknown) => {
      throw new FleetError("BAD_INPUT", asFleetError(error, "BAD_SHAPE").message, { cause: error });
    },
  );
  try {
    if (!sameLayout(detector.layout, model.layout))
      throw new FleetError(
        "BAD_INPUT",
        "the version's weights are not of this detector; give its task as --config",
      );
    detector.setWeights(model.weights);
    const calibration = normal
      ? detector.calibrate(normal, { ...alarm, rateHz: alarm.rateHz ?? normal.rateHz })
      : model.calibration;
    if (calibration === undefined)
      throw new FleetError(
        "BAD_INPUT",
        "a version alone does not know what is normal on a device: give its normal rows as --calibrate FILE",
      );
    const scorer = detector.scorer(calibration, alarm.smooth);
    if (normal) {
      for (let i = Math.max(0, normal.rows - warmUpRows(detector, alarm.smooth)); i < normal.rows; i++)
        scorer.push(normal.values.subarray(i * channels, (i + 1) * channels));
    }
    const terms = scorer.contributions.length;
    const scores = new Float64Array(series.rows);
    const contributions = new Float32Array(series.rows * terms);
    for (let i = 0; i < series.rows; i++) {
      scores[i] = scorer.push(series.values.subarray(i * channels, (i + 1) * channels));
      contributions.set(scorer.contributions, i * terms);
    }
    const { threshold } = calibration;
    const probabilities = scores.map((score) => scorer.probability(score));
    const rule = alarmRule(detector, alarm, calibration);
    const found = { scores, probabilities, contributions, terms };
    return { detector: spec.name, ...found, threshold, alarms: findAlarms(found, rule) };
  } finally {
    detector.dispose();
  }
}

function checkPrepared(model: DeviceChannels, file: DeviceChannels): void {
  if (model.prepared === undefined && file.prepared === undefined) return;
  const problem = unlikeChannels(file, model, { own: "the file", other: "the model" });
  if (problem !== undefined) throw new FleetError("BAD_INPUT", problem);
}

/** The alarms that an agent would raise, with what made them. */
export function findAlarms(
  {
    scores,
    probabilities,
    contributions,
    terms,
  }: Pick<ScoredSeries, "scores" | "probabilities" | "contributions" | "terms">,
  rule: AlarmRule,
): AlarmFound[] {
  const machine = alarmMachine(rule);
  const alarms: AlarmFound[] = [];
  let raised = 0;
  const add = (from: number, to: number, open: boolean, channels: readonly ChannelShare[]) => {
    let peakRow = from;
    for (let i = from; i < to; i++) if (scores[i]! > scores[peakRow]!) peakRow = i;
    const probability = probabilities[peakRow]!;
    alarms.push({ from, to, raised, peakRow, peak: scores[peakRow]!, probability, open, channels });
  };
  for (let row = 0; row < scores.length; row++) {
    const event = machine.push(row, scores[row]!, contributions.subarray(row * terms, (row + 1) * terms));
    if (event?.kind === "onset") raised = row;
    if (event?.kind === "end") add(event.since, event.until + 1, false, event.topChannels);
  }
  const { open } = machine.state();
  if (open) add(open.since, open.until + 1, true, topChannels(Float64Array.from(open.contributions)));
  return alarms;
}
