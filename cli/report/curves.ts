import { base64, columnRows, envelope, toBytes } from "./envelope.ts";

/** A curve as bytes on its own axis. */
export interface Curve {
  /** Ends of the axis; of its decimal logarithm where `log`. */
  readonly low: number;
  readonly high: number;
  readonly log: boolean;
  readonly columns: number;
  /** (columns) bytes, base64: lowest and highest value of each column; lowest above highest where there is none. */
  readonly lowest: string;
  readonly highest: string;
}

/** Scores as multiples of the threshold, on a logarithmic axis; as they are where the threshold is not above 0. */
export interface ScoreCurve extends Curve {
  /** null where none is known. */
  readonly threshold: number | null;
}

/** What each channel made of the score over time. */
export interface HeatMap {
  readonly names: readonly string[];
  /** Channels that there are; those shown make the most of the score. */
  readonly channels: number;
  readonly columns: number;
  /** (names, columns) bytes, base64: 0 is nothing, 255 the highest of the map but for a few, on a logarithmic scale. */
  readonly cells: string;
}

/** Decades about the threshold beyond which a score is at the edge. */
const DECADES = { below: -2, above: 3 };

export function scoreCurve(scores: Float64Array, threshold: number | null, wanted: number): ScoreCurve {
  const columns = Math.max(1, Math.min(wanted, scores.length));
  const log = threshold !== null && threshold > 0;
  const seen = envelope(log ? scores.map((score) => score / threshold) : scores, columns);
  if (!log)
    return { ...curve(seen, { log, ...rangeOf(seen, threshold === null ? [] : [threshold]) }), threshold };
  const inLog = { low: seen.low.map(toLog), high: seen.high.map(toLog) };
  const { low, high } = rangeOf(inLog, [-1, 0.5]);
  const range = { low: Math.max(DECADES.below, low), high: Math.min(DECADES.above, high) };
  return { ...curve(inLog, { log, ...range }), threshold };
}

export function valueCurve(values: Float32Array, wanted: number): Curve {
  const seen = envelope(values, Math.max(1, Math.min(wanted, values.length)));
  return curve(seen, { log: false, ...rangeOf(seen, []) });
}

function toLog(value: number): number {
  return Math.log10(Math.max(value, 1e-12));
}

type Seen = { readonly low: Float64Array; readonly high: Float64Array };

function rangeOf({ low, high }: Seen, also: readonly number[]): { low: number; high: number } {
  const finite = (values: Float64Array) => values.filter(Number.isFinite);
  return {
    low: [...finite(low), ...also].reduce((a, b) => Math.min(a, b), Number.POSITIVE_INFINITY),
    high: [...finite(high), ...also].reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY),
  };
}

function curve(
  { low: lowest, high: highest }: Seen,
  axis: { low: number; high: number; log: boolean },
): Curve {
  const known = Number.isFinite(axis.low) ? axis : { ...axis, low: 0, high: 1 };
  const bytes = (values: Float64Array, none: number) =>
    base64(toBytes(values, known).map((byte, i) => (Number.isNaN(values[i]) ? none : byte)));
  return {
    ...known,
    columns: lowest.length,
    lowest: bytes(lowest, 255),
    highest: bytes(highest, 0),
  };
}

export interface HeatOptions {
  /** (rows, terms). */
  readonly contributions: Float32Array;
  readonly terms: number;
  /** Of the channels; terms that are none of them are numbered. */
  readonly names: readonly string[];
  readonly columns: number;
  readonly most: number;
}

/** Contributions span many orders of magnitude: three of them below the highest are shown. */
const HEAT_DECADES = 3;

/** Of all cells, so that one wild row does not make the rest pale. */
const HEAT_TOP = 0.998;

/** null where the score has one term alone. */
export function heatMap({ contributions, terms, names, columns: wanted, most }: HeatOptions): HeatMap | null {
  const rows = contributions.length / terms;
  if (terms < 2 || rows < 1) return null;
  const columns = Math.min(wanted, rows);
  const peaks = new Float64Array(terms * columns);
  const totals = new Float64Array(terms);
  for (let column = 0; column < columns; column++) {
    const { from, to } = columnRows(column, columns, rows);
    for (let i = from; i < to; i++) {
      for (let t = 0; t < terms; t++) {
        const value = contributions[i * terms + t]!;
        if (!(value > 0)) continue;
        // One wild row may not decide which channels are shown: its logarithm counts.
        totals[t]! += Math.log1p(value);
        const at = t * columns + column;
        if (value > peaks[at]!) peaks[at] = value;
      }
    }
  }
  const shown = [...totals.keys()].sort((a, b) => totals[b]! - totals[a]! || a - b).slice(0, most);
  const rising = peaks.filter((peak) => peak > 0).sort();
  const highest = Math.log10(rising[Math.floor(HEAT_TOP * (rising.length - 1))] ?? 1);
  const cells = new Uint8Array(shown.length * columns);
  for (const [line, t] of shown.entries()) {
    for (let column = 0; column < columns; column++) {
      const depth = (Math.log10(peaks[t * columns + column]!) - highest) / HEAT_DECADES + 1;
      cells[line * columns + column] = Math.round(255 * Math.max(0, Math.min(1, depth)));
    }
  }
  const known = names.length === terms;
  return {
    names: shown.map((t) => (known ? names[t]! : `term ${t + 1}`)),
    channels: terms,
    columns,
    cells: base64(cells),
  };
}
