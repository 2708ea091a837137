import type { Series } from "../../models/data/series.ts";
import { type Curve, type HeatMap, heatMap, type ScoreCurve, scoreCurve, valueCurve } from "./curves.ts";
import { drawScript } from "./draw-script.ts";
import { count, page } from "./page.ts";

export interface SeriesPage {
  readonly title: string;
  readonly series: Series;
  readonly score?: SeriesScore | undefined;
  /** Rows from..to-1, flat. */
  readonly labels: readonly number[];
  /** HTML below the plot. */
  readonly below?: string;
}

export interface SeriesScore {
  readonly scores: Float64Array;
  readonly threshold: number | null;
  readonly alarms: readonly number[];
  /** (rows, terms). */
  readonly contributions?: Float32Array;
  readonly terms?: number;
}

/** A page has room for so many channels, and for so many columns of pixels. */
const MOST_CHANNELS = 40;
const COLUMNS = 1200;
const HEAT_COLUMNS = 600;
const HINT = "under the pointer: row and score";

/** The channels of a file over time, with score, threshold, alarms and what each channel made of the score where they are known. */
export function seriesPage({ title, series, score, labels, below = "" }: SeriesPage): string {
  const { rows, channels, names, values } = series;
  const shown = Math.min(channels, MOST_CHANNELS);
  const curves = Array.from({ length: shown }, (_, c): Curve & { name: string } => {
    const own = Float32Array.from({ length: rows }, (_, i) => values[i * channels + c]!);
    return { name: names[c]!, ...valueCurve(own, COLUMNS) };
  });
  const drawing: {
    rows: number;
    labels: readonly number[];
    alarms: readonly number[];
    series: readonly Curve[];
    score: ScoreCurve | null;
    heat: HeatMap | null;
  } = {
    rows,
    labels,
    alarms: score?.alarms ?? [],
    series: curves,
    score: score ? scoreCurve(score.scores, score.threshold, COLUMNS) : null,
    heat:
      score?.contributions && score.terms
        ? heatMap({
            contributions: score.contributions,
            terms: score.terms,
            names,
            columns: HEAT_COLUMNS,
            most: MOST_CHANNELS,
          })
        : null,
  };
  const cut = shown < channels ? `, the first ${shown} shown` : "";
  const text = [
    `${count(rows, "row")} of ${count(channels, "channel")}${cut}`,
    ...(score ? [count(score.alarms.length / 2, "alarm")] : []),
  ].join(", ");
  const legend = [
    '<span><i style="background:#2563a8"></i>values and score</span>',
    ...(labels.length > 0 ? ['<span><i style="background:#f5c99b"></i>labelled anomaly</span>'] : []),
    ...(score ? ['<span><i style="background:#c0392b"></i>alarm</span>'] : []),
    ...(score && score.threshold !== null
      ? ['<span style="color:#c0392b"><i class="line"></i>threshold</span>']
      : []),
  ];
  return page({
    title,
    lead: text,
    body: `<div class="card"><div class="legend">${legend.join("")}</div><div class="plot"><h4>&nbsp;<span data-text="${HINT}">${HINT}</span></h4><canvas data-plot="0"></canvas></div></div>${below}`,
    drawings: [drawing],
    script: drawScript,
  });
}
