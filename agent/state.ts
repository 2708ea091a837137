import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import type { Recent } from "../models/detectors/detector.ts";
import { decode } from "../protocol/codec.ts";
import { asFleetError, FleetError } from "../protocol/errors.ts";
import { Want } from "../protocol/messages.ts";
import { type Checkpoint, encodeCheckpoint, parseCheckpoint } from "./checkpoint.ts";
import type { Clock } from "./clock.ts";
import { readOrSetAside, writeDurably } from "./durable.ts";
import { lockFolder } from "./lock.ts";
import type { Log } from "./log.ts";
import { parseRecent, saveRecent } from "./recent-data.ts";

/** What an agent remembers, in one folder of its own. */
export interface StateFolder {
  readonly bootSeq: number;
  readonly paths: {
    readonly versions: string;
    readonly outbox: string;
    readonly spool: string;
    readonly damaged: string;
  };
  readonly checkpoint: Checkpoint | undefined;
  /** The desired state as it last came, so that a device that starts without its coordinator knows its task. */
  readonly want: Want | undefined;
  readRecent(): Promise<Recent | undefined>;
  saveCheckpoint(checkpoint: Checkpoint): Promise<void>;
  saveWant(payload: Uint8Array): Promise<void>;
  saveRecent(recent: Recent): Promise<void>;
  release(): Promise<void>;
}

const Boot = z.object({ bootSeq: z.int().positive() });

/** Opens the folder, makes it where it is not there, and counts this start. Throws LOCKED, and BAD_INPUT where it can't be written. */
export async function openState(
  dir: string,
  { clock, log }: { readonly clock: Clock; readonly log: Log },
): Promise<StateFolder> {
  try {
    await mkdir(dir, { recursive: true });
  } catch (cause) {
    throw new FleetError("BAD_INPUT", `${dir}: the state folder can't be made; check the path`, { cause });
  }
  const lock = await lockFolder(dir).catch((error) => {
    throw asFleetError(error, "BAD_INPUT");
  });
  const damaged = join(dir, "damaged");
  const file = (name: string) => join(dir, name);
  const read = <T>(name: string, parse: (bytes: Uint8Array) => T) =>
    readOrSetAside(file(name), { parse, damagedDir: damaged, log });
  try {
    const bootSeq = await countStart(file("boot.json"), { damaged, clock, log });
    return {
      bootSeq,
      paths: { versions: file("versions"), outbox: file("outbox"), spool: file("spool"), damaged },
      checkpoint: await read("checkpoint.json", parseCheckpoint),
      want: await read("want", (bytes) => decode(Want, bytes)),
      readRecent: () => read("recent", parseRecent),
      saveCheckpoint: (checkpoint) => writeDurably(file("checkpoint.json"), encodeCheckpoint(checkpoint)),
      saveWant: (payload) => writeDurably(file("want"), payload),
      saveRecent: (recent) => saveRecent(file("recent"), recent),
      release: () => lock.release(),
    };
  } catch (error) {
    await lock.release();
    throw error;
  }
}

async function countStart(
  path: string,
  { damaged, clock, log }: { readonly damaged: string; readonly clock: Clock; readonly log: Log },
): Promise<number> {
  let broken = false;
  const boot = await readOrSetAside(path, {
    parse(bytes) {
      broken = true;
      const parsed = Boot.parse(JSON.parse(Buffer.from(bytes).toString()));
      broken = false;
      return parsed;
    },
    damagedDir: damaged,
    log,
  });
  // A number that was lost must still grow: seconds since 1970 are more than any device has started.
  const bootSeq = broken ? Math.floor(clock.wallMs() / 1000) : (boot?.bootSeq ?? 0) + 1;
  await writeDurably(path, Buffer.from(JSON.stringify({ bootSeq })));
  return bootSeq;
}
