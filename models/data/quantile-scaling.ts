import { FleetError } from "../../protocol/errors.ts";
import { countOf, type QuantileSketch, sketchQuantiles } from "./quantile-sketch.ts";
import { DEFAULT_CLIP, DEFAULT_SIGMA_FLOOR, type Scaler, type ScalerOptions } from "./scaling.ts";

/** Pairs of quantiles about the median, and how many standard deviations they are apart in normal numbers. */
const RANGES = [
  { low: 0.25, high: 0.75, sigmas: 1.349 },
  { low: 0.05, high: 0.95, sigmas: 3.2897 },
  { low: 0.01, high: 0.99, sigmas: 4.6527 },
] as const;

/**
 * A scaler that a few wild values can't move: z = (x - median) / (IQR / 1.349), which for normal numbers is the usual z-score. A channel
 * that stands still most of the time has an IQR of 0; there the range 5 % to 95 % counts, then 1 % to 99 %. Below all
 * of them stands the floor of `fitScaler`: `sigmaFloor` times the channel's typical size, here the largest of the three quartiles.
 * From the sketch of one device or of the whole fleet; where wild values outweigh the others, from a second one (`refinedFrame`).
 */
export function fitQuantileScaler(sketch: QuantileSketch, options: ScalerOptions = {}): Scaler {
  const { sigmaFloor = DEFAULT_SIGMA_FLOOR, clip = DEFAULT_CLIP } = options;
  if (!(sigmaFloor > 0) || !(clip > 0)) {
    throw new FleetError("BAD_INPUT", `sigmaFloor ${sigmaFloor} and clip ${clip} must both be above 0`);
  }
  const channels = sketch.channels.length;
  const mean = new Float64Array(channels);
  const sigma = new Float64Array(channels);
  for (let c = 0; c < channels; c++) {
    if (countOf(sketch.channels[c]!) === 0) {
      // Never seen: as `fitScaler` has it.
      sigma[c] = sigmaFloor;
      continue;
    }
    const [q25, q50, q75] = sketchQuantiles(sketch, c, [0.25, 0.5, 0.75]);
    const size = Math.max(Math.abs(q25!), Math.abs(q50!), Math.abs(q75!));
    const floor = sigmaFloor * (size > 0 ? size : 1);
    mean[c] = q50!;
    sigma[c] = floor;
    for (const { low, high, sigmas } of RANGES) {
      const [a, b] = sketchQuantiles(sketch, c, [low, high]);
      const spread = (b! - a!) / sigmas;
      // Within twice the resolution two values are not told apart.
      if (spread <= (2 * sketch.frame.resolution[c]!) / sigmas) continue;
      sigma[c] = Math.max(spread, floor);
      break;
    }
  }
  return { channels, mean, sigma, clip };
}
