import { z } from "zod";
import type { AlertView, DeviceView, RoundView } from "../../protocol/api.ts";
import { connectApi } from "../api.ts";
import { command } from "../command.ts";
import { type Column, table } from "../table.ts";
import { answer, printable } from "../terminal.ts";
import { json, jsonFlag } from "./common.ts";

const Options = z.strictObject({
  url: z
    .url({ protocol: /^https?$/, error: "a coordinator's url is such as http://127.0.0.1:8080" })
    .default("http://127.0.0.1:8080"),
  limit: z.int().min(1).max(1000).default(10),
  json,
});

export const statusCommand = command({
  name: "status",
  description: "Shows the devices, the last rounds and the last alerts of a running coordinator.",
  options: Options,
  flags: [
    { path: "url", flag: "--url <url>", description: "the coordinator's HTTP address" },
    { path: "limit", flag: "--limit <n>", description: "rounds and alerts to show" },
    jsonFlag,
  ],
  examples: [
    { command: "starling status", what: "of the coordinator on this machine" },
    {
      command: "starling status --url http://10.0.0.5:8080 --limit 50",
      what: "of another, with a longer past",
    },
    { command: "starling status --json | jq '.fleet[].device'", what: "for scripts" },
  ],
  async run({ url, limit, json: asJson }, terminal) {
    const api = connectApi(url);
    const [task, fleet, rounds, alerts] = await Promise.all([
      api.task(),
      api.fleet(),
      api.rounds(limit),
      api.alerts(limit),
    ]);
    const { id, rounds: planned, detector } = task.task;
    const version =
      task.version === null
        ? "no version yet"
        : `version ${task.version.number} (${task.version.sha256.slice(0, 12)})`;
    answer(terminal, asJson, {
      value: { task, fleet, rounds, alerts },
      text: () =>
        [
          `Task ${id}: ${detector.name}, ${task.phase}, round ${task.roundsDone} of ${planned}, ${version}`,
          "",
          fleet.length === 0
            ? "No device is enrolled yet: `starling enroll DEVICE --state DIR` makes one."
            : fleetTable(fleet),
          ...fleetNotes(fleet),
          ...(rounds.length === 0 ? [] : ["", roundsTable(rounds)]),
          ...(alerts.length === 0 ? [] : ["", alertsTable(alerts)]),
        ].join("\n"),
    });
    return undefined;
  },
});

/** Of tasks with personal models: which one scores, and its usual error over that of the fleet's model, on the device's held-back data. */
const personalColumns: readonly Column<DeviceView>[] = [
  { title: "model", value: ({ heartbeat }) => heartbeat?.personal?.model },
  {
    title: "error/fleet's",
    value({ heartbeat }) {
      const { model, losses } = heartbeat?.personal ?? {};
      if (model === undefined || !losses) return undefined;
      const [loss, fleet] = [losses[model], losses.fleet];
      // The losses are logarithms, of errors or of likelihoods.
      return loss === null || fleet === null ? undefined : Math.exp(loss - fleet);
    },
    digits: 3,
  },
];

export function fleetTable(fleet: readonly DeviceView[]): string {
  const personal = fleet.some(({ heartbeat }) => heartbeat?.personal !== undefined);
  return table<DeviceView>(
    [
      { title: "device", value: ({ device }) => device },
      {
        title: "state",
        value: ({ online, heartbeat }) => (online ? (heartbeat?.activity ?? "online") : "away"),
      },
      { title: "version", value: ({ running }) => running?.number, digits: 0 },
      ...(personal ? personalColumns : []),
      { title: "rows", value: ({ heartbeat }) => heartbeat?.rows, digits: 0 },
      { title: "scored", value: ({ heartbeat }) => heartbeat?.scored, digits: 0 },
      { title: "alerts", value: ({ alerts }) => alerts, digits: 0 },
      { title: "threshold", value: ({ heartbeat }) => heartbeat?.level?.threshold, digits: 2 },
      { title: "drift", value: ({ heartbeat }) => heartbeat?.drift?.state },
      {
        title: "RSS MB",
        value: ({ heartbeat }) => heartbeat && heartbeat.rssBytes / 1024 / 1024,
        digits: 0,
      },
      {
        title: "refused",
        value: ({ refused }) => {
          const entries = Object.entries(refused).map(([code, count]) => `${code} ${count}`);
          return entries.length === 0 ? undefined : entries.join(", ");
        },
      },
    ],
    fleet,
  );
}

