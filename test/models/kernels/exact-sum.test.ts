import fc from "fast-check";
import { expect, it } from "vitest";
import { createExactSum } from "../../../models/kernels/exact-sum.ts";
import { exactBits, exactSum } from "../../../models/kernels/reference/exact-sum.ts";
import { randomFloats } from "../engine/support.ts";

const LENGTH = 5;
/** Every float below the limit: normal, subnormal, zero of both signs. */
const value = fc
  .float({ noNaN: true, noDefaultInfinity: true, min: -1_048_575.9375, max: 1_048_575.9375 })
  .map(Math.fround);
const small = fc.integer({ min: 0, max: 2 ** 24 - 1 }).map((bits) => {
  return new Float32Array(Uint32Array.of(bits * 41).buffer)[0]!;
});
const update = fc.record({
  values: fc
    .array(fc.oneof(value, small), { minLength: LENGTH, maxLength: LENGTH })
    .map((values) => Float32Array.from(values)),
  weight: fc.oneof(fc.integer({ min: 1, max: 2 ** 15 }), fc.constant(1)),
});

it("exact sum - any order gives the same bits, and they equal the big integers'", async () => {
  const sum = await createExactSum(LENGTH);
  fc.assert(
    fc.property(
      fc.array(update, { minLength: 1, maxLength: 8 }),
      fc.infiniteStream(fc.nat()),
      (updates, picks) => {
        const shuffled = updates
          .map((item) => ({ item, key: picks.next().value as number }))
          .sort((a, b) => a.key - b.key)
          .map(({ item }) => item);
        const expected = exactBits(exactSum(updates));
        for (const order of [updates, shuffled, [...updates].reverse()]) {
          sum.reset();
          for (const { values, weight } of order) sum.add(values, weight);
          expect(sum.bits()).toEqual(expected);
        }
      },
    ),
    { numRuns: 300, seed: 1 },
  );
});

it("exact sum - a thousand updates in ten orders are the same bits, mean and count", async () => {
  const updates = Array.from({ length: 1_000 }, (_, i) => ({
    values: randomFloats(LENGTH, i, 10 ** ((i % 30) - 25)),
    weight: 1 + ((i * 7_919) % 5_000),
  }));
  const expected = exactBits(exactSum(updates));
  for (let order = 0; order < 10; order++) {
    const sum = await createExactSum(LENGTH);
    for (let i = 0; i < 1_000; i++) {
      const { values, weight } = updates[(i * 619 + order * 101) % 1_000]!;
      sum.add(values, weight);
    }
    expect(sum.bits()).toEqual(expected);
    expect(sum.updates).toBe(1_000);
    expect(sum.totalWeight).toBe(updates.reduce((total, { weight }) => total + weight, 0));
  }
});

it("exact sum - opposite updates cancel to exactly nothing", async () => {
  const sum = await createExactSum(3);
  sum.add(Float32Array.of(1e5, 3.14, -1e-20), 77);
  sum.add(Float32Array.of(-1e5, -3.14, 1e-20), 77);
  expect(sum.bits().every((byte) => byte === 0)).toBe(true);
});

it("exact sum - the mean is the weighted mean to the last bits of an f64", async () => {
  const sum = await createExactSum(4);
  sum.add(Float32Array.of(1, -2, 0.1, 1_000_000), 3);
  sum.add(Float32Array.of(5, 2, 0.2, -1e-30), 1);
  const expected = [2, -1, (3 * Math.fround(0.1) + Math.fround(0.2)) / 4, 750_000];
  expected.forEach((mean, i) => {
    expect(Math.abs(sum.mean()[i]! - mean)).toBeLessThanOrEqual(Math.abs(mean) * 2 ** -52);
  });
});

it("exact sum - the mean rounds sums of every size to the nearest f64", async () => {
  const sum = await createExactSum(1);
  fc.assert(
    fc.property(
      fc.integer({ min: -86, max: 16 }),
      fc.integer({ min: 1, max: 2 ** 20 }),
      value,
      (exponent, weight, fraction) => {
        sum.reset();
        const x = Math.fround((1 + Math.abs(fraction) / 2 ** 20) * 2 ** exponent);
        sum.add(Float32Array.of(-x), weight);
        // A 24-bit value times a weight of up to 20 bits is exact in an f64, and so is its integer.
        if (exponent > -48) expect(sum.mean()[0]).toBe((-x * weight) / weight);
        else expect(Math.abs(sum.mean()[0]! + x)).toBeLessThanOrEqual(2 ** -73);
      },
    ),
    { numRuns: 300, seed: 2 },
  );
});

