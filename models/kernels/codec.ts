import { FleetError } from "../../protocol/errors.ts";
import { createRandom } from "../engine/random.ts";
import { MAX_VALUE } from "./exact-sum.ts";
import { instantiate } from "./load.ts";

/** Values that share a scale. */
export const BLOCK = 256;

/** Four generators of four words, side by side: word w of generator l stands at 4 w + l. */
const STATE_WORDS = 16;
const COUNT_WORDS = 4096;

/** A change in 8 bits a value: value i is codes[i] * scales[i / 256, rounded down]. */
export interface Quantised {
  readonly codes: Int8Array;
  readonly scales: Float32Array;
}

/** The values of a change that are not zero, by rising index. */
export interface Sparse {
  readonly indexes: Uint32Array;
  readonly values: Float32Array;
}

/**
 * Codecs for changes of `length` values. All or nothing: what throws has written nothing. Encoding throws BAD_SHAPE (length), NOT_FINITE (NaN,
 * Inf) or OVER_WEIGHT (2^20 or more, which the exact sum would refuse); adding throws BAD_SHAPE, BAD_MESSAGE (what no encoder writes) or
 * NOT_FINITE (the sum is not finite).
 */
export interface Codec {
  readonly length: number;
  /**
   * Each block of 256 values in steps of its largest magnitude / 127, rounded to float32. To the nearest step, ties to even, an error is at most
   * (1/2 + 2^-15) steps. With a `seed`, up or down by chance: an error is below 1 + 2^-15 steps, and its mean is zero but for
   * float rounding, 2^-15 steps. Draw a new seed for each device and round, or their errors add up. Blocks wholly below
   * 127 * 2^-126 become zeros.
   * Source: the blocks' norm and the rounding by chance, Alistarh et al. 2017 (QSGD), arXiv 1610.02132.
   */
  quantise(change: Float32Array, options?: { readonly seed?: number }): Quantised;
  addQuantised(update: Quantised, into: Float32Array): void;
  /**
   * Exactly the k values of largest magnitude, ties to the lowest index. With `feedback`, what earlier calls left out, it is added to the change
   * first, and then becomes what this call left out: values and feedback together are change + feedback
   * in float32, bit for bit.
   * Source: Stich et al. 2018, arXiv 1809.07599, Algorithm 1; Karimireddy et al. 2019, arXiv 1901.09847.
   */
  sparsify(change: Float32Array, options: { readonly k: number; readonly feedback?: Float32Array }): Sparse;
  addSparse(update: Sparse, into: Float32Array): void;
}

export async function createCodec(length: number): Promise<Codec> {
  if (!Number.isSafeInteger(length) || length < 1) {
    throw new FleetError(
      "BAD_INPUT",
      `a codec needs a whole number of parameters, at least 1, not ${length}`,
    );
  }
  const blocks = Math.ceil(length / BLOCK);
  const bytes = Math.ceil(length / 4) * 16;
  const kernels = await instantiate(3 * bytes + (COUNT_WORDS + STATE_WORDS) * 4 + 64);
  const x = (kernels.heapBase() + 15) & ~15;
  const first = x + bytes; // codes, indexes or, before them, the feedback
  const second = first + bytes; // scales or values
  const state = second + bytes;
  const counts = state + STATE_WORDS * 4;
  const buffer = kernels.memory.buffer;
  const floats = new Float32Array(buffer, x, length);

  /** The floats must be a change that can be sent. */
  function checkRange(): void {
    const top = floatOfBits(kernels.maxAbsBits(x, length));
    if (!Number.isFinite(top)) {
      throw new FleetError("NOT_FINITE", "the change holds NaN or Inf; nothing of it was encoded");
    }
    if (top >= MAX_VALUE) {
      throw new FleetError("OVER_WEIGHT", `the change holds a value of magnitude ${top}, the limit is 2^20`);
    }
  }

  function checkLength(what: string, got: number, wanted = length): void {
    if (got === wanted) return;
    throw new FleetError("BAD_SHAPE", `${what} has ${got} values, the codec needs ${wanted}`);
  }

  function seedState(seed: number): void {
    const source = createRandom(seed);
    const words = new Uint32Array(buffer, state, STATE_WORDS);
    for (let i = 0; i < STATE_WORDS; i++) words[i] = source.bits() | (i < 12 ? 0 : 1); // no generator may be all zero
  }

  return {
    length,
    quantise(change, { seed } = {}) {
      checkLength("the change", change.length);
      floats.set(change);
      checkRange();
      if (seed !== undefined) seedState(seed);
      kernels.encodeInt8(x, length, first, second, seed === undefined ? 0 : state);
      return {
        codes: new Int8Array(buffer, first, length).slice(),
        scales: new Float32Array(buffer, second, blocks).slice(),
      };
    },
    addQuantised({ codes, scales }, into) {
      checkLength("the sum", into.length);
      checkLength("the update", codes.length);
      checkLength("the update's list of scales", scales.length, blocks);
      if (scales.some((scale) => scale < 0)) {
        throw new FleetError("BAD_MESSAGE", "the update has a scale below zero; nothing of it was added");
      }
      floats.set(into);
      new Int8Array(buffer, first, length).set(codes);
      new Float32Array(buffer, second, blocks).set(scales);
      if (kernels.addInt8(first, second, length, x) === 0) {
        throw new FleetError(
          "BAD_MESSAGE",
          "the update has a code of -128, the least is -127; nothing of it was added",
        );
      }
      // Also shows a scale that is NaN or Inf, as even a code of zero times it is NaN.
      if (!Number.isFinite(floatOfBits(kernels.maxAbsBits(x, length)))) throw sumNotFinite();
      into.set(floats);
    },
    sparsify(change, { k, feedback }) {
      checkLength("the change", change.length);
      if (!Number.isInteger(k) || k < 1 || k > length) {
        throw new FleetError("BAD_INPUT", `k must be a whole number from 1 to ${length}, not ${k}`);
      }
      floats.set(change);
      if (feedback) {
        checkLength("the feedback", feedback.length);
        new Float32Array(buffer, first, length).set(feedback);
        kernels.addTo(x, first, length);
      }
      checkRange();
      kernels.takeTop(x, length, k, counts, first, second);
      feedback?.set(floats);
      return {
        indexes: new Uint32Array(buffer, first, k).slice(),
        values: new Float32Array(buffer, second, k).slice(),
      };
    },
    // Not a kernel: to bring the whole sum into the kernels' memory and back costs more than to add a few values.
    addSparse({ indexes, values }, into) {
      checkLength("the sum", into.length);
      checkLength("the update's list of values", values.length, indexes.length);
      let next = 0;
      for (let j = 0; j < indexes.length; j++) {
        const index = indexes[j]!;
        if (index < next || index >= length) {
          throw new FleetError(
            "BAD_MESSAGE",
            `index ${index} of the update does not rise or is not below ${length}; nothing of it was added`,
          );
        }
        if (!Number.isFinite(Math.fround(into[index]! + values[j]!))) throw sumNotFinite();
        next = index + 1;
      }
      for (let j = 0; j < indexes.length; j++) into[indexes[j]!]! += values[j]!;
    },
  };
}

function sumNotFinite(): FleetError {
  return new FleetError("NOT_FINITE", "with the update the sum holds NaN or Inf; nothing of it was added");
}

function floatOfBits(bits: number): number {
  return new Float32Array(Uint32Array.of(bits).buffer)[0]!;
}
