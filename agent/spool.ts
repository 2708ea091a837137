import { mkdir, readdir, readFile, unlink } from "node:fs/promises";
import { join } from "node:path";
import { decode, encode } from "../protocol/codec.ts";
import { Alert } from "../protocol/messages.ts";
import { backoffMs } from "./backoff.ts";
import { bell } from "./bell.ts";
import type { Clock } from "./clock.ts";
import { setAside, writeDurably } from "./durable.ts";
import type { Log } from "./log.ts";

/** Alerts on disk, one file each, until the coordinator has acknowledged them by id. */
export interface Spool {
  /** Durable when it resolves. An id that is there already is not added again. */
  add(alert: Alert): Promise<void>;
  /** The coordinator has stored these. */
  acknowledged(ids: readonly string[]): Promise<void>;
  /** The connection is new: whatever was under way is sent again. */
  connected(): void;
  readonly size: number;
  /** Alerts that were given up because the spool was full. */
  readonly dropped: number;
  /** Sends until the signal aborts. */
  run(signal: AbortSignal): Promise<void>;
}

export interface SpoolOptions {
  readonly dir: string;
  readonly damagedDir: string;
  /** Resolves when the broker has it; rejects when it is away. */
  readonly send: (payload: Uint8Array) => Promise<void>;
  readonly online: () => boolean;
  readonly clock: Clock;
  readonly random: () => number;
  readonly log: Log;
  readonly maxAlerts?: number;
  readonly resend?: { readonly firstMs: number; readonly maxMs: number };
}

interface Entry {
  readonly file: string;
  readonly dueMs: number;
  readonly tries: number;
}

/** A device that is away for weeks must not fill its disk: at 400 bytes an alert, this is 4 MB. */
const defaultMaxAlerts = 10_000;
/** Alerts sent and not yet acknowledged. */
const inFlight = 16;
const defaultResend = { firstMs: 5_000, maxMs: 60_000 };

export async function openSpool(options: SpoolOptions): Promise<Spool> {
  const { dir, clock, log, maxAlerts = defaultMaxAlerts, resend = defaultResend } = options;
  await mkdir(dir, { recursive: true });
  const entries = new Map<string, Entry>(); // by id, in the order in which they were raised
  let sequence = 0;
  for (const file of (await readdir(dir)).sort()) {
    const [number, id] = file.split(/[-.]/);
    if (!file.endsWith(".alert") || id === undefined) continue; // a write that was cut off
    sequence = Math.max(sequence, Number(number) + 1);
    entries.set(id, { file, dueMs: 0, tries: 0 });
  }
  let dropped = 0;
  const work = bell(clock);

  const remove = async (id: string): Promise<void> => {
    const entry = entries.get(id);
    if (entry === undefined) return;
    entries.delete(id);
    await unlink(join(dir, entry.file)).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== "ENOENT")
        log.warn({ file: entry.file, error: error.message }, "an acknowledged alert stays on disk");
    });
  };

  const send = async (id: string, entry: Entry): Promise<void> => {
    let alert: Alert;
    try {
      alert = decode(Alert, await readFile(join(dir, entry.file)));
    } catch (error) {
      if (!entries.has(id)) return; // acknowledged in the meantime
      entries.delete(id);
      log.warn({ file: entry.file, error: String(error) }, "a spooled alert is damaged; it was moved aside");
      await setAside(join(dir, entry.file), options.damagedDir);
      return;
    }
    await options.send(encode(alert));
  };

  return {
    get size() {
      return entries.size;
    },
    get dropped() {
      return dropped;
    },
    async add(alert) {
      if (entries.has(alert.id)) return;
      const file = `${String(sequence++).padStart(12, "0")}-${alert.id}.alert`;
      await writeDurably(join(dir, file), encode(alert));
      entries.set(alert.id, { file, dueMs: 0, tries: 0 });
      while (entries.size > maxAlerts) {
        dropped += 1;
        log.warn({ dropped }, `the spool holds ${maxAlerts} alerts; the oldest was given up`);
        await remove(entries.keys().next().value!);
      }
      work.ring();
    },
    async acknowledged(ids) {
      for (const id of ids) await remove(id);
      work.ring();
    },
    connected() {
      for (const [id, entry] of entries) entries.set(id, { ...entry, dueMs: 0, tries: 0 });
      work.ring();
    },
    async run(signal) {
      while (!signal.aborted) {
        const now = clock.steadyMs();
        const due = options.online() ? dueAlerts(entries, now) : [];
        for (const id of due) {
          const entry = entries.get(id);
          if (entry === undefined) continue;
          const waitMs = backoffMs(resend, entry.tries, options.random);
          entries.set(id, { ...entry, tries: entry.tries + 1, dueMs: now + waitMs });
          await send(id, entry).catch((error: Error) =>
            log.debug({ error: error.message }, "an alert could not be sent; it stays in the spool"),
          );
        }
        if (due.length === 0)
          await work.wait(options.online() ? nextDueMs(entries, now) - now : idleMs, signal);
      }
    },
  };
}

/** Only a limit: whatever is new rings the bell. */
const idleMs = 60_000;

/** What to send now: the oldest first, and never more unacknowledged ones than `inFlight`. */
function dueAlerts(entries: ReadonlyMap<string, Entry>, nowMs: number): string[] {
  return oldest(entries)
    .filter(([, entry]) => entry.dueMs <= nowMs)
    .map(([id]) => id);
}

function nextDueMs(entries: ReadonlyMap<string, Entry>, nowMs: number): number {
  return oldest(entries).reduce((least, [, entry]) => Math.min(least, entry.dueMs), nowMs + idleMs);
}

function oldest(entries: ReadonlyMap<string, Entry>): [string, Entry][] {
  const first: [string, Entry][] = [];
  for (const entry of entries) if (first.push(entry) === inFlight) break;
  return first;
}
