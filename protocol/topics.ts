import { idPattern } from "./ids.ts";

/** Every topic starts with these; the version changes when a message changes in a way that old devices can't read. */
const root = "starling/v1";

/** What a device may publish: `starling/v1/{device}/up/{kind}`. */
export const upKinds = ["state", "hb", "event", "req"] as const;
/** What a device may receive: `starling/v1/{device}/dn/{kind}`. */
export const downKinds = ["want", "ack", "chunk", "cmd"] as const;

export type UpKind = (typeof upKinds)[number] | "upd";
export type DownKind = (typeof downKinds)[number];

export type Topic =
  | { readonly direction: "up"; readonly device: string; readonly kind: Exclude<UpKind, "upd"> }
  | { readonly direction: "up"; readonly device: string; readonly kind: "upd"; readonly xfer: string }
  | { readonly direction: "down"; readonly device: string; readonly kind: DownKind };

export const topics = {
  up: (device: string, kind: Exclude<UpKind, "upd">) => `${root}/${device}/up/${kind}`,
  /** One chunk of the transfer `xfer` of an update. */
  chunkUp: (device: string, xfer: string) => `${root}/${device}/up/upd/${xfer}`,
  down: (device: string, kind: DownKind) => `${root}/${device}/dn/${kind}`,
  /** What a device subscribes to. */
  inbox: (device: string) => `${root}/${device}/dn/+`,
} as const;

/** The parts of a topic, or undefined where it is not one of ours. Never throws: topics come from strangers. */
export function parseTopic(topic: string): Topic | undefined {
  const [name, version, device, direction, kind, xfer, ...rest] = topic.split("/");
  if (`${name}/${version}` !== root || device === undefined || !idPattern.test(device) || rest.length > 0)
    return undefined;
  if (direction === "up" && kind === "upd" && xfer !== undefined && /^[0-9a-f]{32}$/.test(xfer)) {
    return { direction: "up", device, kind, xfer };
  }
  if (xfer !== undefined) return undefined;
  if (direction === "up" && isOneOf(upKinds, kind)) return { direction: "up", device, kind };
  if (direction === "dn" && isOneOf(downKinds, kind)) return { direction: "down", device, kind };
  return undefined;
}

/** The access rule of a device, from the first day: it publishes only below its own `up/`. */
export function mayPublish(device: string, topic: string): boolean {
  const parsed = parseTopic(topic);
  return parsed?.direction === "up" && parsed.device === device;
}

/** ... and subscribes only below its own `dn/`. */
export function maySubscribe(device: string, filter: string): boolean {
  if (filter === topics.inbox(device)) return true;
  const parsed = parseTopic(filter);
  return parsed?.direction === "down" && parsed.device === device;
}

function isOneOf<T extends string>(list: readonly T[], value: string | undefined): value is T {
  return value !== undefined && (list as readonly string[]).includes(value);
}
