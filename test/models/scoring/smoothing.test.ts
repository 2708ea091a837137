import fc from "fast-check";
import { expect, test } from "vitest";
import { movingAverage, smooth } from "../../../models/scoring/smoothing.ts";

const score = fc.oneof(
  { weight: 9, arbitrary: fc.double({ min: 0, max: 1e6, noNaN: true }) },
  { weight: 1, arbitrary: fc.constant(Number.NaN) },
);
const scores = fc.array(score, { maxLength: 60 }).map((list) => Float64Array.from(list));

test("smoothing - a causal moving average, over what there is at the start", () => {
  expect([...smooth(Float64Array.of(3, 5, 10, 0), 2)]).toEqual([3, 4, 7.5, 5]);
});

test("smoothing - a row where nothing was seen leaves the average as it was", () => {
  expect([...smooth(Float64Array.of(Number.NaN, 4, Number.NaN, 6), 2)]).toEqual([Number.NaN, 4, 4, 5]);
});

test("smoothing - the stream equals the batch to the bit, through any number of restarts", () => {
  const property = fc.property(
    scores,
    fc.integer({ min: 1, max: 12 }),
    fc.infiniteStream(fc.boolean()),
    (list, span, restarts) => {
      let average = movingAverage(span);
      const streamed = Float64Array.from(list, (value) => {
        if (restarts.next().value) average = movingAverage(span, JSON.parse(JSON.stringify(average.state())));
        return average.push(value);
      });
      expect(streamed).toEqual(smooth(list, span));
    },
  );
  fc.assert(property);
});

test("smoothing - equals the plain definition: the mean of the last scores", () => {
  const property = fc.property(scores, fc.integer({ min: 1, max: 12 }), (list, span) => {
    const seen = list.filter((value) => !Number.isNaN(value));
    const expected = Float64Array.from(seen, (_, i) => {
      const last = seen.subarray(Math.max(0, i + 1 - span), i + 1);
      return last.reduce((a, b) => a + b, 0) / last.length;
    });
    expect(smooth(seen, span)).toEqual(expected);
  });
  fc.assert(property);
});

test("smoothing - an impossible span is said", () => {
  expect(() => movingAverage(0)).toThrow(
    "a moving average over 0 rows can't be; give a whole number above 0",
  );
});
