import fc from "fast-check";
import { expect, test } from "vitest";
import { createRandom } from "../../../models/engine/random.ts";
import { type ChannelState, channelRange } from "../../../models/scoring/channel-range.ts";

const rows = 100;

/** A stretch of normal values through `turn`, and then one as in training. */
function changes({ mean, sigma, turn }: { mean: number; sigma: number; turn: (x: number) => number }) {
  const random = createRandom(1);
  const range = channelRange({ mean: [mean, 5], sigma: [sigma, 1], rows });
  const found: { state: ChannelState; what: string }[][] = [];
  for (let i = 0; i < 4 * rows; i++) {
    const x = mean + sigma * random.normal();
    const turned = i >= rows && i < 3 * rows ? turn(x) : x;
    const told = range.push(Float32Array.of(turned, 5 + random.normal()));
    expect(told.every(({ channel }) => channel === 0)).toBe(true);
    if (told.length > 0) found.push(told.map(({ state, what }) => ({ state, what })));
  }
  return found;
}

const cases: readonly [string, number, number, (x: number) => number, ChannelState, RegExp][] = [
  ["bar as pascal", 6, 0.2, (x) => 1e5 * x, "another-unit", /100,000 times what it was/],
  ["volts as kilovolts", 230, 4, (x) => x / 1000, "another-unit", /1\/1,000 of what it was/],
  ["Celsius as Fahrenheit", 70, 2, (x) => 1.8 * x + 32, "another-unit", /Fahrenheit where it was Celsius/],
  ["Fahrenheit as Celsius", 160, 4, (x) => (x - 32) / 1.8, "another-unit", /Celsius where it was Fahrenheit/],
  ["Celsius as Kelvin", 70, 2, (x) => x + 273.15, "another-unit", /Kelvin where it was Celsius/],
  ["a sensor at its stop", 70, 2, () => 137, "far", /is 3\d standard deviations off/],
  ["vibration as another unit", 0, 1, (x) => 1000 * x, "wide", /times as much as in training/],
  ["a cut wire", 70, 2, () => Number.NaN, "silent", /has no values any more/],
];

test.each(cases)(
  "channel range - %s is told once, and so is the way back",
  (_, mean, sigma, turn, state, what) => {
    const found = changes({ mean, sigma, turn });
    expect(found).toEqual([
      [{ state, what: expect.stringMatching(what) }],
      [{ state: "usual", what: "is as in training again" }],
    ]);
  },
);

test("channel range - what stays within a few standard deviations is never told", () => {
  const level = fc.double({ min: -1e6, max: 1e6, noNaN: true });
  fc.assert(
    fc.property(
      level,
      fc.double({ min: 1e-3, max: 1e3, noNaN: true }),
      fc.double({ min: -4, max: 4, noNaN: true }),
      (mean, sigma, shift) => {
        expect(changes({ mean, sigma, turn: (x) => x + shift * sigma })).toEqual([]);
      },
    ),
    // A level where float32 values are 30 of its standard deviations apart.
    { numRuns: 30, examples: [[362653.51, 0.001, 0]] },
  );
});

test("channel range - a short change, or a few missing values, are no event", () => {
  const range = channelRange({ mean: [10], sigma: [1], rows });
  for (let i = 0; i < 5 * rows; i++) {
    const value = i % rows < 5 ? 1000 / 50 : i % 3 === 0 ? Number.NaN : 10;
    expect(range.push(Float32Array.of(value))).toEqual([]);
  }
});

test("channel range - a channel at a limit is told once and not again and again, and is named for as long as it is odd", () => {
  const range = channelRange({ mean: [70], sigma: [2], rows });
  const told: ChannelState[] = [];
  for (let stretch = 0; stretch < 20; stretch++) {
    // 10.5 and 9.5 standard deviations off, in turn: neither is a unit's doing.
    const value = 70 + 2 * (stretch % 2 === 0 ? 10.5 : 9.5);
    for (let i = 0; i < rows; i++) told.push(...range.push(Float32Array.of(value)).map(({ state }) => state));
    expect(range.odd.map(({ channel, state }) => [channel, state])).toEqual([[0, "far"]]);
  }
  for (let i = 0; i < rows; i++)
    told.push(...range.push(Float32Array.of(70 + 2 * 7.5)).map(({ state }) => state));
  expect(told).toEqual(["far", "usual"]);
  expect(range.odd).toEqual([]);
});
