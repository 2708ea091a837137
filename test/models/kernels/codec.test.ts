import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { BLOCK, createCodec } from "../../../models/kernels/codec.ts";
import { createExactSum } from "../../../models/kernels/exact-sum.ts";
import { builds } from "../../../models/kernels/load.ts";
import * as reference from "../../../models/kernels/reference/codec.ts";
import { randomFloats } from "../engine/support.ts";
import { kernelArena } from "./arena.ts";

/** Lengths about the vector, the byte vector and the block. */
const LENGTHS = [1, 2, 3, 4, 5, 15, 16, 17, 255, 256, 257, 300, 511, 513, 1_000];
const wide = fc.float({ noNaN: true, noDefaultInfinity: true, min: -1_048_575, max: 1_048_575 });
const tiny = fc.integer({ min: 0, max: 2 ** 24 }).map((bits) => floatOf(bits * 5)); // subnormal to 2^-98
const halves = fc.integer({ min: -254, max: 254 }).map((n) => n / 2); // ties, and many of equal magnitude
/** Of one kind each, so that blocks of tiny values and blocks of ties come up. */
const vector = fc
  .constantFrom(...LENGTHS)
  .chain((length) =>
    fc.oneof(
      ...[wide, tiny, halves, fc.oneof(wide, tiny, halves, fc.constant(-0))].map((value) =>
        fc.array(value, { minLength: length, maxLength: length, size: "max" }),
      ),
    ),
  )
  .map((values) => Float32Array.from(values));

function floatOf(bits: number): number {
  return new Float32Array(Uint32Array.of(bits).buffer)[0]!;
}
const bitsOf = (x: Float32Array) => [...new Uint32Array(x.buffer, x.byteOffset, x.length)];

describe.each(builds())("codec kernels, %s build", (build) => {
  it("int8 - codes, scales and sums are the reference's bits, and nothing past them is touched", async () => {
    const arena = await kernelArena(1 << 20, build);
    const { kernels, put } = arena;
    const check = (values: Float32Array, words?: Uint32Array) => {
      arena.clear();
      const n = values.length;
      const x = put(values);
      const codes = put(new Float32Array(Math.ceil(n / 4)));
      const codeBytes = new Int8Array(kernels.memory.buffer, codes.address, Math.ceil(n / 4) * 4).fill(99);
      const scales = put(new Float32Array(Math.ceil(n / BLOCK)));
      const state = put(new Float32Array(16));
      if (words) new Uint32Array(kernels.memory.buffer, state.address, 16).set(words);
      kernels.encodeInt8(x.address, n, codes.address, scales.address, words ? state.address : 0);
      const expected = reference.quantise(values, words);
      expect([...codeBytes.slice(0, n)]).toEqual([...expected.codes]);
      expect(codeBytes.slice(n).every((byte) => byte === 99)).toBe(true);
      expect(bitsOf(scales.view)).toEqual(bitsOf(expected.scales));
      expect(bitsOf(x.view)).toEqual(bitsOf(values));
      const sum = randomFloats(n, n);
      const y = put(sum);
      expect(kernels.addInt8(codes.address, scales.address, n, y.address)).toBe(1);
      reference.addQuantised(expected, sum);
      expect(bitsOf(y.view)).toEqual(bitsOf(sum));
      expect(arena.intact()).toBe(true);
    };
    fc.assert(
      fc.property(vector, (values) => check(values)),
      { numRuns: 200, seed: 1 },
    );
    const words = fc.uint32Array({ minLength: 16, maxLength: 16 });
    fc.assert(
      fc.property(vector, words, (values, state) => check(values, state)),
      { numRuns: 200, seed: 2 },
    );
  });

  it("int8 - by chance never writes -128, also where the largest value is a last bit above 127 steps", async () => {
    const { kernels, put } = await kernelArena(1 << 16, build);
    const { fround } = Math;
    const above = Array.from({ length: 1_000 }, (_, i) => fround(1 + i / 1_000)).filter(
      (top) => fround(top / fround(top / 127)) > 127,
    );
    expect(above.length).toBeGreaterThan(0);
    const [codes, scales, state] = [put([0]), put([0]), put(new Float32Array(16))]; // of all zeros: it always rounds up
    for (const top of above) {
      kernels.encodeInt8(put([-top, top / 2]).address, 2, codes.address, scales.address, state.address);
      expect([...new Int8Array(kernels.memory.buffer, codes.address, 2)]).toEqual([-127, 64]);
    }
  });

  it("top k - takes what sorting takes, leaves the rest, and touches nothing past them", async () => {
    const arena = await kernelArena(1 << 20, build);
    const { kernels, put } = arena;
    fc.assert(
      fc.property(vector, fc.double({ min: 0, max: 1, noNaN: true }), (values, part) => {
        arena.clear();
        const n = values.length;
        const k = Math.max(1, Math.round(n * part));
        const x = put(values);
        const counts = put(new Float32Array(4096));
        const indexes = put(new Float32Array(k));
        const taken = put(new Float32Array(k));
        kernels.takeTop(x.address, n, k, counts.address, indexes.address, taken.address);
        const expected = reference.sparsify(values, k);
        expect(bitsOf(indexes.view)).toEqual([...expected.indexes]);
        expect(bitsOf(taken.view)).toEqual(bitsOf(expected.values));
        expect(bitsOf(x.view)).toEqual(bitsOf(expected.rest));
        expect(arena.intact()).toBe(true);
      }),
      { numRuns: 400, seed: 3 },
    );
  });
});

