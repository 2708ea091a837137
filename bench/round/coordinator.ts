import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Child } from "../../cli/demo/children.ts";
import { openSqliteJournal } from "../../coordinator/embedded/sqlite-journal.ts";
import type { Receipt } from "../../coordinator/round.ts";
import { streams } from "../../coordinator/round-record.ts";
import { RoundView } from "../../protocol/api.ts";
import { FleetError } from "../../protocol/errors.ts";
import type { Join } from "../../protocol/join.ts";
import type { TaskSpec } from "../../protocol/task.ts";
import { cpuMsOfAll } from "../cpu-time.ts";
import type { Scratch } from "../scratch.ts";
import { Closed, type CoordinatorProcessOptions, Ready } from "./coordinator-report.ts";

/** The coordinator's process as the benchmark sees it. */
export interface RunningCoordinator {
  readonly child: Child;
  readonly joins: readonly Join[];
  /** Waits for the end of the next round. */
  closed(): Promise<Closed>;
}

const readyTimeoutMs = 60_000;
/** Over the rounds' own deadline, with which a round ends in any case. */
const roundTimeoutMs = 150_000;

export async function startCoordinatorProcess(
  { folder, children }: Scratch,
  { task, devices }: { readonly task: TaskSpec; readonly devices: readonly string[] },
): Promise<RunningCoordinator> {
  const joinsFile = join(folder, "joins.json");
  const options: CoordinatorProcessOptions = {
    stateDir: stateOf(folder),
    task,
    devices: [...devices],
    joinsFile,
  };
  const child = await children.start({
    name: "coordinator",
    file: fileURLToPath(new URL("coordinator-process.js", import.meta.url)),
    args: [JSON.stringify(options)],
    logFile: join(folder, "coordinator.log"),
  });
  Ready.parse(JSON.parse(await child.firstLine(readyTimeoutMs)));
  return {
    child,
    joins: JSON.parse(await readFile(joinsFile, "utf8")) as Join[],
    async closed() {
      const closed = Closed.parse(JSON.parse(await child.firstLine(roundTimeoutMs)));
      if (closed.phase === "aborted")
        throw new FleetError("TIMEOUT", "a round was aborted, so there is nothing to measure: see the load");
      return closed;
    },
  };
}

export interface FollowOptions {
  /** Not counted. */
  readonly warmUpRounds: number;
  readonly rounds: number;
  /** The devices' processes. */
  readonly pids: readonly number[];
  readonly onRound: (round: number) => void;
}

/** What a coordinator and the devices' processes did over some rounds. */
export interface Followed {
  /** Of every round, through the broker's sockets. */
  readonly traffic: readonly { readonly upBytes: number; readonly downBytes: number }[];
  /** Processor time over all of them; `devices` is undefined where the system does not say. */
  readonly cpuMs: { readonly devices: number | undefined; readonly coordinator: number };
}

export async function followRounds(
  coordinator: RunningCoordinator,
  { warmUpRounds, rounds, pids, onRound }: FollowOptions,
): Promise<Followed> {
  for (let i = 1; i < warmUpRounds; i++) await coordinator.closed();
  const first = await coordinator.closed();
  const firstCpuMs = await cpuMsOfAll(pids);
  let last = first;
  const traffic = [];
  for (let round = 1; round <= rounds; round++) {
    onRound(round);
    const closed = await coordinator.closed();
    traffic.push({
      upBytes: closed.receivedBytes - last.receivedBytes,
      downBytes: closed.sentBytes - last.sentBytes,
    });
    last = closed;
  }
  const lastCpuMs = await cpuMsOfAll(pids);
  const devices = lastCpuMs === undefined || firstCpuMs === undefined ? undefined : lastCpuMs - firstCpuMs;
  return { traffic, cpuMs: { devices, coordinator: last.cpuMs - first.cpuMs } };
}

export interface RoundOnRecord {
  readonly view: RoundView;
  readonly receipts: readonly Receipt[];
}

/** The rounds that are over, oldest first, from the journal of a coordinator that has stopped. */
export async function readRounds({ folder }: Scratch, task: TaskSpec): Promise<readonly RoundOnRecord[]> {
  const journal = await openSqliteJournal({ path: join(stateOf(folder), "journal.db"), now: Date.now });
  try {
    const views = (await journal.read(streams.finished(task.id))).map(({ value }) => RoundView.parse(value));
    return await Promise.all(
      views.map(async (view) => {
        const entries = await journal.read(streams.receipts(task.id), { label: String(view.round) });
        return { view, receipts: entries.map(({ value }) => value as Receipt) };
      }),
    );
  } finally {
    await journal.close();
  }
}

function stateOf(folder: string): string {
  return join(folder, "coordinator");
}
