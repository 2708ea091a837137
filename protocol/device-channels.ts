import { z } from "zod";
import { limits } from "./limits.ts";

/** Most bytes of a device's channel names, joined by line feeds: they share a control message with everything else of a birth. */
export const CHANNEL_NAMES_BYTES = 8 * 1024;

export const ChannelNames = z.string().max(CHANNEL_NAMES_BYTES);

const letters = {
  g: "a gauge",
  c: "a counter's rise per second",
  r: "a counter's rise per row",
  h: "heavy-tailed",
  w: "a word of a categorical column",
} as const;
export type ChannelLetter = keyof typeof letters;

/** A letter a channel. Devices with the same letters and names prepare their rows alike; where a counter wraps is their own affair. */
export const ChannelKinds = z
  .string()
  .regex(/^[gcrhw]+$/)
  .max(limits.channels);

/** Channels that are prepared from columns of several kinds. */
export const PreparedChannels = z.object({ names: ChannelNames, kinds: ChannelKinds });
export type PreparedChannels = z.infer<typeof PreparedChannels>;

/** What must be the same on all devices of a fleet. Names of channels that nothing prepares are free: each device may call them its own way. */
export interface DeviceChannels {
  readonly channels: number;
  readonly prepared?: PreparedChannels | undefined;
}

/** What a birth says of it. */
export function channelsOfBirth(birth: {
  readonly channels: number;
  readonly channelNames?: string | undefined;
  readonly channelKinds?: string | undefined;
}): DeviceChannels {
  const { channels, channelNames: names = "", channelKinds: kinds } = birth;
  return kinds === undefined ? { channels } : { channels, prepared: { names, kinds } };
}

/** In the words of a sentence: what differs, and from what. */
export interface Sides {
  readonly own: string;
  readonly other: string;
}

/** One sentence on how `own` differs from `other` and what to do, or undefined where rows of one mean the same to the other. */
export function unlikeChannels(
  own: DeviceChannels,
  other: DeviceChannels,
  sides: Sides = { own: "the device", other: "its fleet" },
): string | undefined {
  if (own.prepared === undefined && other.prepared === undefined) return unlikeCounts(own, other, sides);
  if (own.prepared === undefined)
    return `${sides.own} has columns as they are, and ${sides.other} has them prepared by kinds (${example(other)}): give --kinds with the same file as for the others`;
  if (other.prepared === undefined)
    return `${sides.own} has columns prepared by kinds (${example(own)}), and ${sides.other} has them as they are: leave --kinds out, or give the same file to all`;
  const [mine, theirs] = [listed(own), listed(other)];
  const c = mine.findIndex((channel, i) => channel !== theirs[i]);
  const first = c < 0 ? mine.length : c;
  // A device that is at fault may say one number and name another.
  if (first === theirs.length && first === mine.length) return unlikeCounts(own, other, sides);
  return `channel ${first + 1} of ${sides.own} is ${mine[first] ?? "not there"}, of ${sides.other} ${theirs[first] ?? "not there"}: give all the same --kinds file and the same columns in one order`;
}

function unlikeCounts(own: DeviceChannels, other: DeviceChannels, sides: Sides): string | undefined {
  if (own.channels === other.channels) return undefined;
  return `${sides.own} has ${own.channels} channels and ${sides.other} has ${other.channels}: give it the columns that the others have`;
}

/** Each channel by name and kind. */
function listed({ prepared }: DeviceChannels): string[] {
  const { names, kinds } = prepared!;
  const all = names.split("\n");
  return [...kinds].map((letter, c) => `"${shortened(all[c] ?? "")}" (${letters[letter as ChannelLetter]})`);
}

function example(channels: DeviceChannels): string {
  const c = [...channels.prepared!.kinds].findIndex((letter) => letter !== "g");
  return listed(channels)[Math.max(0, c)]!;
}

function shortened(name: string): string {
  return name.length > 64 ? `${name.slice(0, 61)}...` : name;
}