/** What the devices say of their own thresholds and drift, where a person should know of it. */
export function fleetNotes(fleet: readonly DeviceView[]): readonly string[] {
  const names = (of: (heartbeat: NonNullable<DeviceView["heartbeat"]>) => boolean) =>
    fleet.filter(({ heartbeat }) => heartbeat !== null && of(heartbeat)).map(({ device }) => device);
  const notes = [
    ["retraining is due", names(({ drift }) => drift?.state === "retrain-due")],
    [
      "fitted its threshold again to drifting scores, as far as it may",
      names(({ level }) => level?.limited === true),
    ],
    [
      "fitted its threshold again to drifting scores",
      names(({ level }) => level?.limited === false && level.recalibrations > 0),
    ],
    [
      "could make no model of its own, so the fleet's scores: its log says why",
      names(({ personal }) => personal?.problem !== undefined),
    ],
    [
      "the alarm budget is less than its data can show, so the threshold is extrapolated",
      names(({ level }) => level?.basis === "extrapolated"),
    ],
    [
      "its data are too few for the alarm budget: the highest normal score stands in",
      names(({ level }) => level?.basis === "highest"),
    ],
    [
      "the alarm settings can't be met, so the rule auto stands in: its log says why",
      names(({ level }) => level?.basis === "fallback"),
    ],
  ] as const;
  const said = notes.flatMap(([what, devices]) =>
    devices.length === 0 ? [] : [`${devices.join(", ")}: ${what}`],
  );
  const odd = fleet.flatMap(({ device, heartbeat }) =>
    (heartbeat?.oddChannels ?? []).map(
      ({ channel, name = channel, what }) => `${device}: channel ${printable(`${name} ${what}`)}`,
    ),
  );
  const barred = fleet.flatMap(({ device, problem }) =>
    problem === undefined ? [] : [`${device} can't take part: ${printable(problem)}`],
  );
  const all = [...barred, ...said, ...odd];
  return all.length === 0 ? [] : ["", ...all];
}

export function roundsTable(rounds: readonly RoundView[]): string {
  return table<RoundView>(
    [
      { title: "round", value: ({ round }) => round, digits: 0 },
      { title: "phase", value: ({ phase }) => phase },
      { title: "invited", value: ({ invited }) => invited.length, digits: 0 },
      { title: "accepted", value: ({ accepted }) => accepted.length, digits: 0 },
      { title: "late", value: ({ late }) => late.length, digits: 0 },
      { title: "loss", value: ({ loss }) => loss, digits: 5 },
      {
        title: "seconds",
        value: ({ openedMs, closedMs }) => (closedMs === null ? null : (closedMs - openedMs) / 1000),
        digits: 1,
      },
      { title: "reason", value: ({ reason }) => reason },
    ],
    rounds,
  );
}

export function alertsTable(alerts: readonly AlertView[]): string {
  return table<AlertView>(
    [
      { title: "time", value: ({ atMs }) => timeText(atMs) },
      { title: "device", value: ({ device }) => device },
      { title: "alert", value: ({ phase }) => phase },
      { title: "score", value: ({ score }) => score, digits: 2 },
      { title: "threshold", value: ({ threshold }) => threshold, digits: 2 },
      { title: "chance", value: ({ probability }) => probability?.toExponential(0) },
      { title: "channels", value: channelsText },
    ],
    alerts,
  );
}

export function timeText(atMs: number): string {
  return new Date(atMs).toISOString().replace("T", " ").slice(0, 19);
}

/** `flow 61 %, pressure 22 %` */
export function channelsText({ channels }: Pick<AlertView, "channels">): string {
  return channels
    .slice(0, 3)
    .map(({ channel, name, share }) => `${printable(name ?? `c${channel + 1}`)} ${Math.round(share * 100)} %`)
    .join(", ");
}
