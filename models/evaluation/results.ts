import type { PersonalModel } from "../../protocol/messages.ts";
import type { DataSet } from "../data/device-set.ts";
import { type Evaluation, type TableMetrics, tableMetrics } from "./evaluate.ts";
import type { NabFigures } from "./nab-alarms.ts";
import type { RunRow } from "./run.ts";

/** What a table of results can have a column of. */
export type Figures = {
  readonly [Name in keyof TableMetrics | keyof NabFigures | "accuracy" | "logLoss"]: number | null;
};

/** One line of a result file. Figures that there are none of are null. */
export interface ResultRow extends Figures {
  readonly data: string;
  readonly detector: string;
  /** `none`: of a row that nothing was trained for. */
  readonly arm: string;
  readonly seed: number;
  /** `macro`: the mean over the devices; `pooled`: all their rows as one. */
  readonly device: string;
  readonly vusRoc: number | null;
  readonly pointPrecision: number | null;
  readonly pointRecall: number | null;
  readonly eventPrecision: number | null;
  readonly eventRecall: number | null;
  readonly hitRate150: number | null;
  /** Of a macro line the means. */
  readonly events: number | null;
  readonly alarms: number | null;
  /** Of a device in the arm finetune: what it scores with. */
  readonly model: PersonalModel | null;
  /** The same of all devices behind a pooled line. */
  readonly models?: readonly PersonalModel[];
}

/** What one detector in one arm gets on one set, over its seeds. */
export interface SummaryRow {
  readonly data: string;
  readonly detector: string;
  readonly arm: string;
  readonly seeds: number;
  readonly device: "macro" | "pooled";
  readonly mean: Figures;
  /** Standard deviation over the seeds, n - 1 in its denominator; null for one seed. */
  readonly sd: Figures;
  /** The device with the lowest VUS-PR (AUROC where there is none), by its mean over the seeds; null for pooled sets. */
  readonly worst: DeviceFigures | null;
  /** The device that loses most, or gains least, of its AUROC against its own local model; null without a local arm. */
  readonly againstLocal: { readonly device: string; readonly auroc: number } | null;
  /** Of the arm finetune: the devices that score with each model, counted once a seed. Null for other arms. */
  readonly models: Readonly<Record<PersonalModel, number>> | null;
}

export interface DeviceFigures {
  readonly device: string;
  readonly vusPr: number | null;
  readonly auroc: number | null;
}

/** What a set has no meaning for is null: rows that stand in no order have no events, delays or neighbours, and where no class is normal there is no alarm. */
export function resultRow(
  row: RunRow,
  { kind, classes: told }: Pick<DataSet, "kind" | "classes">,
): ResultRow {
  const { evaluation, data, detector, arm, seed, device, model, models, classes, nab } = row;
  const known = (key: keyof Evaluation) => (told ? null : finite(evaluation[key]));
  const inTime = (key: keyof Evaluation) => (kind === "series" ? known(key) : null);
  const meant = (name: string) => !told && (kind === "series" || WITHOUT_ORDER.has(name));
  const figures = Object.entries(tableMetrics(evaluation)).map(([key, value]) => [
    key,
    meant(key) ? value : null,
  ]);
  return {
    data,
    detector,
    arm,
    seed,
    device,
    ...(Object.fromEntries(figures) as TableMetrics),
    nabScore: finite(nab?.nabScore),
    nabScoreOracle: finite(nab?.nabScoreOracle),
    vusRoc: inTime("vusRoc"),
    pointPrecision: known("precision"),
    pointRecall: known("recall"),
    eventPrecision: inTime("eventPrecision"),
    eventRecall: inTime("eventRecall"),
    hitRate150: inTime("hitRate150"),
    accuracy: finite(classes?.accuracy),
    logLoss: finite(classes?.logLoss),
    events: inTime("events"),
    alarms: inTime("alarms"),
    model,
    ...(models && { models }),
  };
}

/** What rows in no order have a meaning for. */
const WITHOUT_ORDER: ReadonlySet<string> = new Set<keyof TableMetrics>([
  "aucPr",
  "auroc",
  "pointF1",
  "falsePositiveRate",
]);

