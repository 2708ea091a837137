import { alarmMetrics, labelledEvents } from "../../models/evaluation/alarms.ts";
import { randomRow } from "../../models/evaluation/evaluate.ts";
import { fixedThresholdMetrics } from "../../models/evaluation/fixed.ts";
import { aucPr, auroc } from "../../models/evaluation/ranking.ts";
import type { RoundPhase } from "../../protocol/api.ts";
import { type Heartbeat, type PersonalModel, personalModels, type Running } from "../../protocol/messages.ts";
import { type Column, table } from "../table.ts";

/** How one device did, judged by labels that it never saw. A number that there is none of is null. */
export interface Metrics {
  readonly auroc: number | null;
  readonly aucPr: number | null;
  /** Row by row, at the threshold that the device fixed before its test data; never point-adjusted. */
  readonly f1: number | null;
  /** Normal rows above that threshold, as a part of the normal rows. */
  readonly falseAlarmRate: number | null;
  readonly falseAlarmsPerDay: number | null;
  /** Labelled events that an alarm overlaps, as a part of all. */
  readonly eventRecall: number | null;
}

export interface DeviceMetrics extends Metrics {
  readonly device: string;
  readonly events: number;
  readonly alarms: number;
}

export interface DemoResult {
  readonly devices: readonly string[];
  readonly processes: readonly { device: string; pid: number; peakRssMb: number | null }[];
  /** Peak of a Node process that does nothing: what Node itself takes of each figure above. */
  readonly emptyNodeRssMb: number | null;
  readonly coordinator: { readonly pid: number; readonly peakRssMb: number | null };
  readonly rounds: readonly RoundResult[];
  readonly version: Running | null;
  /** Devices that run exactly that version. */
  readonly installed: readonly string[];
  /** Which model each device scores with, of those that may choose. */
  readonly personal: readonly (NonNullable<Heartbeat["personal"]> & { readonly device: string })[];
  /** null where the data has no labels. */
  readonly metrics: {
    readonly macro: Metrics;
    readonly random: Metrics;
    readonly perDevice: readonly DeviceMetrics[];
  } | null;
  readonly alerts: { readonly count: number; readonly first: readonly AlertResult[] };
  readonly wallMs: number;
}

export interface RoundResult {
  readonly round: number;
  readonly phase: RoundPhase;
  readonly invited: number;
  readonly accepted: number;
  readonly late: number;
  readonly durationMs: number;
  readonly loss: number | null;
}

export interface AlertResult {
  readonly device: string;
  readonly atMs: number;
  readonly row: number;
  readonly score: number;
  readonly threshold: number;
  readonly channels: readonly string[];
}

export interface Judged {
  readonly device: string;
  /** As the agent wrote them: rows ascending, rows without a score left out. */
  readonly rows: Float64Array;
  readonly scores: Float32Array;
  /** 1 while an alarm was open. */
  readonly alarms: Uint8Array;
  readonly labels: Uint8Array;
  /** undefined where the device never said it: then the open alarms stand for it. */
  readonly threshold: number | undefined;
  readonly rateHz: number | undefined;
}

export function judge({ device, rows, scores, alarms, labels, threshold, rateHz }: Judged): DeviceMetrics {
  // Rows that got no score rank below all others, and are no alarms.
  const scored = new Float32Array(labels.length).fill(Number.NaN);
  const alarmed = new Uint8Array(labels.length);
  for (const [i, row] of rows.entries()) {
    if (row >= labels.length) continue;
    scored[row] = scores[i]!;
    alarmed[row] = alarms[i]!;
  }
  const fixed =
    threshold === undefined
      ? fixedThresholdMetrics(Float32Array.from(alarmed), labels, 0.5)
      : fixedThresholdMetrics(scored, labels, threshold);
  const events = alarmMetrics(labelledEvents(alarmed), labels, rateHz);
  return {
    device,
    auroc: known(auroc(scored, labels)),
    aucPr: known(aucPr(scored, labels)),
    f1: known(fixed.f1),
    falseAlarmRate: known(fixed.falsePositiveRate),
    falseAlarmsPerDay: known(events.falseAlarmsPerDay),
    eventRecall: known(events.eventRecall),
    events: events.events,
    alarms: events.alarms,
  };
}

