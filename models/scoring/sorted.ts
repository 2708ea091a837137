import { FleetError } from "../../protocol/errors.ts";

/** Held-back scores in rising order, without NaN. Throws BAD_INPUT when there is no score, or an infinite one. */
export function sortedScores(scores: Float32Array | Float64Array): Float64Array {
  const seen = Float64Array.from(scores).filter((score) => !Number.isNaN(score));
  if (seen.length === 0) {
    throw new FleetError(
      "BAD_INPUT",
      "there are no held-back scores to set a threshold from; give more normal data",
    );
  }
  if (!seen.every(Number.isFinite)) {
    throw new FleetError("BAD_INPUT", "a held-back score is infinite; the detector diverged, train it again");
  }
  return seen.sort();
}

/** The q-quantile with linear interpolation between the two nearest scores (Hyndman and Fan 1996, type 7). */
export function quantileOfSorted(sorted: Float64Array, q: number): number {
  if (!(q >= 0 && q <= 1)) throw new FleetError("BAD_INPUT", `quantile ${q} is not within 0 to 1`);
  const at = (sorted.length - 1) * q;
  const low = sorted[Math.floor(at)]!;
  return low + (sorted[Math.ceil(at)]! - low) * (at - Math.floor(at));
}
