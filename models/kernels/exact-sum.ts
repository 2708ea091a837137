import { FleetError } from "../../protocol/errors.ts";
import { instantiate } from "./load.ts";

/** Values of this size and larger are refused. */
export const MAX_VALUE = 2 ** 20;
export const MAX_WEIGHT = 2 ** 24;
/** The sum of weight * |value|, taken at each update's largest value, may not pass this: half of what 128 bits hold. */
export const MAX_TOTAL = 2 ** 54;

/** How many values are in the kernels' memory at a time, beside the accumulators. */
const SLAB = 16_384;
const ACCUMULATOR_BYTES = 16;

/**
 * A weighted sum of vectors that does not depend on the order of `add`: each element is a 128-bit integer in units of
 * 2^-72, to which weight * value is added exactly, but for bits below 2^-72, which are rounded value by value.
 * Memory is 16 bytes a parameter, however many updates come.
 */
export interface ExactSum {
  readonly length: number;
  /** Sum of the weights added so far. */
  readonly totalWeight: number;
  /** Number of vectors added so far. */
  readonly updates: number;
  /**
   * Adds weight * values. All or nothing: throws BAD_SHAPE (length), NOT_FINITE (NaN, Inf) or OVER_WEIGHT (a value of
   * 2^20 or more, a weight that is not an integer in 1..2^24, or a sum that could overflow) before anything is added.
   */
  add(values: Float32Array, weight: number): void;
  /** sum / totalWeight. Throws NOT_FOUND while nothing was added. */
  mean(): Float64Array;
  /** The raw accumulators, 16 bytes a parameter, little-endian: equal bytes mean equal sums. */
  bits(): Uint8Array;
  reset(): void;
}

export async function createExactSum(length: number): Promise<ExactSum> {
  if (!Number.isSafeInteger(length) || length < 0) {
    throw new FleetError("BAD_INPUT", `a sum needs a whole number of parameters, not ${length}`);
  }
  const slab = Math.min(SLAB, length);
  const kernels = await instantiate(length * ACCUMULATOR_BYTES + slab * 8 + 64);
  const accumulators = (kernels.heapBase() + 15) & ~15;
  const scratch = accumulators + length * ACCUMULATOR_BYTES;
  const buffer = kernels.memory.buffer;
  const bytes = new Uint8Array(buffer, accumulators, length * ACCUMULATOR_BYTES);
  const values = new Float32Array(buffer, scratch, slab);
  const means = new Float64Array(buffer, scratch, slab);
  let totalWeight = 0;
  let updates = 0;
  let reached = 0; // sum of weight * largest |value|, never less than any element's true magnitude

  /** Calls `work` for each slab after it was copied to the scratch. */
  function eachSlab(source: Float32Array, work: (start: number, count: number) => void): void {
    for (let start = 0; start < length; start += SLAB) {
      const count = Math.min(SLAB, length - start);
      values.set(source.subarray(start, start + count));
      work(start, count);
    }
  }

  return {
    length,
    get totalWeight() {
      return totalWeight;
    },
    get updates() {
      return updates;
    },
    add(source, weight) {
      if (source.length !== length) {
        throw new FleetError("BAD_SHAPE", `update has ${source.length} values, the sum has ${length}`);
      }
      if (!Number.isInteger(weight) || weight < 1 || weight > MAX_WEIGHT) {
        throw new FleetError("OVER_WEIGHT", `weight must be a whole number from 1 to 2^24, not ${weight}`);
      }
      let topBits = 0;
      eachSlab(source, (_, count) => {
        topBits = Math.max(topBits, kernels.maxAbsBits(scratch, count));
      });
      const top = floatOfBits(topBits);
      if (!Number.isFinite(top)) {
        throw new FleetError("NOT_FINITE", "update holds NaN or Inf; nothing of it was added");
      }
      if (top >= MAX_VALUE) {
        throw new FleetError("OVER_WEIGHT", `update holds a value of magnitude ${top}, the limit is 2^20`);
      }
      if (reached + weight * top > MAX_TOTAL) {
        throw new FleetError(
          "OVER_WEIGHT",
          "the sum could pass 2^54; close the round, or add smaller updates",
        );
      }
      eachSlab(source, (start, count) => {
        kernels.exactAdd(accumulators + start * ACCUMULATOR_BYTES, scratch, count, weight);
      });
      reached += weight * top;
      totalWeight += weight;
      updates += 1;
    },
    mean() {
      if (updates === 0) throw new FleetError("NOT_FOUND", "there is no mean yet: no update was added");
      const out = new Float64Array(length);
      for (let start = 0; start < length; start += SLAB) {
        const count = Math.min(SLAB, length - start);
        kernels.exactMean(accumulators + start * ACCUMULATOR_BYTES, count, totalWeight, scratch);
        out.set(means.subarray(0, count), start);
      }
      return out;
    },
    bits: () => bytes.slice(),
    reset() {
      bytes.fill(0);
      totalWeight = 0;
      updates = 0;
      reached = 0;
    },
  };
}

function floatOfBits(bits: number): number {
  return new Float32Array(Uint32Array.of(bits).buffer)[0]!;
}