/** What guessing gets on the same labels: the mean over the devices. */
export function judgeRandom(judged: readonly Judged[], seed: number): Metrics {
  return macro(
    judged.map(({ labels, rateHz }) => {
      const { falsePositiveRate, ...row } = randomRow({ labels, seed, rateHz });
      return {
        auroc: known(row.auroc),
        aucPr: known(row.aucPr),
        f1: known(row.f1),
        falseAlarmRate: known(falsePositiveRate),
        falseAlarmsPerDay: known(row.falseAlarmsPerDay),
        eventRecall: known(row.eventRecall),
      };
    }),
  );
}

/** The mean of each figure over the devices that have it. */
export function macro(devices: readonly Metrics[]): Metrics {
  const mean = (key: keyof Metrics): number | null => {
    const values = devices.map((one) => one[key]).filter((value) => value !== null);
    return values.length === 0 ? null : values.reduce((a, b) => a + b, 0) / values.length;
  };
  return {
    auroc: mean("auroc"),
    aucPr: mean("aucPr"),
    f1: mean("f1"),
    falseAlarmRate: mean("falseAlarmRate"),
    falseAlarmsPerDay: mean("falseAlarmsPerDay"),
    eventRecall: mean("eventRecall"),
  };
}

export function metricsTable({ macro: mean, random, perDevice }: NonNullable<DemoResult["metrics"]>): string {
  type Row = Metrics & { readonly device: string; readonly events?: number; readonly alarms?: number };
  const column = (title: string, key: keyof Metrics, digits: number): Column<Row> => ({
    title,
    value: (row) => row[key],
    digits,
  });
  const columns: Column<Row>[] = [
    { title: "device", value: ({ device }) => device },
    column("AUROC", "auroc", 3),
    column("AUC-PR", "aucPr", 3),
    column("F1 fixed", "f1", 3),
    column("false alarms/day", "falseAlarmsPerDay", 2),
    column("event recall", "eventRecall", 2),
    { title: "events", value: ({ events }) => events, digits: 0 },
    { title: "alarms", value: ({ alarms }) => alarms, digits: 0 },
  ];
  const rows: Row[] = [...perDevice, { device: "mean", ...mean }, { device: "random", ...random }];
  return table(columns, rows, { rulesBefore: [perDevice.length] });
}

export function personalTable(personal: DemoResult["personal"]): string {
  type Row = DemoResult["personal"][number];
  const loss = (model: PersonalModel): Column<Row> => ({
    title: `loss ${model}`,
    value: ({ losses }) => losses?.[model],
    digits: 4,
  });
  return table<Row>(
    [
      { title: "device", value: ({ device }) => device },
      { title: "model", value: ({ model }) => model },
      ...personalModels.map(loss),
      ...(personal.some(({ problem }) => problem !== undefined)
        ? [{ title: "problem", value: ({ problem }: Row) => problem }]
        : []),
    ],
    personal,
  );
}

export function processTable({ processes, coordinator, emptyNodeRssMb }: DemoResult): string {
  const rows = [
    ...processes,
    { device: "coordinator", ...coordinator },
    { device: "(empty Node)", pid: undefined, peakRssMb: emptyNodeRssMb },
  ];
  return table<(typeof rows)[number]>(
    [
      { title: "process", value: ({ device }) => device },
      { title: "pid", value: ({ pid }) => pid, digits: 0 },
      { title: "peak RSS MB", value: ({ peakRssMb }) => peakRssMb, digits: 1 },
    ],
    rows,
    { rulesBefore: [processes.length] },
  );
}

/** JSON has no NaN. */
function known(value: number): number | null {
  return Number.isFinite(value) ? value : null;
}
