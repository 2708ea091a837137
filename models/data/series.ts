/** A multivariate time series: one flat array, because an array of rows costs an agent its memory limit. */
export interface Series {
  readonly rows: number;
  readonly channels: number;
  /** (rows, channels), float32, row after row; NaN = missing. */
  readonly values: Float32Array;
  readonly names: readonly string[];
  /** (rows), milliseconds since 1970 UTC. */
  readonly timestampsMs?: Float64Array;
  /** Rows per second, where it is known. */
  readonly rateHz?: number;
}

/** Names for channels that have none: c1..cN, counted from 1 as in the root-cause files of SMD. */
export function channelNames(channels: number): string[] {
  return Array.from({ length: channels }, (_, c) => `c${c + 1}`);
}

/** Rows per second of most rows: gaps in a recording do not change it. */
export function rateOf(timestampsMs: Float64Array): number | undefined {
  const steps = timestampsMs.slice(1).map((t, i) => t - timestampsMs[i]!);
  const median = steps.sort()[Math.floor(steps.length / 2)] ?? 0;
  return median > 0 ? 1000 / median : undefined;
}

/** Rows from..to-1 of a series, as a view on the same memory. */
export function sliceSeries(series: Series, from: number, to: number): Series {
  const { channels, values, timestampsMs, ...rest } = series;
  return {
    ...rest,
    rows: to - from,
    channels,
    values: values.subarray(from * channels, to * channels),
    ...(timestampsMs ? { timestampsMs: timestampsMs.subarray(from, to) } : {}),
  };
}
