import type { OpenOptions } from "../../models/data/data-set.ts";
import { openDataSets } from "../../models/data/data-set.ts";
import type { DataSet } from "../../models/data/device-set.ts";
import type { Arm } from "../../models/evaluation/arms.ts";
import { baselines } from "../../models/evaluation/baselines.ts";
import { type ResultRow, resultRow } from "../../models/evaluation/results.ts";
import { run } from "../../models/evaluation/run.ts";
import type { AlarmSpec, DetectorSpec, PretrainSpec, TrainingSpec } from "../../protocol/task.ts";
import { type DevicePlot, devicePlot, type PlotSize } from "../report/device-plot.ts";
import { readable } from "./readable.ts";

/** One piece of an evaluation, plain data: one detector from one seed on one set, or what guessing gets there. */
export interface Job {
  readonly data: string;
  readonly open: OpenOptions;
  /** Which of the folder's sets. */
  readonly set: string;
  readonly devices?: readonly string[];
  readonly seed: number;
  readonly vus: { readonly window: number; readonly thresholds: number };
  readonly work: DetectorWork | { readonly kind: "baselines" };
}

export interface DetectorWork {
  readonly kind: "detector";
  readonly detector: DetectorSpec;
  readonly training: TrainingSpec;
  readonly pretrain?: PretrainSpec;
  readonly alarm: AlarmSpec;
  readonly rounds: number;
  readonly arms: readonly Arm[];
  /** Plots of the scores are wanted, so large. */
  readonly plots?: PlotSize;
}

/** Plain JSON. */
export interface JobResult {
  readonly rows: readonly ResultRow[];
  readonly plots: readonly DevicePlot[];
  /** Devices that took no part. */
  readonly leftOut: readonly { readonly device: string; readonly message: string }[];
}

export type OpenedSets = (job: Pick<Job, "data" | "open" | "set" | "devices">) => Promise<DataSet>;

/** Keeps the set that was used last, as the jobs of one set follow each other. */
export function openedSets(): OpenedSets {
  let last: { key: string; set: Promise<DataSet> } | undefined;
  return ({ data, open, set: name, devices }) => {
    const key = JSON.stringify([data, open, name, devices]);
    if (last?.key !== key) {
      const found = openDataSets(data, open).then((sets) => sets.find((one) => one.name === name)!);
      last = { key, set: found.then(async (set) => (await readable(set, devices)).set) };
    }
    return last.set;
  };
}

export async function runJob(
  job: Job,
  sets: OpenedSets,
  onProgress: (done: { readonly part: number; readonly text: string }) => void,
): Promise<JobResult> {
  const set = await sets(job);
  const { seed, vus, work } = job;
  const toRows = (rows: Awaited<ReturnType<typeof run>>) => rows.map((row) => resultRow(row, set));
  if (work.kind === "baselines")
    return { rows: toRows(await baselines({ set, seed, vus })), plots: [], leftOut: [] };
  const leftOut: { device: string; message: string }[] = [];
  const plots: DevicePlot[] = [];
  const names = new Map<string, readonly string[]>();
  for (const { device, load } of set.devices) names.set(device, (await load()).train.names);
  const { plots: size, kind: _, ...settings } = work;
  const rows = await run({
    set,
    ...settings,
    seed,
    vus,
    onProgress: ({ arm, trained, of }) => onProgress({ part: trained / of, text: arm }),
    onLeftOut: (device, { message }) => leftOut.push({ device, message }),
    ...(size && {
      onScores: (scored) =>
        plots.push(devicePlot({ ...scored, data: set.name, names: names.get(scored.device)! }, size)),
    }),
  });
  return { rows: toRows(rows), plots, leftOut };
}