it("exact sum - a mean just past the middle of two f64 rounds up, however small the part past it", async () => {
  const sum = await createExactSum(2);
  // 2^19 plus half a unit in its last place, then 2^-60 more for the second only: a tie goes to the even one below.
  for (const x of [2 ** 19, 2 ** -34]) sum.add(Float32Array.of(x, x), 1);
  sum.add(Float32Array.of(0, 2 ** -60), 1);
  sum.add(Float32Array.of(0, 0), 1);
  expect([...sum.mean()]).toEqual([2 ** 17, 2 ** 17 + 2 ** -35]);
});

it("exact sum - the mean of many updates is the big integer's nearest f64 by the total weight", async () => {
  const sum = await createExactSum(LENGTH);
  fc.assert(
    fc.property(fc.array(update, { minLength: 1, maxLength: 8 }), (updates) => {
      sum.reset();
      for (const { values, weight } of updates) sum.add(values, weight);
      const expected = exactSum(updates).map((total) => (Number(total) * 2 ** -72) / sum.totalWeight + 0);
      expect([...sum.mean()].map((mean) => mean + 0)).toEqual(expected);
    }),
    { numRuns: 200, seed: 3 },
  );
});

it("exact sum - is the same for vectors longer than one slab", async () => {
  const length = 40_001;
  const sum = await createExactSum(length);
  const updates = [1, 2, 3].map((seed) => ({ values: randomFloats(length, seed), weight: seed * 11 }));
  for (const { values, weight } of updates) sum.add(values, weight);
  expect(Buffer.compare(sum.bits(), exactBits(exactSum(updates)))).toBe(0);
  expect(sum.mean()[40_000]).toBeCloseTo(
    updates.reduce((total, { values, weight }) => total + values[40_000]! * weight, 0) / 66,
    12,
  );
});

it("exact sum - refuses what it cannot add exactly, and adds nothing of it", async () => {
  const sum = await createExactSum(2);
  sum.add(Float32Array.of(1, 2), 5);
  const before = sum.bits();
  const refusals: [Float32Array, number, string][] = [
    [Float32Array.of(1), 1, "BAD_SHAPE"],
    [Float32Array.of(1, Number.NaN), 1, "NOT_FINITE"],
    [Float32Array.of(Number.NEGATIVE_INFINITY, 1), 1, "NOT_FINITE"],
    [Float32Array.of(2 ** 20, 1), 1, "OVER_WEIGHT"],
    [Float32Array.of(1, 1), 0, "OVER_WEIGHT"],
    [Float32Array.of(1, 1), 1.5, "OVER_WEIGHT"],
    [Float32Array.of(1, 1), 2 ** 24 + 1, "OVER_WEIGHT"],
  ];
  for (const [values, weight, code] of refusals) {
    expect(() => sum.add(values, weight)).toThrow(expect.objectContaining({ code }));
  }
  expect(sum.bits()).toEqual(before);
  expect(sum.totalWeight).toBe(5);
  expect(sum.updates).toBe(1);
  sum.reset();
  expect(() => sum.mean()).toThrow(expect.objectContaining({ code: "NOT_FOUND" }));
});

it("exact sum - the heaviest updates up to the limit do not overflow", async () => {
  const sum = await createExactSum(2);
  const values = Float32Array.of(-1_048_575.9375, 1_048_575.9375);
  const most = 2 ** 10;
  for (let i = 0; i < most; i++) sum.add(values, 2 ** 24);
  expect(() => sum.add(values, 2 ** 24)).toThrow(expect.objectContaining({ code: "OVER_WEIGHT" }));
  expect(sum.bits()).toEqual(exactBits(exactSum(new Array(most).fill({ values, weight: 2 ** 24 }))));
  expect([...sum.mean()]).toEqual([...values]);
});
