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

/** Rows of one mean the same to the other. */
export function sameChannels(a: DeviceChannels, b: DeviceChannels): boolean {
  return (
    a.channels === b.channels &&
    a.prepared?.kinds === b.prepared?.kinds &&
    a.prepared?.names === b.prepared?.names
  );
}

/** In the words of a sentence: what differs, and from what. */
export interface Sides {
  readonly own: string;
  readonly other: string;
}

/** One sentence on how `own` differs from `other` and what to do, or undefined where they are the same. */
export function unlikeChannels(
  own: DeviceChannels,
  other: DeviceChannels,
  sides: Sides = { own: "the device", other: "its fleet" },
): string | undefined {
  const [mine, theirs] = [own.prepared, other.prepared];
  if (sameChannels(own, other)) return undefined;
  if (mine?.names === theirs?.names && mine?.kinds === theirs?.kinds)
    return `${sides.own} has ${own.channels} channels and ${sides.other} has ${other.channels}: give it the columns that the others have`;
  if (mine === undefined)
    return `${sides.own} has columns as they are, and ${sides.other} has them prepared by kinds (${example(theirs!)}): give --kinds with the same file as for the others`;
  if (theirs === undefined)
    return `${sides.own} has columns prepared by kinds (${example(mine)}), and ${sides.other} has them as they are: leave --kinds out, or begin a task with the same file on every device`;
  const [here, there] = [listed(mine), listed(theirs)];
  const differs = (c: number) => here[c]?.name !== there[c]?.name || here[c]?.letter !== there[c]?.letter;
  let c = 0;
  while (c < Math.max(here.length, there.length) && !differs(c)) c++;
  return `channel ${c + 1} of ${sides.own} is ${said(here[c])}, of ${sides.other} ${said(there[c])}: give all the same --kinds file and the same columns in one order`;
}

interface Channel {
  readonly name: string;
  readonly letter: ChannelLetter | undefined;
}

/** As many as there are letters or names: a device that is at fault may give more of one than of the other. */
function listed({ names, kinds }: PreparedChannels): Channel[] {
  const all = names.split("\n");
  return Array.from({ length: Math.max(all.length, kinds.length) }, (_, c) => ({
    name: all[c] ?? "",
    letter: kinds[c] as ChannelLetter | undefined,
  }));
}

function said(channel: Channel | undefined): string {
  if (channel === undefined) return "not there";
  const { name, letter } = channel;
  return `"${name.length > 64 ? `${name.slice(0, 61)}...` : name}" (${letter === undefined ? "of no kind" : letters[letter]})`;
}

function example(prepared: PreparedChannels): string {
  const channels = listed(prepared);
  return said(channels.find(({ letter }) => letter !== "g") ?? channels[0]);
}
