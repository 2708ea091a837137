import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";
import type { Writable } from "node:stream";
import type { z } from "zod";
import { enrollDevice } from "../../coordinator/coordinator.ts";
import { openDiskBlobs } from "../../coordinator/embedded/disk-blobs.ts";
import { openSqliteJournal } from "../../coordinator/embedded/sqlite-journal.ts";
import type { Journal } from "../../coordinator/journal.ts";
import type { Receipt } from "../../coordinator/round.ts";
import { streams } from "../../coordinator/round-record.ts";
import { writeNpy } from "../../models/data/npy.ts";
import { createRandom } from "../../models/engine/random.ts";
import type { AlertView, DeviceView, RoundView, TaskView, VersionView } from "../../protocol/api.ts";
import { decodeFrame } from "../../protocol/frame.ts";
import { formatJoin } from "../../protocol/join.ts";
import { TaskSpec } from "../../protocol/task.ts";
import { receiptsOf, referenceAverage } from "../support/federated-average.ts";
import { until } from "../support/until.ts";

const root = resolve(import.meta.dirname, "../..");
const agentFile = join(root, "dist/starling-agent.js");

/** Tests that start real processes run what `npm run build` wrote. */
export const isBuilt = existsSync(agentFile) && existsSync(join(root, "dist/cli/main.js"));
export const whyNotBuilt = "needs dist/: run `npm run build` (npm test does)";

export interface Process {
  readonly pid: number;
  /** Everything that it wrote to stderr. */
  log(): string;
  kill(signal: NodeJS.Signals): Promise<void>;
  readonly running: boolean;
  /** Where it reads what the test writes. */
  readonly input: Writable | null;
}

export interface StartAgent {
  readonly device: string;
  /** Where it connects to, in place of the coordinator. */
  readonly url?: string;
  readonly flags?: readonly string[];
  /** Where its data are not those of every other device. */
  readonly series?: Partial<SeriesShape>;
  /** Reads its lines from the test, in place of replaying a file. */
  readonly live?: boolean;
}

export interface SeriesShape {
  readonly trainRows: number;
  readonly seed: number;
  /** Rows of a wave's radian. */
  readonly slowness: number;
  readonly noise: number;
}

/** A coordinator and agents as processes of their own, on one state folder each that outlives their deaths. */
export interface Fleet {
  readonly folder: string;
  readonly mqttPort: number;
  /** With another task than before, where the first one is changed. */
  startCoordinator(crashAt?: string, changed?: TaskInput): Promise<Process>;
  startAgent(options: StartAgent): Promise<Process>;
  get<T>(path: string): Promise<T>;
  task(): Promise<TaskView>;
  device(name: string): Promise<DeviceView>;
  rounds(): Promise<readonly RoundView[]>;
  versions(): Promise<readonly VersionView[]>;
  alerts(): Promise<readonly AlertView[]>;
  /**
   * Stops everything and checks that every version is the average of what the journal says was accepted, and that ids are whole. The
   * updates that were counted, in the order in which they were.
   */
  audit(rounds: number): Promise<readonly Receipt[]>;
  close(): Promise<void>;
}

export type TaskInput = z.input<typeof TaskSpec>;

export async function openFleet(input: TaskInput): Promise<Fleet> {
  const folder = await mkdtemp(join(tmpdir(), "starling-e2e-"));
  const taskOf = (input: TaskInput) => TaskSpec.parse({ chunkBytes: 256, heartbeatMs: 100, ...input });
  const task = taskOf(input);
  const [mqttPort, httpPort] = [await freePort(), await freePort()];
  const stateDir = join(folder, "coordinator");
  const processes = new Set<Process>();
  const keep = (process: Process) => {
    processes.add(process);
    return process;
  };

  const fleet: Fleet = {
    folder,
    mqttPort,
    async startCoordinator(crashAt, changed) {
      const now = changed === undefined ? task : taskOf(changed);
      const options = JSON.stringify({ stateDir, mqttPort, httpPort, task: now, crashAt });
      const child = start([join(root, "test/e2e/crashing-coordinator.mjs"), options]);
      const lines = createInterface({ input: child.stdout! });
      const ended = once(child, "exit").then(() => {
        if (crashAt === undefined) throw new Error(`the coordinator ended at its start:\n${watched.log()}`);
      });
      const watched = keep(watch(child));
      await Promise.race([once(lines, "line"), ended]);
      return watched;
    },
    async startAgent({ device, url, flags = [], series = {}, live = false }) {
      const joinFile = join(folder, `${device}.join`);
      if (!existsSync(joinFile)) {
        const ticket = await enrollDevice({ stateDir, device, url: url ?? `mqtt://127.0.0.1:${mqttPort}` });
        await writeFile(joinFile, formatJoin(ticket));
        await writeSeries(folder, device, { trainRows: 1500, seed: 7, slowness: 8, noise: 0.05, ...series });
      }
      const data = (part: string) => join(folder, `${device}_${part}.npy`);
      const own = [
        "--join-file",
        joinFile,
        "--state",
        join(folder, device),
        "--history",
        data("train"),
        "--source",
        data("test"),
      ];
      const source = live ? ["--source", "-"] : ["--speed", "0", "--hold"];
      const args = [agentFile, ...own, ...source, "--keepalive", "2", ...flags];
      return keep(watch(start(args, live ? "pipe" : "ignore")));
    },
    async get<T>(path: string) {
      const response = await fetch(`http://127.0.0.1:${httpPort}/api/v1/${path}`);
      return (await response.json()) as T;
    },
    task: () => fleet.get("task"),
    device: (name) => fleet.get(`fleet/${name}`),
    rounds: async () => (await fleet.get<RoundView[]>("rounds?limit=100")).reverse(),
    versions: async () => (await fleet.get<VersionView[]>("versions?limit=100")).reverse(),
    alerts: async () => (await fleet.get<AlertView[]>("alerts?limit=500")).reverse(),
    async audit(rounds) {
      for (const process of processes) await process.kill("SIGTERM");
      const journal = await openSqliteJournal({ path: join(stateDir, "journal.db"), now: Date.now });
      try {
        return await auditVersions(journal, join(stateDir, "blobs"), { task: task.id, rounds });
      } finally {
        await journal.close();
      }
    },
    async close() {
      for (const process of processes) await process.kill("SIGKILL");
      await rm(folder, { recursive: true, force: true });
    },
  };
  return fleet;
}

