import { FleetError } from "../../protocol/errors.ts";
import type { ChannelStatistics } from "./statistics.ts";

/** The point that all sketches of a fleet measure from, and how fine they are there. Part of what is shared before the sketching. */
export interface SketchFrame {
  /** (channels): distances are from here. */
  readonly centre: Float64Array;
  /** (channels), above 0: values nearer to the centre than this are not told apart. */
  readonly resolution: Float64Array;
  /** Buckets that one channel may have; when there are more, the buckets are made wider. */
  readonly maxBuckets: number;
}

/** How many values of a channel fell into each bucket. */
export interface ChannelSketch {
  /** How often neighbouring buckets were joined: the base is BASE ** (2 ** level). */
  level: number;
  /**
   * Count by bucket. Bucket i > 0 holds distances above resolution * base^(i - 1), up to resolution * base^i; -i the same below the
   * centre; 0 what is nearer than the resolution.
   */
  counts: Map<number, number>;
}

export interface QuantileSketch {
  readonly frame: SketchFrame;
  /** (channels) */
  readonly channels: readonly ChannelSketch[];
}

/** Relative error of a distance before any joining. */
export const INITIAL_ACCURACY = 0.01;
const BASE = (1 + INITIAL_ACCURACY) / (1 - INITIAL_ACCURACY);
/** Keeps the error at 2 to 4 % for sensor data; 38 channels of server metrics (SMD) then take 8 to 13 KB, which fits a control message. */
export const DEFAULT_MAX_BUCKETS = 256;
/** The resolution, as a part of the fleet's sigma: far below any quantile that a scaler needs. */
const RESOLUTION = 1e-3;
/** Joining that often makes one bucket of any two float64. */
export const MOST_LEVELS = 20;

/**
 * The frame for a fleet's sketches from its merged mean and variance, so that the error is relative to the distance from the
 * mean and not from zero: a pressure of 101,325 +- 50 Pa keeps its quartiles. Median and quartiles lie within sqrt(3) sigma of the mean
 * (Cantelli's inequality), so at accuracy a they are off by at most 1.74 a sigma and the resolution.
 */
export function sketchFrame(statistics: ChannelStatistics, maxBuckets = DEFAULT_MAX_BUCKETS): SketchFrame {
  if (!Number.isInteger(maxBuckets) || maxBuckets < 3)
    throw new FleetError("BAD_INPUT", `maxBuckets ${maxBuckets} must be a whole number of 3 or more`);
  const { count, mean, m2 } = statistics;
  const resolution = mean.map((m, c) => {
    const sigma = count[c]! > 0 ? Math.sqrt(m2[c]! / count[c]!) : 0;
    // A constant channel: the last digits of a float32 are all that can differ.
    return RESOLUTION * (sigma > 0 ? sigma : Math.abs(m) > 0 ? RESOLUTION * Math.abs(m) : 1);
  });
  return {
    centre: mean.slice(),
    resolution: resolution.map((r) => Math.max(r, SMALLEST_RESOLUTION)),
    maxBuckets,
  };
}

/**
 * The frame for a second pass, about the median that the first one found. Wild values (one in a hundred a thousand times too large) make mean and
 * sigma, and so the first frame, too coarse to tell the quartiles of the others; they hardly move this one.
 */
export function refinedFrame(sketch: QuantileSketch): SketchFrame {
  const { frame, channels } = sketch;
  const centre = frame.centre.slice();
  const resolution = frame.resolution.slice();
  channels.forEach((channel, c) => {
    const [q25, q50, q75] = sketchQuantiles(sketch, c, [0.25, 0.5, 0.75]);
    if (Number.isNaN(q50!)) return;
    const uncertain = accuracyOf(channel) * Math.abs(q50! - frame.centre[c]!) + frame.resolution[c]!;
    centre[c] = q50!;
    resolution[c] = Math.max(SMALLEST_RESOLUTION, RESOLUTION * Math.max(q75! - q25!, uncertain));
  });
  return { centre, resolution, maxBuckets: frame.maxBuckets };
}

/** So that a distance divided by it stays finite. */
const SMALLEST_RESOLUTION = 1e-200;

export function emptySketch(frame: SketchFrame): QuantileSketch {
  return { frame, channels: Array.from(frame.centre, () => ({ level: 0, counts: new Map() })) };
}

/**
 * Takes rows (rows, channels) into the sketch, in place; NaN and infinities are skipped. DDSketch with uniform collapse: what leaves a
 * device is how many values fell into each bucket, and no value. Buckets of any set of values are the same however it was
 * divided and in whatever order it was merged, to the last bit. (KLL and t-digest keep values of the device, and depend on the
 * order; they bound the rank's error, this one the value's.)
 * Source: Masson, Rim, Lee 2019, DDSketch, VLDB 12(12); Epicoco et al. 2020, UDDSketch, IEEE Access 8.
 */
