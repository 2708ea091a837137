import { existsSync } from "node:fs";
import { cp, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Agent, AgentOptions } from "../../agent/index.ts";
import { startAgent } from "../../agent/index.ts";
import { quietLog } from "../support/quiet-log.ts";
import { channels, type ScriptedCoordinator } from "./scripted-coordinator.ts";

/** The training thread can't load TypeScript on Node 20, so it runs what `npm run build` (pretest) wrote. */
const worker = new URL("../../dist/agent/trainer-worker.js", import.meta.url);
export const isBuilt = existsSync(fileURLToPath(worker));

/** A folder of its own for a test, and the agents in it. */
export interface Sandbox {
  readonly dir: string;
  readonly state: string;
  readonly log: ReturnType<typeof quietLog>;
  path(name: string): string;
  /** Writes rows (rows, channels) as CSV. */
  csv(name: string, rows: readonly (readonly number[])[]): Promise<string>;
  start(coordinator: ScriptedCoordinator, options: Partial<AgentOptions>): Promise<Agent>;
  /** The state folder as a power cut at this moment would leave it, in a new place. */
  crashCopy(name: string): Promise<string>;
  close(): Promise<void>;
}

export async function sandbox(): Promise<Sandbox> {
  const dir = await mkdtemp(join(tmpdir(), "starling-agent-"));
  const agents: Agent[] = [];
  const log = quietLog();
  const box: Sandbox = {
    dir,
    log,
    state: join(dir, "state"),
    path: (name) => join(dir, name),
    async csv(name, rows) {
      const path = join(dir, name);
      await writeFile(path, rows.map((row) => row.join(",")).join("\n"));
      return path;
    },
    async start(coordinator, options) {
      const agent = await startAgent({
        join: coordinator.join,
        stateDir: box.state,
        source: { kind: "replay", file: "", speed: 0, hold: false },
        log,
        trainerScript: worker,
        ...options,
      });
      agents.push(agent);
      return agent;
    },
    async crashCopy(name) {
      const copy = join(dir, name);
      await copyLive(box.state, copy);
      await rm(join(copy, "lock"), { force: true });
      return copy;
    },
    async close() {
      await Promise.all(agents.map((agent) => agent.close()));
      await rm(dir, { recursive: true, force: true });
    },
  };
  return box;
}

/** Three channels of one machine: slow waves with some noise, the same for the same seed; as of row `from`. */
export function waves(rows: number, seed = 1, from = 0): number[][] {
  let state = seed;
  const noise = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32 - 0.5;
  };
  return Array.from({ length: rows }, (_, i) =>
    Array.from({ length: channels }, (_, c) => Math.sin((from + i) / (4 + c)) + 0.1 * noise()),
  );
}

/** The waves as they go on after 600 rows, with a fault in rows from..to-1. */
export function faulty(rows: number, from: number, to: number): number[][] {
  return waves(rows, 2, 600).map((row, i) =>
    i >= from && i < to ? row.map((x) => x + (i % 2 === 0 ? 8 : -8)) : row,
  );
}

/** Copies a folder that is being written: where a file is renamed or removed under the copy, it starts again. */
async function copyLive(from: string, to: string): Promise<void> {
  for (;;) {
    try {
      return await cp(from, to, { recursive: true });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
      await rm(to, { recursive: true, force: true });
    }
  }
}
