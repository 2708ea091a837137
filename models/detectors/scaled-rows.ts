import { rowScaler, type Scaler, scaleSeries } from "../data/scaling.ts";
import type { Recent } from "./detector.ts";
import type { ReadRows } from "./kind.ts";

export interface ScaledRowsOptions {
  /** true: what is missing has its channel's last value; false, where rows stand alone: 0, the channel's mean. */
  readonly inTime: boolean;
  /** The values are nobody else's and may be scaled in place. */
  readonly overwrite: boolean;
}

/**
 * The rows of a series in z-scores, without gaps. They are scaled as they are read, so that a device holds its data once; a series in time with gaps is
 * scaled as a whole, because a row can't know how far back the last value lies.
 */
export function scaledRows(
  series: Recent,
  scaler: Scaler,
  { inTime, overwrite }: ScaledRowsOptions,
): ReadRows {
  const { values, channels } = series;
  if (inTime && (overwrite || hasGaps(values))) {
    const out = overwrite ? values : new Float32Array(values.length);
    scaleSeries(scaler, values, { out, fill: true });
    return (first, count) => out.subarray(first * channels, (first + count) * channels);
  }
  const rows = rowScaler(scaler);
  let room = new Float32Array(0);
  return (first, count) => {
    const length = count * channels;
    if (room.length < length) room = new Float32Array(length);
    for (let at = 0, from = first * channels; at < length; at += channels, from += channels) {
      if (!inTime) rows.last.fill(0);
      rows.scaleRow(values.subarray(from, from + channels), room.subarray(at, at + channels));
    }
    return room.subarray(0, length);
  };
}

function hasGaps(values: Float32Array): boolean {
  for (let i = 0; i < values.length; i++) if (Number.isNaN(values[i]!)) return true;
  return false;
}
