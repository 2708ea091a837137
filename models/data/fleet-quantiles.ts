import { FleetError } from "../../protocol/errors.ts";
import { limits } from "../../protocol/limits.ts";
import { decodeSketch, encodeSketch } from "./quantile-codec.ts";
import { fitQuantileScaler } from "./quantile-scaling.ts";
import {
  countOf,
  emptySketch,
  mergeSketches,
  type QuantileSketch,
  sketchFrame,
  sketchValues,
  widest,
} from "./quantile-sketch.ts";
import type { Series } from "./series.ts";
import { type ChannelStatistics, decodeStatistics, encodeStatistics } from "./statistics.ts";
import type { RowRange } from "./windows.ts";

/**
 * Scaling by quantiles over a fleet, in two questions. The first is for means and variances, as federated scaling asks it; merged, they are the frame in which each device
 * then sketches its values. The merged sketch gives medians and ranges, which go into the version in the form of means and variances, so that devices scale by them as by any others.
 */

/** Of more, a sketch would not fit into a control message. */
export const MOST_SKETCHED_CHANNELS = 96;
/** Joined more often, a bucket is so wide that a device's sketch would spoil the fleet's: base 1.02^64, off by half the distance. */
const MOST_FLEET_LEVEL = 6;

/** Throws BAD_INPUT for more channels than can be sketched. */
export function checkSketchedChannels(channels: number): void {
  if (channels > MOST_SKETCHED_CHANNELS)
    throw new FleetError(
      "BAD_INPUT",
      `quantile scaling takes up to ${MOST_SKETCHED_CHANNELS} channels and there are ${channels}; take federated scaling`,
    );
}

/** A device's answer to the second question, at most `limits.statisticsBytes`. fleet: the merged statistics. */
export function sketchOf(
  { values, channels }: Pick<Series, "values" | "channels">,
  { from, to }: RowRange,
  fleet: Uint8Array,
): Uint8Array {
  checkSketchedChannels(channels);
  const sketch = emptySketch(sketchFrame(frameStatistics(fleet, channels)));
  sketchValues(sketch, values.subarray(from * channels, to * channels));
  for (;;) {
    const encoded = encodeSketch(sketch);
    if (encoded.length <= limits.statisticsBytes || !widest(sketch)) return encoded;
  }
}

/** What a device has answered. Throws BAD_MESSAGE, NOT_FINITE, BAD_SHAPE or OVER_WEIGHT. */
export function checkedSketch(
  encoded: Uint8Array,
  { fleet, maxSamples }: { readonly fleet: Uint8Array; readonly maxSamples: number },
): QuantileSketch {
  const sketch = decodeSketch(encoded);
  // In the frame that it was asked in, or mergeSketches throws.
  mergeSketches([emptySketch(sketchFrame(decodeStatistics(fleet))), sketch]);
  if (sketch.channels.some((channel) => countOf(channel) > maxSamples))
    throw new FleetError("OVER_WEIGHT", `the sketch is over more rows than the limit of ${maxSamples}`);
  if (sketch.channels.some(({ level }) => level > MOST_FLEET_LEVEL))
    throw new FleetError("BAD_MESSAGE", "the sketch is too coarse to be of use to the fleet");
  return sketch;
}

/** The fleet's medians and ranges, as `encodeStatistics` has means and variances. The order of the answers does not matter. */
export function quantileStatistics(answers: Iterable<Uint8Array>): Uint8Array {
  const merged = mergeSketches([...answers].map((encoded) => decodeSketch(encoded)));
  // The floor is the reader's, who has it in the task.
  const { channels, mean, sigma } = fitQuantileScaler(merged, { sigmaFloor: Number.EPSILON });
  const count = Float64Array.from(merged.channels, countOf);
  const most = MOST_FLOAT32 ** 2;
  const m2 = sigma.map((s, c) => count[c]! * Math.min(s * s, most - mean[c]! * mean[c]!));
  return encodeStatistics({ channels, count, mean, m2 });
}

const MOST_FLOAT32 = (2 - 2 ** -23) * 2 ** 127;

function frameStatistics(fleet: Uint8Array, channels: number): ChannelStatistics {
  const statistics = decodeStatistics(fleet);
  if (statistics.channels === channels) return statistics;
  throw new FleetError(
    "BAD_SHAPE",
    `the fleet's statistics are for ${statistics.channels} channels, this device has ${channels}`,
  );
}
