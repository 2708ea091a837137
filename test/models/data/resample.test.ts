import fc from "fast-check";
import { expect, test } from "vitest";
import { type ResampleOptions, resampler, resampleSeries } from "../../../models/data/resample.ts";
import type { Series } from "../../../models/data/series.ts";

interface Sample {
  readonly atMs: number;
  readonly row: readonly number[];
}

function seriesOf(samples: readonly Sample[], channels = 2): Series {
  return {
    rows: samples.length,
    channels,
    values: Float32Array.from(samples.flatMap(({ row }) => row)),
    names: ["a", "b"].slice(0, channels),
    timestampsMs: Float64Array.from(samples, ({ atMs }) => atMs),
  };
}

/** Each row of the grid looked up in all samples, slowly. */
function reference(
  samples: readonly Sample[],
  { periodMs, method, maxGapMs }: Required<Omit<ResampleOptions, "maxRows">>,
) {
  const [from, to] = [samples[0]!, samples.at(-1)!].map(({ atMs }) => Math.ceil(atMs / periodMs));
  const rows: { atMs: number; row: number[] }[] = [];
  for (let index = from!; index <= to!; index++) {
    const gridMs = index * periodMs + 0;
    const row = [0, 1].map((c) => {
      const known = samples.filter(({ atMs, row }) => atMs <= gridMs && !Number.isNaN(row[c]!));
      const inside = known
        .filter(({ atMs }) => Math.ceil(atMs / periodMs) === index)
        .map(({ row }) => row[c]!);
      if (method === "mean" && inside.length > 0)
        return Math.fround(inside.reduce((a, b) => a + b, 0) / inside.length);
      const latest = known.at(-1);
      return latest && gridMs - latest.atMs <= maxGapMs ? latest.row[c]! : Number.NaN;
    });
    rows.push({ atMs: gridMs, row });
  }
  return rows;
}

const value = fc.oneof(fc.float({ min: -100, max: 100, noNaN: true }), fc.constant(Number.NaN));
const sampled = fc
  .array(fc.record({ step: fc.integer({ min: 0, max: 40 }), row: fc.tuple(value, value) }), {
    minLength: 1,
    maxLength: 40,
  })
  .chain((steps) =>
    fc.integer({ min: -50, max: 1e9 }).map((startMs) => {
      let atMs = startMs;
      return steps.map(({ step, row }): Sample => {
        atMs += step;
        return { atMs, row };
      });
    }),
  );

test("resample - batch and stream give the rows of the slow reference, for any samples", () => {
  const options = fc.record({
    periodMs: fc.constantFrom(1, 7, 10, 25),
    method: fc.constantFrom("last" as const, "mean" as const),
    maxGapMs: fc.constantFrom(0, 10, 60, Number.POSITIVE_INFINITY),
  });
  const property = fc.property(sampled, options, (samples, o) => {
    const wanted = reference(samples, o);
    const batch = resampleSeries(seriesOf(samples), o);
    expect([...batch.timestampsMs!]).toEqual(wanted.map(({ atMs }) => atMs));
    expect([...batch.values]).toEqual(wanted.flatMap(({ row }) => row));
    expect(batch.rateHz).toBe(1000 / o.periodMs);
    const streamed: number[] = [];
    const stream = resampler(2, o);
    const take = (_: number, row: Float32Array) => streamed.push(...row);
    for (const { atMs, row } of samples) stream.push(atMs, Float32Array.from(row), take);
    stream.finish(take);
    expect(streamed).toEqual([...batch.values]);
  });
  fc.assert(property, { numRuns: 300 });
});

test("resample - a row knows nothing of later samples, and a long gap stays missing", () => {
  const samples = [
    { atMs: 1000, row: [1] },
    { atMs: 1400, row: [2] },
    { atMs: 2001, row: [3] },
    { atMs: 9000, row: [4] },
  ];
  const { values, timestampsMs } = resampleSeries(seriesOf(samples, 1), { periodMs: 1000, maxGapMs: 2000 });
  expect([...timestampsMs!]).toEqual([1000, 2000, 3000, 4000, 5000, 6000, 7000, 8000, 9000]);
  expect([...values]).toEqual([1, 2, 3, 3, Number.NaN, Number.NaN, Number.NaN, Number.NaN, 4]);
});

test("resample - times that go back or jump far are refused, and the stream goes on without them", () => {
  const rows: number[] = [];
  const stream = resampler(1, { periodMs: 1000, maxRows: 100 });
  const push = (atMs: number) => stream.push(atMs, Float32Array.of(atMs), (at) => rows.push(at));
  push(1000);
  expect(() => push(999)).toThrow("is before the one before it");
  expect(() => push(1e12)).toThrow(/there are 999999999 rows between .* split the data there/);
  expect(() => push(Number.NaN)).toThrow("a sample's time NaN is no time");
  push(3000);
  expect(rows).toEqual([1000, 2000]);
  const { timestampsMs: _, ...timeless } = seriesOf([{ atMs: 0, row: [1] }], 1);
  expect(() => resampleSeries(timeless, { periodMs: 1 })).toThrow("name its time column");
  expect(() => resampler(1, { periodMs: 0 })).toThrow("a period of 0 ms");
  const far = [0, 50_000, 120_000].map((atMs) => ({ atMs, row: [1] }));
  expect(() => resampleSeries(seriesOf(far, 1), { periodMs: 1000, maxRows: 100 })).toThrow(
    "choose a longer period",
  );
});
