import { FleetError } from "../../protocol/errors.ts";
import { FloatColumn } from "./float-column.ts";
import type { Series } from "./series.ts";

export interface ResampleOptions {
  /** Distance of the rows of the grid; the grid's times are its multiples since 1970. */
  readonly periodMs: number;
  /** `last`: the last value of each channel; `mean`: the mean of those since the row before, or the last value where there was none. */
  readonly method?: "last" | "mean";
  /** A value stands in for missing ones no longer than this; then the row has NaN. */
  readonly maxGapMs?: number;
  /** Most rows that one call may make: a clock that jumps must not fill the memory. */
  readonly maxRows?: number;
}

/** Called for each finished row; `row` (channels) is overwritten by the next one. */
export type TakeRow = (atMs: number, row: Float32Array) => void;

export interface Resampler {
  /**
   * The next sample (channels), NaN = missing, at its time. Rows of the grid that it finishes are given to `take` before. Throws BAD_INPUT for
   * a time that is none or goes back, and for a gap of more than `maxRows` rows; the sample is then left out and nothing has changed.
   */
  push(atMs: number, row: Float32Array, take: TakeRow): void;
  /** The row of the last samples; begin anew afterwards. */
  finish(take: TakeRow): void;
}

/** A value is usually still true three rows later; what is missing longer is missing. */
export const DEFAULT_MAX_GAP_PERIODS = 3;
const DEFAULT_MAX_ROWS = 10_000_000;

/**
 * Samples at any times, to one row per period. The row at grid time g is made of the samples in (g - periodMs, g], so no row knows
 * the future. A channel that is not in them has its last value up to `maxGapMs` before g, else NaN. The first row is the one
 * of the first sample.
 */
export function resampler(channels: number, options: ResampleOptions): Resampler {
  const { periodMs, method, maxGapMs, maxRows } = checked(options);
  const last = new Float64Array(channels);
  const lastMs = new Float64Array(channels);
  const sums = new Float64Array(channels);
  const counts = new Float64Array(channels);
  const row = new Float32Array(channels);
  /** Index of the grid row that is being filled; its time is index * periodMs. */
  let open: number | undefined;
  let latestMs = Number.NEGATIVE_INFINITY;
  const begin = () => {
    last.fill(Number.NaN);
    lastMs.fill(Number.NEGATIVE_INFINITY);
    sums.fill(0);
    counts.fill(0);
    open = undefined;
    latestMs = Number.NEGATIVE_INFINITY;
  };
  begin();
  const emit = (index: number, take: TakeRow) => {
    const gridMs = index * periodMs + 0; // + 0: no -0
    for (let c = 0; c < channels; c++) {
      const fresh = gridMs - lastMs[c]! <= maxGapMs;
      row[c] = counts[c]! > 0 && method === "mean" ? sums[c]! / counts[c]! : fresh ? last[c]! : Number.NaN;
    }
    sums.fill(0);
    counts.fill(0);
    take(gridMs, row);
  };
  return {
    push(atMs, values, take) {
      if (!(Math.abs(atMs) <= LATEST_MS)) throw bad(`a sample's time ${atMs} is no time`);
      if (atMs < latestMs)
        throw bad(
          `a sample's time ${isoOf(atMs)} is before the one before it, ${isoOf(latestMs)}; sort the samples`,
        );
      const index = Math.ceil(atMs / periodMs);
      if (open !== undefined && index - open > maxRows)
        throw bad(
          `there are ${index - open} rows between ${isoOf(latestMs)} and ${isoOf(atMs)}; split the data there`,
        );
      open ??= index;
      for (; open < index; open++) emit(open, take);
      latestMs = atMs;
      for (let c = 0; c < channels; c++) {
        const value = values[c]!;
        if (Number.isNaN(value)) continue;
        last[c] = value;
        lastMs[c] = atMs;
        sums[c]! += value;
        counts[c]! += 1;
      }
    },
    finish(take) {
      if (open !== undefined) emit(open, take);
      begin();
    },
  };
}

/** A series with timestamps, on a grid: the same rows as the resampler gives. Throws BAD_INPUT without timestamps, and as `push` does. */
export function resampleSeries(series: Series, options: ResampleOptions): Series {
  const { channels, values, timestampsMs, names } = series;
  if (!timestampsMs) throw bad("a series without timestamps can't be resampled; name its time column");
  const { periodMs, maxRows } = checked(options);
  const tooMany = () => bad(`more than ${maxRows} rows of ${periodMs} ms; choose a longer period`);
  const out = new FloatColumn(maxRows * channels, tooMany);
  const times: number[] = [];
  const stream = resampler(channels, options);
  const take: TakeRow = (atMs, row) => {
    if (times.length >= maxRows) throw tooMany();
    times.push(atMs);
    for (let c = 0; c < channels; c++) out.push(row[c]!);
  };
  for (let i = 0; i < series.rows; i++)
    stream.push(timestampsMs[i]!, values.subarray(i * channels, (i + 1) * channels), take);
  stream.finish(take);
  return {
    rows: times.length,
    channels,
    values: out.finish(),
    names,
    timestampsMs: Float64Array.from(times),
    rateHz: 1000 / periodMs,
  };
}

/** The last millisecond that a Date can be. */
const LATEST_MS = 8.64e15;

function checked(options: ResampleOptions): Required<ResampleOptions> {
  const { periodMs, method = "last", maxRows = DEFAULT_MAX_ROWS } = options;
  const maxGapMs = options.maxGapMs ?? DEFAULT_MAX_GAP_PERIODS * periodMs;
  if (!(periodMs >= 1e-3 && Number.isFinite(periodMs)) || !(maxGapMs >= 0) || !(maxRows >= 1)) {
    throw bad(
      `a period of ${periodMs} ms, a longest gap of ${maxGapMs} ms and at most ${maxRows} rows can't be; give numbers above 0`,
    );
  }
  return { periodMs, method, maxGapMs, maxRows };
}

function isoOf(ms: number): string {
  return new Date(ms).toISOString();
}

function bad(what: string): FleetError {
  return new FleetError("BAD_INPUT", what);
}
