import { alarmSpans, labelledEvents } from "../../models/evaluation/alarms.ts";
import { type TailPoint, tailCalibration } from "../../models/evaluation/calibration.ts";
import type { Scored } from "../../models/evaluation/scored.ts";
import { tailProbability } from "../../models/scoring/tail.ts";
import { type HeatMap, heatMap, type ScoreCurve, scoreCurve } from "./curves.ts";

/** How much of a picture a report has room for. */
export interface PlotSize {
  /** Columns of the score curve, and of the heat map below it. */
  readonly columns: number;
  readonly heatColumns: number;
  readonly heatChannels: number;
}

/** What a report shows of one device's scores, small enough to be kept as JSON. */
export interface DevicePlot {
  readonly data: string;
  readonly detector: string;
  readonly arm: string;
  readonly seed: number;
  readonly device: string;
  readonly rows: number;
  readonly score: ScoreCurve;
  /** Rows from..to-1 of each, flat. */
  readonly labels: readonly number[];
  readonly alarms: readonly number[];
  readonly heat: HeatMap | null;
  /** Of the normal test rows, by the tail of the held-back scores; empty where there are too few of either. */
  readonly calibration: readonly TailPoint[];
}

export interface DevicePlotInput extends Scored {
  readonly data: string;
  readonly names: readonly string[];
}

export function devicePlot(scored: DevicePlotInput, size: PlotSize): DevicePlot {
  const { data, detector, arm, seed, device, scores, threshold, labels, contributions, terms, names } =
    scored;
  return {
    data,
    detector,
    arm,
    seed,
    device,
    rows: scores.length,
    score: scoreCurve(scores, threshold, size.columns),
    labels: labelledEvents(labels).flatMap(({ from, to }) => [from, to]),
    alarms: alarmSpans(scores, scored.rule).flatMap(({ from, to }) => [from, to]),
    heat: heatMap({ contributions, terms, names, columns: size.heatColumns, most: size.heatChannels }),
    calibration: calibrationOf(scored),
  };
}

/** Fewer held-back scores say nothing of one in a hundred. */
const FEWEST_SCORES = 100;

function calibrationOf({ tail, scores, labels }: DevicePlotInput): TailPoint[] {
  if (tail.count < FEWEST_SCORES || labels.every((label) => label === 1)) return [];
  return tailCalibration(
    scores.map((score) => tailProbability(tail, score)),
    labels,
  );
}