export function sketchValues(sketch: QuantileSketch, values: Float32Array | Float64Array): void {
  const { frame, channels } = sketch;
  for (let i = 0, c = 0; i < values.length; i++, c = c + 1 === channels.length ? 0 : c + 1) {
    const distance = values[i]! - frame.centre[c]!;
    if (!Number.isFinite(distance)) continue;
    const channel = channels[c]!;
    const bucket = bucketOf(distance / frame.resolution[c]!, channel.level);
    channel.counts.set(bucket, (channel.counts.get(bucket) ?? 0) + 1);
    if (channel.counts.size > frame.maxBuckets) collapse(channel, frame.maxBuckets);
  }
}

/** The sketch of all values together. Throws BAD_SHAPE for sketches of different frames. */
export function mergeSketches(sketches: readonly QuantileSketch[]): QuantileSketch {
  const first = sketches[0];
  if (!first)
    throw new FleetError("BAD_INPUT", "there are no sketches to merge; wait for at least one device");
  const merged = emptySketch(first.frame);
  for (const { frame, channels } of sketches) {
    if (!sameFrame(frame, first.frame))
      throw new FleetError(
        "BAD_SHAPE",
        "a sketch has another frame than the fleet's; the device must sketch again",
      );
    channels.forEach((from, c) => {
      const to = merged.channels[c]!;
      while (to.level < from.level) widen(to);
      for (const [bucket, count] of from.counts) {
        const wider = joined(bucket, to.level - from.level);
        to.counts.set(wider, (to.counts.get(wider) ?? 0) + count);
      }
      collapse(to, frame.maxBuckets);
    });
  }
  return merged;
}

/** Joins the buckets of the channel that has most of them, for a sketch that must be smaller; false where no channel has two. */
export function widest({ channels }: QuantileSketch): boolean {
  const most = channels.reduce((a, b) => (b.counts.size > a.counts.size ? b : a));
  if (most.counts.size < 2 || most.level >= MOST_LEVELS) return false;
  widen(most);
  return true;
}

/** The relative error that a quantile's distance from the centre may have, in one channel. */
export function accuracyOf({ level }: ChannelSketch): number {
  const base = BASE ** (2 ** level);
  return Number.isFinite(base) ? (base - 1) / (base + 1) : 1;
}

export function countOf({ counts }: ChannelSketch): number {
  let sum = 0;
  for (const count of counts.values()) sum += count;
  return sum;
}

/**
 * The q-quantiles of one channel, for rising or falling q alike: within `accuracyOf` of the distance from the centre, and `resolution`, of the
 * floor(q (n - 1))-th smallest value. NaN where no value was seen.
 */
export function sketchQuantiles(sketch: QuantileSketch, channel: number, qs: readonly number[]): number[] {
  const one = sketch.channels[channel]!;
  const sorted = [...one.counts].sort(([a], [b]) => a - b);
  const n = countOf(one);
  return qs.map((q) => {
    if (!(q >= 0 && q <= 1)) throw new FleetError("BAD_INPUT", `quantile ${q} is not within 0 to 1`);
    let left = Math.floor(q * (n - 1));
    for (const [bucket, count] of sorted) {
      if (left < count) return bucketValue(sketch.frame, channel, bucket, one.level);
      left -= count;
    }
    return Number.NaN;
  });
}

function bucketOf(distance: number, level: number): number {
  const size = Math.abs(distance);
  if (size <= 1) return 0;
  const bucket = joined(Math.max(1, Math.ceil(Math.log(size) / Math.log(BASE))), level);
  return distance > 0 ? bucket : -bucket;
}

/** ceil(bucket / 2^levels) away from 0: (b^(i - 1), b^i] and its neighbour are one bucket to the base b^2. */
function joined(bucket: number, levels: number): number {
  const size = Math.ceil(Math.abs(bucket) / 2 ** levels);
  return bucket < 0 ? -size : size;
}

/** Only as often as needed: so the level follows from the set of values alone, and the order does not matter. */
function collapse(channel: ChannelSketch, maxBuckets: number): void {
  while (channel.counts.size > maxBuckets) widen(channel);
}

function widen(channel: ChannelSketch): void {
  const counts = new Map<number, number>();
  for (const [bucket, count] of channel.counts) {
    const wider = joined(bucket, 1);
    counts.set(wider, (counts.get(wider) ?? 0) + count);
  }
  channel.counts = counts;
  channel.level++;
}

/** The value whose distance is off by the same part at both ends of its bucket. */
function bucketValue(frame: SketchFrame, channel: number, bucket: number, level: number): number {
  const centre = frame.centre[channel]!;
  if (bucket === 0) return centre;
  const base = BASE ** (2 ** level);
  const upper = Math.log(base) * Math.abs(bucket);
  const distance = frame.resolution[channel]! * Math.exp(upper) * (2 / (base + 1));
  const value = centre + Math.sign(bucket) * distance;
  // Very wide buckets reach beyond what float32 data can hold.
  return Number.isNaN(value) ? centre : Math.min(MOST, Math.max(-MOST, value));
}

/** The largest float32: no value was larger. */
const MOST = (2 - 2 ** -23) * 2 ** 127;

function sameFrame(a: SketchFrame, b: SketchFrame): boolean {
  const same = (x: Float64Array, y: Float64Array) => x.length === y.length && x.every((v, i) => v === y[i]);
  return a.maxBuckets === b.maxBuckets && same(a.centre, b.centre) && same(a.resolution, b.resolution);
}
