import { readFile, writeFile } from "node:fs/promises";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Child } from "../../cli/demo/children.ts";
import { formatJoin, type Join } from "../../protocol/join.ts";
import { type Scratch, withScratch } from "../scratch.ts";
import { type AgentLog, momentOf, readAgentLog } from "./agent-log.ts";
import { followRounds, type RoundOnRecord, readRounds, startCoordinatorProcess } from "./coordinator.ts";
import { type DeviceTimes, type RoundTimes, splitRound } from "./parts.ts";
import { type Measure, summarise } from "./row.ts";
import { rateHz, roundTask, writeStation } from "./workload.ts";

/** As in the first line of dist/starling-agent.js. */
const nodeArgs = ["--max-semi-space-size=1"];
/** Started at once: more would only wait for each other. */
const batch = 8;
const readyTimeoutMs = 60_000;
const warmUpRounds = 1;

/** A coordinator and `agents` agents, every one a process, over MQTT on loopback. */
export const measureWithAgents: Measure = ({ agents, rounds, costs, progress, signal }) =>
  withScratch(signal, async (scratch) => {
    const task = roundTask(agents, rounds + warmUpRounds);
    const devices = Array.from({ length: agents }, (_, i) => `pump-${i + 1}`);
    progress(`${agents} agents: starting`);
    const coordinator = await startCoordinatorProcess(scratch, { task, devices });
    const started: Child[] = [];
    for (let from = 0; from < agents; from += batch) {
      const some = coordinator.joins.slice(from, from + batch);
      started.push(...(await Promise.all(some.map((join, i) => startAgent(scratch, join, from + i + 1)))));
      progress(`${agents} agents: ${started.length} started`);
    }
    const followed = await followRounds(coordinator, {
      warmUpRounds,
      rounds,
      pids: started.map(({ pid }) => pid),
      onRound: (round) => progress(`${agents} agents: round ${round} of ${rounds}`),
    });
    const peaks = await Promise.all(started.map((child) => child.peakRssMb()));
    const coordinatorPeak = await coordinator.child.peakRssMb();

    progress(`${agents} agents: stopping`);
    // Devices first: each says good-bye to a coordinator that is there.
    await Promise.all(started.map((child) => child.stop()));
    await coordinator.child.stop();
    const records = (await readRounds(scratch, task)).slice(warmUpRounds);
    const logs = new Map<string, AgentLog>();
    for (const device of devices)
      logs.set(device, readAgentLog(await readFile(logFile(scratch, device), "utf8")));
    const times = records.map((record) => timesOf(record, logs));
    return summarise({
      mode: "agents",
      agents,
      records,
      ...followed,
      parts: times.map((round) => splitRound(round, costs, availableParallelism())),
      peakRss: {
        device: Math.max(...peaks.map((mb) => mb ?? Number.NaN)),
        coordinator: coordinatorPeak ?? Number.NaN,
      },
    });
  });

async function startAgent(scratch: Scratch, join_: Join, station: number): Promise<Child> {
  const { folder, children } = scratch;
  const { device } = join_;
  const joinFile = join(folder, `${device}.join`);
  await writeFile(joinFile, formatJoin(join_), { mode: 0o600 });
  const { train, test } = await writeStation(folder, station);
  const child = await children.start({
    name: `agent ${device}`,
    file: fileURLToPath(new URL("../../starling-agent.js", import.meta.url)),
    nodeArgs,
    args: [
      ...["--exit-with-parent", "--json", "--join-file", joinFile, "--state", join(folder, device)],
      ...["--history", train, "--source", test, "--speed", "0", "--hold", "--rate-hz", String(rateHz)],
    ],
    logFile: logFile(scratch, device),
  });
  await child.firstLine(readyTimeoutMs);
  return child;
}

function logFile({ folder }: Scratch, device: string): string {
  return join(folder, `${device}.log`);
}

/** From the journal's receipts and the agents' logs: one machine, one clock. */
function timesOf({ view, receipts }: RoundOnRecord, logs: ReadonlyMap<string, AgentLog>): RoundTimes {
  const { round, base, openedMs, closedMs } = view;
  const devices = receipts.map(({ device, trainMs, atMs }): DeviceTimes => {
    const log = momentOf(logs, device, `${device} did anything`);
    const installedMs = momentOf(log.installed, base, `${device} installed the version of round ${round}`);
    const trained = momentOf(log.trained, round, `${device} had trained for round ${round}`);
    return {
      fetchMs: log.fetched.get(base) ?? installedMs,
      installedMs,
      beganMs: trained.atMs - trained.tookMs,
      trainedMs: trained.atMs,
      receivedMs: atMs,
      trainMs,
    };
  });
  return { openedMs, closedMs: closedMs ?? openedMs, devices };
}