it("quantise - errors stay within the stated part of a step, and within a whole one by chance", async () => {
  const codecs = new Map(
    await Promise.all(LENGTHS.map(async (length) => [length, await createCodec(length)] as const)),
  );
  fc.assert(
    fc.property(vector, fc.option(fc.nat(), { nil: undefined }), (values, seed) => {
      const codec = codecs.get(values.length)!;
      const update = codec.quantise(values, seed === undefined ? {} : { seed });
      const decoded = new Float32Array(values.length);
      codec.addQuantised(update, decoded);
      const part = (seed === undefined ? 0.5 : 1) + 2 ** -15;
      values.forEach((value, i) => {
        const scale = update.scales[Math.floor(i / BLOCK)]!;
        const bound = scale === 0 ? 127 * 2 ** -126 : part * scale;
        expect(Math.abs(decoded[i]! - value)).toBeLessThanOrEqual(bound);
      });
    }),
    { numRuns: 300, seed: 4 },
  );
});

it("quantise - by chance is unbiased, and each value errs with the variance of its place between two steps", async () => {
  const length = 301;
  const codec = await createCodec(length);
  const values = randomFloats(length, 5);
  const { scales } = codec.quantise(values);
  const runs = 4_000;
  const sums = new Float64Array(length);
  const squares = new Float64Array(length);
  let nearest = 0;
  for (let seed = 0; seed < runs; seed++) {
    const { codes } = codec.quantise(values, { seed });
    codes.forEach((code, i) => {
      const error = code - values[i]! / scales[Math.floor(i / BLOCK)]!;
      sums[i]! += error;
      squares[i]! += error ** 2;
    });
  }
  let worst = 0;
  for (let i = 0; i < length; i++) {
    const steps = Math.abs(values[i]! / scales[Math.floor(i / BLOCK)]!);
    const p = steps - Math.floor(steps);
    const deviation = Math.sqrt((p * (1 - p)) / runs);
    // Five deviations over 301 values: by chance once in 5000 seeds of this test. 2^-15 is the rounding that is stated.
    expect(Math.abs(sums[i]! / runs)).toBeLessThan(5 * deviation + 2 ** -15);
    expect(squares[i]! / runs).toBeCloseTo(p * (1 - p), 1);
    worst = Math.max(worst, Math.abs(sums[i]! / runs));
    nearest = Math.max(nearest, Math.abs(steps - Math.round(steps)));
  }
  // To the nearest step would have been off by this much, always.
  expect(nearest).toBeGreaterThan(10 * worst);
});

it("quantise - the same seed gives the same bits, another one others", async () => {
  const codec = await createCodec(1_000);
  const values = randomFloats(1_000, 6);
  const { codes } = codec.quantise(values, { seed: 7 });
  expect((await createCodec(1_000)).quantise(values, { seed: 7 }).codes).toEqual(codes);
  expect(codec.quantise(values, { seed: 8 }).codes).not.toEqual(codes);
});

it("top k - with feedback nothing is lost: all that was sent and what is left are all that was asked", async () => {
  const codec = await createCodec(513);
  const feedback = new Float32Array(513);
  const sent = new Float32Array(513);
  const asked = new Float32Array(513);
  for (let round = 0; round < 20; round++) {
    // Whole numbers add without rounding, so the two sides must be equal.
    const change = randomFloats(513, round, 1_000).map(Math.round);
    const before = change.map((value, i) => value + feedback[i]!);
    const update = codec.sparsify(change, { k: 50, feedback });
    expect(update).toEqual({
      indexes: reference.sparsify(before, 50).indexes,
      values: reference.sparsify(before, 50).values,
    });
    codec.addSparse(update, sent);
    change.forEach((value, i) => {
      asked[i]! += value;
    });
  }
  expect(sent.map((value, i) => value + feedback[i]!)).toEqual(asked);
  expect(feedback.some((value) => value !== 0)).toBe(true);
});

