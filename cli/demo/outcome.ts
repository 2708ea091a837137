import { readScores } from "../../agent/scores-file.ts";
import { readLabels } from "../../models/data/read.ts";
import type { Api } from "../api.ts";
import type { Child } from "./children.ts";
import type { Fleet } from "./follow.ts";
import { toMb } from "./peak-rss.ts";
import type { Plan } from "./plan.ts";
import { type AgentProcess, scoresFile } from "./processes.ts";
import { type DemoResult, type Judged, judge, judgeRandom, macro } from "./report.ts";

/** Alerts named in the result; all are counted. */
const alertsNamed = 20;
/** More than a demo ever has. */
const everything = 100_000;

/** What must be asked while the processes still run. */
export type Facts = Pick<
  DemoResult,
  "devices" | "processes" | "coordinator" | "rounds" | "version" | "installed" | "personal" | "alerts"
>;

export async function gatherFacts({
  api,
  fleet,
  plan,
  agents,
  coordinator,
}: {
  readonly api: Api;
  readonly fleet: Fleet;
  readonly plan: Plan;
  readonly agents: readonly AgentProcess[];
  readonly coordinator: Child;
}): Promise<Facts> {
  const [rounds, versions, alerts, devices] = await Promise.all([
    api.rounds(everything),
    api.versions(1),
    api.alerts(everything),
    api.fleet(),
  ]);
  const [newest] = versions;
  const version = newest === undefined ? null : { number: newest.number, sha256: newest.sha256 };
  const onsets = alerts.filter(({ phase }) => phase === "onset").reverse();
  return {
    devices: plan.devices.map(({ device }) => device),
    processes: await Promise.all(
      agents.map(async ({ device, child }) => ({
        device,
        pid: child.pid,
        peakRssMb: (await child.peakRssMb()) ?? heartbeatPeakMb(fleet, device),
      })),
    ),
    coordinator: { pid: coordinator.pid, peakRssMb: (await coordinator.peakRssMb()) ?? null },
    rounds: rounds.reverse().map((view) => ({
      round: view.round,
      phase: view.phase,
      invited: view.invited.length,
      accepted: view.accepted.length,
      late: view.late.length,
      durationMs: (view.closedMs ?? Date.now()) - view.openedMs,
      loss: view.loss,
    })),
    version,
    installed: devices
      .filter(({ running }) => running !== null && running.sha256 === version?.sha256)
      .map(({ device }) => device),
    personal: devices.flatMap(({ device, heartbeat }) => {
      const said = heartbeat?.personal ?? null;
      return said === null ? [] : [{ device, ...said }];
    }),
    alerts: {
      count: onsets.length,
      first: onsets.slice(0, alertsNamed).map((view) => ({
        device: view.device,
        atMs: view.atMs,
        row: view.row,
        score: view.score,
        threshold: view.threshold,
        channels: view.channels.map(({ name, channel }) => name ?? `c${channel + 1}`),
      })),
    },
  };
}

/** Judges the devices that have labels. Their scores files are whole only once the agents have ended. */
export async function gatherMetrics(
  plan: Plan,
  options: {
    readonly folder: string;
    readonly thresholds: ReadonlyMap<string, number>;
    readonly seed: number;
  },
): Promise<DemoResult["metrics"]> {
  const judged = await gatherScores(plan, options);
  if (judged.length === 0) return null;
  const perDevice = judged.map(judge);
  return { macro: macro(perDevice), random: judgeRandom(judged, options.seed), perDevice };
}

async function gatherScores(
  plan: Plan,
  { folder, thresholds }: { folder: string; thresholds: ReadonlyMap<string, number> },
): Promise<Judged[]> {
  const judged: Judged[] = [];
  for (const { device, labels, rateHz } of plan.devices) {
    if (labels === undefined) continue;
    judged.push({
      device,
      ...(await readScores(scoresFile(folder, device))),
      labels: await readLabels(labels),
      threshold: thresholds.get(device),
      rateHz,
    });
  }
  return judged;
}

function heartbeatPeakMb(fleet: Fleet, device: string): number | null {
  const bytes = fleet.devices.get(device)?.heartbeat?.peakRssBytes;
  return bytes === undefined ? null : toMb(bytes);
}
