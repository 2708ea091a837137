import { type Scaler, scaleSeries } from "../data/scaling.ts";
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
  const { mean, sigma, clip } = scaler;
  let room = new Float32Array(0);
  return (first, count) => {
    const length = count * channels;
    if (room.length < length) room = new Float32Array(length);
    for (let i = 0, from = first * channels, c = 0; i < length; i++, c = c + 1 === channels ? 0 : c + 1) {
      const z = (values[from + i]! - mean[c]!) / sigma[c]!;
      room[i] = Number.isNaN(z) ? 0 : Math.min(clip, Math.max(-clip, z));
    }
    return room.subarray(0, length);
  };
}

function hasGaps(values: Float32Array): boolean {
  for (let i = 0; i < values.length; i++) if (Number.isNaN(values[i]!)) return true;
  return false;
}
