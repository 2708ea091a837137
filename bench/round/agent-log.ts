import { z } from "zod";
import { FleetError } from "../../protocol/errors.ts";

/** What an agent's log says of its rounds, by what the lines hold and not by their words. Moments: milliseconds since 1970. */
export interface AgentLog {
  /** By the version's sha256: when fetching began ... */
  readonly fetched: ReadonlyMap<string, number>;
  /** ... and when it ran. */
  readonly installed: ReadonlyMap<string, number>;
  /** By round: `atMs` when the update was in the outbox, `tookMs` from the data to there. */
  readonly trained: ReadonlyMap<number, { readonly atMs: number; readonly tookMs: number }>;
}

const time = z.number();
const Installed = z.object({ time, version: z.number(), sha256: z.string(), threshold: z.number() });
const Fetching = z.object({ time, version: z.number(), sha256: z.string(), bytes: z.number() });
const Trained = z.object({ time, round: z.number(), samples: z.number(), trainMs: z.number() });
const Line = z.union([Installed, Fetching, Trained]);

export function readAgentLog(text: string): AgentLog {
  const fetched = new Map<string, number>();
  const installed = new Map<string, number>();
  const trained = new Map<number, { atMs: number; tookMs: number }>();
  for (const json of text.split("\n")) {
    if (!json.startsWith("{")) continue; // warnings of Node itself
    const line = Line.safeParse(parse(json)).data;
    if (line === undefined) continue;
    if ("threshold" in line) installed.set(line.sha256, line.time);
    else if ("bytes" in line) fetched.set(line.sha256, line.time);
    else trained.set(line.round, { atMs: line.time, tookMs: line.trainMs });
  }
  return { fetched, installed, trained };
}

/** Throws NOT_FOUND: without the moment the round can't be split honestly. */
export function momentOf<K, V>(moments: ReadonlyMap<K, V>, key: K, what: string): V {
  const found = moments.get(key);
  if (found === undefined)
    throw new FleetError(
      "NOT_FOUND",
      `an agent's log does not say when ${what}: bench/round/agent-log.ts reads it`,
    );
  return found;
}

function parse(json: string): unknown {
  try {
    return JSON.parse(json);
  } catch {
    return undefined; // a line that the end of its process cut off
  }
}