/** Waits until the coordinator's answer satisfies `wanted`; answers that can't be had (it is down) are asked for again. */
export async function eventually<T>(
  ask: () => Promise<T>,
  wanted: (answer: T) => boolean,
  what: string,
  timeoutMs = 60_000,
): Promise<T> {
  let last: unknown;
  try {
    return await until(
      async () => {
        const answer = await ask().catch((error: unknown) => {
          last = error;
          return undefined;
        });
        if (answer !== undefined) last = answer;
        return answer !== undefined && wanted(answer) ? answer : undefined;
      },
      what,
      timeoutMs,
    );
  } catch (error) {
    throw new Error(
      `${(error as Error).message}; the last answer was ${JSON.stringify(last)?.slice(0, 2000)}`,
    );
  }
}

async function auditVersions(
  journal: Journal,
  blobFolder: string,
  { task, rounds }: { task: string; rounds: number },
): Promise<readonly Receipt[]> {
  const counted: Receipt[] = [];
  const blobs = await openDiskBlobs({ folder: blobFolder });
  const versions = await journal.read(`versions/${task}`);
  const numbers = versions.map(({ key }) => Number(key));
  if (numbers.join() !== Array.from({ length: rounds + 1 }, (_, i) => i + 1).join()) {
    throw new Error(`versions are ${numbers.join()}, expected 1 to ${rounds + 1}`);
  }
  const finished = (await journal.read(streams.finished(task))).map(({ value }) => value as RoundView);
  const closed = finished.filter(({ phase }) => phase === "closed");
  if (closed.length !== rounds) throw new Error(`${closed.length} rounds closed, expected ${rounds}`);
  for (const { round, base, version, accepted } of closed) {
    const where = { journal, blobs, task, round };
    const receipts = await receiptsOf(where);
    counted.push(...receipts);
    const devices = receipts.map(({ device }) => device).sort();
    if (devices.join() !== accepted.join() || new Set(devices).size !== devices.length) {
      throw new Error(
        `round ${round} says it accepted ${accepted.join()}, the journal holds ${devices.join()}`,
      );
    }
    const expected = await referenceAverage(where, decodeFrame(await blobs.get(base)).weights);
    const { weights } = decodeFrame(await blobs.get(version!.sha256));
    const wrong = weights.findIndex((w, i) => w !== expected[i]);
    if (wrong >= 0) {
      throw new Error(
        `round ${round}: weight ${wrong} is ${weights[wrong]}, the journal's updates average to ${expected[wrong]}`,
      );
    }
  }
  return counted;
}

/** Three correlated channels with two faults in the test part: enough for a forecaster to learn and to alarm on. */
async function writeSeries(
  folder: string,
  device: string,
  { trainRows, seed, slowness, noise }: SeriesShape,
): Promise<void> {
  const random = createRandom(seed);
  const channels = 3;
  const make = (rows: number, faulty: boolean) =>
    Float32Array.from({ length: rows * channels }, (_, i) => {
      const row = Math.floor(i / channels);
      const channel = i % channels;
      const fault = faulty && channel === 1 && ((row >= 400 && row < 440) || (row >= 900 && row < 960));
      return Math.sin(row / slowness + channel) + noise * random.normal() + (fault ? 3 : 0);
    });
  await writeNpy(join(folder, `${device}_train.npy`), make(trainRows, false), [trainRows, channels]);
  await writeNpy(join(folder, `${device}_test.npy`), make(1500, true), [1500, channels]);
}

function start(args: readonly string[], stdin: "ignore" | "pipe" = "ignore"): ChildProcess {
  return spawn(process.execPath, args, {
    stdio: [stdin, "pipe", "pipe"],
    env: { ...process.env, NODE_OPTIONS: "" },
  });
}

function watch(child: ChildProcess): Process {
  let log = "";
  child.stderr!.setEncoding("utf8").on("data", (text: string) => {
    log = (log + text).slice(-200_000);
  });
  child.stdout!.resume();
  const exited = once(child, "exit");
  return {
    pid: child.pid!,
    input: child.stdin,
    log: () => log,
    get running() {
      return child.exitCode === null && child.signalCode === null;
    },
    async kill(signal) {
      if (child.exitCode !== null || child.signalCode !== null) return;
      child.kill(signal);
      await exited;
    },
  };
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as { port: number };
  server.close();
  await once(server, "close");
  return port;
}

export async function fileSize(path: string): Promise<number> {
  return (await readFile(path).catch(() => new Uint8Array(0))).length;
}
