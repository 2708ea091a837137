import { FleetError } from "../../protocol/errors.ts";
import type { ChannelStatistics } from "./statistics.ts";

export {
  type ChannelStatistics,
  decodeStatistics,
  encodeStatistics,
  mergeInOrder,
  mergeStatistics,
  seriesStatistics,
} from "./statistics.ts";

export interface ScalerOptions {
  /** Smallest sigma, as a part of the channel's typical size (see `fitScaler`). */
  readonly sigmaFloor?: number;
  /** z-scores are held within -clip..clip. */
  readonly clip?: number;
}

/** z = (x - mean) / sigma, held within +-clip. Plain data. */
export interface Scaler {
  readonly channels: number;
  /** (channels) each. */
  readonly mean: Float64Array;
  readonly sigma: Float64Array;
  readonly clip: number;
}

/** Measured on SMD with a ridge VAR(3): AUC-PR .62 at 0.01 and 0.05, .57 at 0.001, .53 with sigma = 1 for constant channels. */
export const DEFAULT_SIGMA_FLOOR = 0.01;
/** Ten sigma is far outside whatever the training saw; measured, 5 loses AUC-PR and no clip gains nothing. */
export const DEFAULT_CLIP = 10;

/**
 * A scaler from channel statistics, of one device or of the fleet.
 *
 * A channel that was (nearly) constant has no scale of its own, and dividing by its sigma would let a rounding error
 * outweigh all other channels. So sigma is at least `sigmaFloor` times the channel's typical size, its root mean square:
 * a change of 1 % of what the sensor usually shows counts as one sigma. A channel that was always zero has no size
 * either; there the floor itself is the sigma, which suits data in [0, 1] and is bounded by `clip` elsewhere.
 */
export function fitScaler(statistics: ChannelStatistics, options: ScalerOptions = {}): Scaler {
  const { sigmaFloor = DEFAULT_SIGMA_FLOOR, clip = DEFAULT_CLIP } = options;
  if (!(sigmaFloor > 0) || !(clip > 0)) {
    throw new FleetError("BAD_INPUT", `sigmaFloor ${sigmaFloor} and clip ${clip} must both be above 0`);
  }
  const { channels, count, mean, m2 } = statistics;
  const sigma = new Float64Array(channels);
  for (let c = 0; c < channels; c++) {
    const variance = count[c]! > 0 ? m2[c]! / count[c]! : 0;
    const size = Math.sqrt(variance + mean[c]! * mean[c]!);
    sigma[c] = Math.max(Math.sqrt(variance), sigmaFloor * (size > 0 ? size : 1));
  }
  return { channels, mean: mean.slice(), sigma, clip };
}

/** For values that are to stay as they are, such as the pixels of an image. */
export function identityScaler(channels: number, clip: number): Scaler {
  return { channels, mean: new Float64Array(channels), sigma: new Float64Array(channels).fill(1), clip };
}

/** Scales rows as they come and remembers, per channel, the last value that was there. */
export interface RowScaler {
  /**
   * Scales one row (channels). A missing value becomes the channel's last valid one, or 0 (its mean) when there was
   * none. `target`, where given, gets the same but NaN for what is missing, so that no residual is made of it.
   */
  scaleRow(row: Float32Array, out: Float32Array, target?: Float32Array): void;
  /** (channels): the last valid z-scores. Hand them to `rowScaler` to go on after a restart. */
  readonly last: Float32Array;
}

export function rowScaler(scaler: Scaler, last = new Float32Array(scaler.channels)): RowScaler {
  const { channels, mean, sigma, clip } = scaler;
  return {
    last,
    scaleRow(row, out, target) {
      for (let c = 0; c < channels; c++) {
        const z = (row[c]! - mean[c]!) / sigma[c]!;
        const missing = Number.isNaN(z);
        if (!missing) last[c] = Math.min(clip, Math.max(-clip, z));
        out[c] = last[c]!;
        if (target) target[c] = missing ? Number.NaN : last[c]!;
      }
    },
  };
}

export interface ScaleSeriesOptions {
  /** Where the z-scores go; the series' own values may be given to scale in place. */
  readonly out?: Float32Array;
  /** true: missing values are filled as `scaleRow` does; false: they stay NaN. */
  readonly fill: boolean;
}

/** Scales a whole series (rows, channels) as a RowScaler would. */
export function scaleSeries(scaler: Scaler, values: Float32Array, options: ScaleSeriesOptions): Float32Array {
  const { channels } = scaler;
  const out = options.out ?? new Float32Array(values.length);
  const rows = rowScaler(scaler);
  const filled = new Float32Array(channels);
  for (let at = 0; at < values.length; at += channels) {
    const to = out.subarray(at, at + channels);
    if (options.fill) rows.scaleRow(values.subarray(at, at + channels), to);
    else rows.scaleRow(values.subarray(at, at + channels), filled, to);
  }
  return out;
}