it("codec - what it decodes goes into the exact sum", async () => {
  const codec = await createCodec(300);
  const sum = await createExactSum(300);
  const change = randomFloats(300, 9);
  const decoded = new Float32Array(300);
  codec.addQuantised(codec.quantise(change), decoded);
  sum.add(decoded, 3);
  expect(Float32Array.from(sum.mean())).toEqual(decoded);
});

it("codec - refuses what it cannot send or add, and writes nothing of it", async () => {
  const codec = await createCodec(3);
  const fits = Float32Array.of(1, 2, 3);
  const into = Float32Array.of(4, 5, 6);
  const codes = Int8Array.of(1, 2, 3);
  const sparse = (indexes: number[], values: number[]) => () =>
    codec.addSparse({ indexes: Uint32Array.from(indexes), values: Float32Array.from(values) }, into);
  const quantised = (scale: number, first = 1) =>
    codec.addQuantised({ codes: Int8Array.of(first, 2, 3), scales: Float32Array.of(scale) }, into);
  const refusals: [() => unknown, string][] = [
    [() => codec.quantise(Float32Array.of(1, 2)), "BAD_SHAPE"],
    [() => codec.quantise(Float32Array.of(1, Number.NaN, 2)), "NOT_FINITE"],
    [() => codec.quantise(Float32Array.of(1, 2, Number.NEGATIVE_INFINITY)), "NOT_FINITE"],
    [() => codec.quantise(Float32Array.of(1, 2, -(2 ** 20))), "OVER_WEIGHT"],
    [() => codec.sparsify(Float32Array.of(1, 2), { k: 1 }), "BAD_SHAPE"],
    [() => codec.sparsify(fits, { k: 0 }), "BAD_INPUT"],
    [() => codec.sparsify(fits, { k: 4 }), "BAD_INPUT"],
    [() => codec.sparsify(fits, { k: 1.5 }), "BAD_INPUT"],
    [() => codec.sparsify(Float32Array.of(Number.NaN, 1, 2), { k: 1, feedback: into }), "NOT_FINITE"],
    [() => codec.sparsify(fits, { k: 1, feedback: new Float32Array(2) }), "BAD_SHAPE"],
    [() => codec.addQuantised({ codes, scales: Float32Array.of(1, 1) }, into), "BAD_SHAPE"],
    [() => codec.addQuantised({ codes: new Int8Array(4), scales: Float32Array.of(1) }, into), "BAD_SHAPE"],
    [() => codec.addQuantised({ codes, scales: Float32Array.of(1) }, new Float32Array(4)), "BAD_SHAPE"],
    [() => quantised(-1), "BAD_MESSAGE"],
    [() => quantised(1, -128), "BAD_MESSAGE"],
    [() => quantised(Number.NaN, 0), "NOT_FINITE"],
    [() => quantised(Number.POSITIVE_INFINITY, 0), "NOT_FINITE"],
    [() => quantised(3e38), "NOT_FINITE"],
    [sparse([0, 1], [1]), "BAD_SHAPE"],
    [sparse([0, 3], [1, 1]), "BAD_MESSAGE"],
    [sparse([1, 1], [1, 1]), "BAD_MESSAGE"],
    [sparse([2, 1], [1, 1]), "BAD_MESSAGE"],
    [sparse([0, 1], [1, Number.NaN]), "NOT_FINITE"],
  ];
  for (const [refused, code] of refusals) expect(refused).toThrow(expect.objectContaining({ code }));
  expect(into).toEqual(Float32Array.of(4, 5, 6));
  // A code of -128 in a whole vector of sixteen is seen as well.
  const long = await createCodec(16);
  const strays = new Int8Array(16);
  strays[9] = -128;
  expect(() =>
    long.addQuantised({ codes: strays, scales: Float32Array.of(1) }, new Float32Array(16)),
  ).toThrow(expect.objectContaining({ code: "BAD_MESSAGE" }));
  await expect(createCodec(0)).rejects.toMatchObject({ code: "BAD_INPUT" });
  await expect(createCodec(1.5)).rejects.toMatchObject({ code: "BAD_INPUT" });
});
