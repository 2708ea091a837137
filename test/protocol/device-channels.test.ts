import { describe, expect, it } from "vitest";
import { channelsOfBirth, type DeviceChannels, unlikeChannels } from "../../protocol/device-channels.ts";

function channels(kinds: string, ...names: string[]): DeviceChannels {
  return channelsOfBirth({ channels: names.length, channelNames: names.join("\n"), channelKinds: kinds });
}

const plain = (count: number) => channelsOfBirth({ channels: count, channelNames: "whatever" });

describe("unlike channels", () => {
  it("same names and kinds mean the same, and plain columns may have any names", () => {
    expect(unlikeChannels(channels("gc", "a", "b"), channels("gc", "a", "b"))).toBeUndefined();
    expect(unlikeChannels(plain(3), channelsOfBirth({ channels: 3 }))).toBeUndefined();
  });

  it("long names that differ at their end differ", () => {
    const long = "x".repeat(100);
    expect(unlikeChannels(channels("c", `${long}1`), channels("c", `${long}2`))).toMatch(/^channel 1 of/);
  });

  it("a number that does not go with the names is seen", () => {
    const lying = { ...channels("gc", "a", "b"), channels: 3 };
    expect(unlikeChannels(lying, channels("gc", "a", "b"))).toMatch(
      /^the device has 3 channels and its fleet has 2/,
    );
  });

  for (const [what, own, other, sentence] of [
    [
      "another number of plain columns",
      plain(3),
      plain(4),
      "the device has 3 channels and its fleet has 4: give it the columns that the others have",
    ],
    [
      "plain columns where the others are prepared",
      plain(2),
      channels("gc", "a", "b"),
      `the device has columns as they are, and its fleet has them prepared by kinds ("b" (a counter's rise per second)): give --kinds with the same file as for the others`,
    ],
    [
      "prepared columns where the others are plain",
      channels("hg", "a", "b"),
      plain(2),
      'the device has columns prepared by kinds ("a" (heavy-tailed)), and its fleet has them as they are: leave --kinds out, or begin a task with the same file on every device',
    ],
    [
      "another name",
      channels("gww", "a", "s=on", "s=other"),
      channels("gww", "a", "s=off", "s=other"),
      'channel 2 of the device is "s=on" (a word of a categorical column), of its fleet "s=off" (a word of a categorical column): give all the same --kinds file and the same columns in one order',
    ],
    [
      "another kind under the same name",
      channels("gr", "a", "b"),
      channels("gc", "a", "b"),
      `channel 2 of the device is "b" (a counter's rise per row), of its fleet "b" (a counter's rise per second): give all the same --kinds file and the same columns in one order`,
    ],
    [
      "fewer channels",
      channels("gc", "a", "b"),
      channels("gcw", "a", "b", "s=other"),
      'channel 3 of the device is not there, of its fleet "s=other" (a word of a categorical column): give all the same --kinds file and the same columns in one order',
    ],
    [
      "more channels",
      channels("gcw", "a", "b", "s=other"),
      channels("gc", "a", "b"),
      'channel 3 of the device is "s=other" (a word of a categorical column), of its fleet not there: give all the same --kinds file and the same columns in one order',
    ],
  ] as const) {
    it(`one sentence says of ${what} what differs first and what to do`, () => {
      expect(unlikeChannels(own, other)).toBe(sentence);
    });
  }
});
