import { stringify } from "yaml";
import { z } from "zod";
import { openDataSet } from "../../models/data/data-set.ts";
import { sliceSeries } from "../../models/data/series.ts";
import {
  type Trial,
  TUNE_CRITERION,
  type Tuned,
  type TuneOptions,
  tune,
} from "../../models/evaluation/tune.ts";
import { FleetError } from "../../protocol/errors.ts";
import { TaskSpec } from "../../protocol/task.ts";
import { command, type Terminal } from "../command.ts";
import { learningFlags } from "../config/learning-flags.ts";
import { topologyFlag, withTopology } from "../config/topology-file.ts";
import { table } from "../table.ts";
import { answer } from "../terminal.ts";
import { json, jsonFlag } from "./common.ts";

const text = z.string().min(1, "give a name");

const Options = z.strictObject({
  data: z.string().min(1, "give the path of a folder"),
  set: text.optional(),
  setTask: text.optional(),
  labelColumn: text.optional(),
  devices: z.array(text).optional(),
  rows: z.int().min(100).default(10_000),
  trials: z.int().min(1).max(1000).default(12),
  topology: z.string().min(1, "give the path of a file").optional(),
  task: TaskSpec.prefault({}),
  json,
});

/** More than these, and a person reads no table. */
const SHOWN = 10;

export const tuneCommand = command({
  name: "tune",
  description: `Searches a detector's settings on the training part of a data set, and prints the best as a task's settings. Judged by: ${TUNE_CRITERION}. Tried are the search values of the kind and, where it learns by gradients, window and learning rate: the present settings first, then others drawn by the seed, or all where there are no more. An epoch count is rounds * epochs of the task.`,
  options: Options,
  flags: [
    {
      path: "data",
      flag: "--data <dir>",
      description: "a data set: `starling datasets look DIR` says how it is read",
    },
    { path: "task.detector.name", flag: "--detector <name>", description: "the detector to tune" },
    topologyFlag,
    { path: "trials", flag: "--trials <n>", description: "settings to try, at most" },
    {
      path: "rows",
      flag: "--rows <n>",
      description: "of each device's training part, at most so many rows, its latest",
    },
    { path: "devices", flag: "--devices <names>", description: "only these devices, joined by commas" },
    { path: "task.rounds", flag: "--rounds <n>", description: "rounds of the task" },
    { path: "task.training.epochs", flag: "--epochs <n>", description: "epochs in one round" },
    ...learningFlags,
    { path: "task.seed", flag: "--seed <n>", description: "of the search, the weights and the faults" },
    { path: "set", flag: "--set <name>", description: "read it as this known set, or as a .yaml file says" },
    { path: "setTask", flag: "--set-task <name>", description: "one task of a set that has several" },
    {
      path: "labelColumn",
      flag: "--label-column <name>",
      description: "of csv files: the column of 0/1 labels",
    },
    jsonFlag,
  ],
  examples: [
    { command: "starling tune --data ./smd --detector cnn-forecaster", what: "twelve settings" },
    {
      command: "starling tune --data ./smd --devices machine-1-6 --trials 100 --json",
      what: "the whole grid on one machine, for a program",
    },
  ],
  async run(options, terminal) {
    const { data, set, setTask, labelColumn, devices: only, rows, trials, task, json: asJson } = options;
    const detector = await withTopology(task.detector, options.topology);
    const found = await openDataSet(data, { set, task: setTask, labelColumn });
    if (found.kind !== "series")
      throw new FleetError(
        "BAD_INPUT",
        `${found.name} has ${found.kind}, and tune makes faults in series; give a set of series`,
      );
    const unknown = only?.find((name) => !found.devices.some(({ device }) => device === name));
    if (unknown !== undefined) {
      const names = found.devices.map(({ device }) => device).join(", ");
      throw new FleetError("BAD_INPUT", `${found.name} has no device "${unknown}"; it has ${names}`);
    }
    const devices: { device: string; train: TuneOptions["devices"][number]["train"] }[] = [];
    for (const { device, load } of found.devices) {
      if (only && !only.includes(device)) continue;
      const { train } = await load();
      const latest = sliceSeries(train, Math.max(0, train.rows - rows), train.rows);
      devices.push({ device, train: { ...latest, values: latest.values.slice() } });
    }
    const { training, pretrain, alarm, seed, rounds } = task;
    const tuned = await searched(terminal, {
      detector,
      training: { ...training, epochs: rounds * training.epochs },
      pretrain: pretrain && { ...pretrain, epochs: pretrain.rounds * training.epochs },
      alarm,
      devices,
      trials,
      seed,
    });
    const config = { task: settingsOf(tuned) };
    answer(terminal, asJson, {
      value: {
        data: found.name,
        detector: detector.name,
        seed,
        devices: devices.map(({ device }) => device),
        criterion: TUNE_CRITERION,
        random: tuned.random,
        exhaustive: tuned.exhaustive,
        leftOut: tuned.leftOut,
        trials: tuned.trials,
        best: tuned.best,
        base: tuned.base,
        config,
      },
      text: () => textOf(tuned, config),
    });
    return undefined;
  },
});