const FIGURES = [
  "vusPr",
  "aucPr",
  "auroc",
  "pointF1",
  "eventF1",
  "compositeF1",
  "falsePositiveRate",
  "falseAlarmsPerDay",
  "detectionDelay",
  "hitRate100",
  "nabScore",
  "nabScoreOracle",
  "accuracy",
  "logLoss",
] as const satisfies readonly (keyof Figures)[];

function finite(value = Number.NaN): number | null {
  return Number.isFinite(value) ? value : null;
}

/** Mean and standard deviation over the seeds of each set, detector and arm, in the order in which they come first. */
export function summarize(rows: readonly ResultRow[]): SummaryRow[] {
  const groups = grouped(rows, ({ data, detector, arm }) => JSON.stringify([data, detector, arm]));
  return [...groups.values()].map((group): SummaryRow => {
    const { data, detector, arm } = group[0]!;
    const whole = group.filter(isWhole);
    const devices = byDevice(group);
    const local = byDevice(
      rows.filter((r) => r.data === data && r.detector === detector && r.arm === "local"),
    );
    const figures = (of: (values: number[]) => number | null) =>
      Object.fromEntries(FIGURES.map((name) => [name, of(valuesOf(whole, name))])) as Figures;
    return {
      data,
      detector,
      arm,
      seeds: whole.length,
      device: whole[0]?.device === "pooled" ? "pooled" : "macro",
      mean: figures(mean),
      sd: figures(standardDeviation),
      worst: lowest(devices, ({ vusPr, auroc }) => vusPr ?? auroc),
      againstLocal: arm === "local" || arm === "none" ? null : most(devices, local),
      models: counted(group.flatMap(({ model, models = [] }) => model ?? models)),
    };
  });
}

function counted(models: readonly PersonalModel[]): SummaryRow["models"] {
  if (models.length === 0) return null;
  const of = (model: PersonalModel) => models.filter((one) => one === model).length;
  return { fleet: of("fleet"), tuned: of("tuned"), own: of("own") };
}

export function isWhole({ device }: Pick<ResultRow, "device">): boolean {
  return device === "macro" || device === "pooled";
}

function byDevice(rows: readonly ResultRow[]): DeviceFigures[] {
  const groups = grouped(
    rows.filter((row) => !isWhole(row)),
    ({ device }) => device,
  );
  return [...groups].map(([device, group]) => ({
    device,
    vusPr: mean(valuesOf(group, "vusPr")),
    auroc: mean(valuesOf(group, "auroc")),
  }));
}

function most(devices: readonly DeviceFigures[], local: readonly DeviceFigures[]) {
  const changes = devices.flatMap(({ device, auroc }) => {
    const own = local.find((one) => one.device === device)?.auroc ?? null;
    return auroc === null || own === null ? [] : [{ device, auroc: auroc - own }];
  });
  return lowest(changes, ({ auroc }) => auroc);
}

function lowest<T>(items: readonly T[], of: (item: T) => number | null): T | null {
  let found: T | null = null;
  for (const item of items) {
    const value = of(item);
    if (value !== null && (found === null || value < of(found)!)) found = item;
  }
  return found;
}

function valuesOf(rows: readonly ResultRow[], name: keyof Figures): number[] {
  return rows.flatMap((row) => row[name] ?? []);
}

function mean(values: readonly number[]): number | null {
  return values.length === 0 ? null : values.reduce((a, b) => a + b, 0) / values.length;
}

function standardDeviation(values: readonly number[]): number | null {
  if (values.length < 2) return null;
  const middle = mean(values)!;
  return Math.sqrt(values.reduce((sum, v) => sum + (v - middle) ** 2, 0) / (values.length - 1));
}

function grouped<T>(items: readonly T[], keyOf: (item: T) => string): Map<string, T[]> {
  const groups = new Map<string, T[]>();
  for (const item of items) {
    const key = keyOf(item);
    const group = groups.get(key);
    if (group) group.push(item);
    else groups.set(key, [item]);
  }
  return groups;
}