async function searched(terminal: Terminal, options: TuneOptions): Promise<Tuned> {
  const aborter = new AbortController();
  const abort = () => aborter.abort();
  process.once("SIGINT", abort);
  const bar = await progressBar(terminal, options.trials);
  try {
    return await tune({ ...options, signal: aborter.signal, onProgress: bar.update });
  } finally {
    bar.close();
    process.off("SIGINT", abort);
  }
}

async function progressBar(
  { stderr }: Terminal,
  trials: number,
): Promise<{ update: NonNullable<TuneOptions["onProgress"]>; close(): void }> {
  if (!stderr.isTTY) return { update() {}, close() {} };
  const { Presets, SingleBar } = (await import("cli-progress")).default;
  const bar = new SingleBar(
    {
      stream: stderr,
      format: "{bar} {value}/{total} settings  best AUC-PR {best}",
      clearOnComplete: true,
      hideCursor: true,
    },
    Presets.shades_classic,
  );
  bar.start(trials, 0, { best: "-" });
  return {
    update({ trials, of, best }) {
      bar.setTotal(of);
      bar.update(trials, { best: best.toFixed(3) });
    },
    close: () => bar.stop(),
  };
}

/** What stands in the config of a coordinator: what was searched, and no more. */
function settingsOf({ best: { point }, detector, training }: Tuned) {
  const { window, learningRate, ...options } = point;
  return {
    detector: {
      name: detector.name,
      ...(window !== undefined && { window, stride: detector.stride }),
      ...(Object.keys(options).length > 0 && { options: detector.options }),
    },
    ...(learningRate !== undefined && { training: { learningRate: training.learningRate } }),
  };
}

function textOf({ trials, best, base, random, exhaustive, leftOut }: Tuned, config: unknown): string {
  const axes = Object.keys(best.point);
  const rows = trials.slice(0, SHOWN);
  const shown = table<Trial>(
    [
      ...axes.map((name) => ({
        title: name,
        value: ({ point }: Trial) => point[name],
        align: "right" as const,
      })),
      { title: "AUC-PR", value: ({ aucPr }) => aucPr, digits: 4 },
      { title: "held-back loss", value: ({ heldBackLoss }) => heldBackLoss, digits: 4 },
      { title: "weights", value: ({ parameters }) => parameters || null, align: "right" },
      { title: "", value: (trial) => (trial === base ? "the settings before" : (trial.failed ?? "")) },
    ],
    rows,
  );
  const more = trials.length > SHOWN ? [`... and ${trials.length - SHOWN} more (--json has them)`] : [];
  return [
    shown,
    ...more,
    "",
    `${exhaustive ? "All settings of the space were tried" : `${trials.length} settings of the space were tried`}; the best has ${best.aucPr.toFixed(4)}, the settings before ${base.aucPr.toFixed(4)}, a random score ${random.toFixed(4)}.`,
    `Criterion: ${TUNE_CRITERION}.`,
    ...leftOut.map((what) => `Left out: ${what}.`),
    "",
    "# for starling coordinator --config",
    stringify(config).trimEnd(),
  ].join("\n");
}
