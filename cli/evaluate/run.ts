import { openDataSets } from "../../models/data/data-set.ts";
import type { DataSet } from "../../models/data/device-set.ts";
import { checkLearning } from "../../models/detectors/check-learning.ts";
import { summarize } from "../../models/evaluation/results.ts";
import { FleetError } from "../../protocol/errors.ts";
import type { Terminal } from "../command.ts";
import { readTopology } from "../config/topology-file.ts";
import { exitCodes } from "../program.ts";
import { version } from "../version.ts";
import { workOff } from "./crew.ts";
import { chooseDetectors } from "./detector-specs.ts";
import type { Job, JobResult } from "./job.ts";
import { type Ledger, noLedger, openLedger } from "./ledger.ts";
import type { EvaluateOptions } from "./options.ts";
import { plotSize } from "./plot-size.ts";
import { openProgress } from "./progress.ts";
import { readable } from "./readable.ts";
import { type EvaluationResult, type EvaluationSettings, type Failure, failureText } from "./result.ts";
import { summaryText } from "./summary-text.ts";
import { writeOut } from "./write-out.ts";

/** The exit code is 0 only where every device and detector took part. */
export async function runEvaluate(options: EvaluateOptions, terminal: Terminal): Promise<number> {
  const { jobs, settings, leftOut } = await planEvaluation(options);
  const file = options.json === "-" ? undefined : options.json;
  if (file !== undefined) await checkWritable(file);
  const ledger = file === undefined ? noLedger : await openLedger(`${file}.partial`);
  const outcome = await work(jobs, { options, terminal, ledger });
  if (outcome === "interrupted") {
    const kept =
      file === undefined
        ? ""
        : `; what is finished is in ${file}.partial, the same command goes on from there`;
    terminal.stderr.write(`starling: interrupted${kept}\n`);
    return exitCodes.failed;
  }
  const failures = [...leftOut, ...outcome.failures];
  for (const failure of failures) terminal.stderr.write(`starling: ${failureText(failure)}\n`);
  const rows = outcome.results.flatMap((result) => result.rows);
  const trained = rows.some(({ arm }) => arm !== "none");
  const result: EvaluationResult = {
    rows,
    summary: summarize(rows),
    command: commandText(options),
    version,
    settings,
    failures,
  };
  if (options.report !== undefined) {
    const { evaluationPage } = await import("../report/evaluation-page.ts");
    const plots = outcome.results.flatMap((one) => one.plots);
    await writeOut(options.report, evaluationPage(result, plots));
  }
  const json = `${JSON.stringify(result, rounded)}\n`;
  if (file !== undefined) await writeOut(file, json);
  if (outcome.failed === 0) await ledger.remove();
  // With --json - stdout is for the machine alone; people still see the table.
  (options.json === "-" ? terminal.stderr : terminal.stdout).write(`${summaryText(result)}\n`);
  if (options.json === "-") terminal.stdout.write(json);
  return failures.length === 0 && trained ? exitCodes.done : exitCodes.failed;
}

/** Six digits are more than a seed's luck leaves, and half the file. */
function rounded(_: string, value: unknown): unknown {
  return typeof value === "number" && !Number.isInteger(value) ? Number(value.toPrecision(6)) : value;
}

interface Planned {
  readonly jobs: readonly Job[];
  readonly settings: EvaluationSettings;
  readonly leftOut: readonly Failure[];
}

/** Throws BAD_INPUT for anything that can be seen to be wrong before something is trained. */
async function planEvaluation(options: EvaluateOptions): Promise<Planned> {
  const { data, set, setTask, labelColumn, devices, arms, task, vusWindow, vusThresholds } = options;
  const { training, rounds } = task;
  const pretrain = task.pretrain && { pretrain: task.pretrain };
  const open = {
    ...(set !== undefined && { set }),
    ...(setTask !== undefined && { task: setTask }),
    ...(labelColumn !== undefined && { labelColumn }),
  };
  const topology = options.topology === undefined ? undefined : await readTopology(options.topology);
  const vus = { window: vusWindow, thresholds: vusThresholds };
  const seeds = Array.from({ length: options.seeds }, (_, i) => task.seed + i);
  const jobs: Job[] = [];
  const leftOut: Failure[] = [];
  const planned: EvaluationSettings["sets"][number][] = [];
  for (const one of await openDataSets(data, open)) {
    const read = await readable(one, devices);
    for (const { device, message } of read.leftOut)
      leftOut.push({ data: one.name, detector: null, seed: null, device, message });
    const inTime = one.kind === "series";
    const choices = await chooseDetectors(inTime ? task.detector : { ...task.detector, adaptRows: 0 }, {
      names: options.detectors ?? [task.detector.name],
      options: options.options,
      topology,
      of: { kind: one.kind, classes: await classesIn(read.set) },
    });
    for (const { spec, kind } of choices)
      if (kind.learns === "by gradients")
        checkLearning(spec.name, kind, { training, pretext: task.pretrain?.objective });
    if (choices.length === 0)
      throw new FleetError("BAD_INPUT", `no detector learns from ${one.kind}, which ${one.name} is of`);
    // Rows in no order have no neighbours to be smoothed or counted with.
    const alarm = inTime ? task.alarm : { ...task.alarm, smooth: 1, k: 1, n: 1, gap: 1 };
    const first = read.set.devices[0]!;
    const size = plotSize({
      plots: read.set.devices.length * arms.length * choices.length,
      channels: (await first.load()).train.channels,
    });
    const common = { data, open, set: one.name, vus, ...(devices && { devices }) };
    for (const seed of seeds) jobs.push({ ...common, seed, work: { kind: "baselines" } });
    for (const { spec: detector } of choices) {
      for (const seed of seeds) {
        const plots = options.report !== undefined && seed === seeds[0] && size ? { plots: size } : {};
        const work = {
          kind: "detector",
          detector,
          training,
          ...pretrain,
          alarm,
          rounds,
          arms,
          ...plots,
        } as const;
        jobs.push({ ...common, seed, work });
      }
    }
    planned.push({
      data: one.name,
      title: one.title,
      kind: one.kind,
      judging: one.judging,
      devices: read.set.devices.map(({ device }) => device),
      alarm,
      detectors: choices.map(({ spec }) => spec),
    });
  }
  return { jobs, leftOut, settings: { vus, seeds, rounds, training, ...pretrain, sets: planned } };
}

/** How many there are to tell apart; 1 where all training rows are of one. */
async function classesIn({ devices, classes }: DataSet): Promise<number> {
  if (classes) return classes.length;
  const known = new Set<number>();
  for (const { load } of devices) for (const one of (await load()).trainClasses ?? []) known.add(one);
  return known.size > 1 ? Math.max(...known) + 1 : known.size;
}

interface WorkOptions {
  readonly options: EvaluateOptions;
  readonly terminal: Terminal;
  readonly ledger: Ledger;
}

interface Outcome {
  readonly results: readonly JobResult[];
  readonly failures: readonly Failure[];
  /** Jobs without a result: the next run tries them again. */
  readonly failed: number;
}

async function work(
  jobs: readonly Job[],
  { options, terminal, ledger }: WorkOptions,
): Promise<Outcome | "interrupted"> {
  const results = new Map<Job, JobResult>();
  const failures: Failure[] = [];
  for (const job of jobs) {
    const before = ledger.find(job);
    if (before) results.set(job, before);
  }
  const aborter = new AbortController();
  const abort = () => aborter.abort();
  process.once("SIGINT", abort).once("SIGTERM", abort);
  const progress = await openProgress(terminal, { jobs: jobs.length, before: results.size });
  try {
    await workOff(
      jobs.filter((job) => !results.has(job)),
      {
        threads: options.jobs,
        signal: aborter.signal,
        onProgress: (job, done) => progress.update(job, done),
        onDone(job, outcome) {
          if ("failed" in outcome) failures.push({ ...subject(job), device: null, message: outcome.failed });
          else {
            results.set(job, outcome);
            ledger.keep(job, outcome);
          }
          // What is told to be done is on disk.
          progress.done(job);
        },
      },
    );
  } finally {
    progress.close();
    process.off("SIGINT", abort).off("SIGTERM", abort);
  }
  if (aborter.signal.aborted) return "interrupted";
  // In the order of the plan: what finished first depends on the machine.
  const kept = jobs.flatMap((job) => results.get(job) ?? []);
  const short = new Map<string, Failure>();
  for (const [job, { leftOut }] of results) {
    for (const { device, message } of leftOut) {
      const { data, detector } = subject(job);
      short.set(JSON.stringify([data, detector, device]), { data, detector, seed: null, device, message });
    }
  }
  const order = (failure: Failure) => jobs.findIndex((job) => sameSubject(subject(job), failure));
  return {
    results: kept,
    failures: [...short.values(), ...failures].sort((a, b) => order(a) - order(b)),
    failed: failures.length,
  };
}

function subject({ set, seed, work }: Job): Pick<Failure, "data" | "detector" | "seed"> {
  return { data: set, detector: work.kind === "detector" ? work.detector.name : null, seed };
}

function sameSubject(a: Pick<Failure, "data" | "detector" | "seed">, b: Failure): boolean {
  return a.data === b.data && a.detector === b.detector && (b.seed === null || a.seed === b.seed);
}

/** The command again with all that its numbers depend on. */
function commandText(options: EvaluateOptions): string {
  const { task } = options;
  const parts = [
    `starling evaluate --data ${options.data}`,
    options.set && `--set ${options.set}`,
    options.setTask && `--set-task ${options.setTask}`,
    options.labelColumn && `--label-column ${options.labelColumn}`,
    options.devices && `--devices ${options.devices.join(",")}`,
    `--detector ${(options.detectors ?? [task.detector.name]).join(",")}`,
    options.options.length > 0 && `--options ${options.options.join(",")}`,
    `--arms ${options.arms.join(",")} --seeds ${options.seeds} --seed ${task.seed}`,
    `--rounds ${task.rounds} --epochs ${task.training.epochs} --window ${task.detector.window}`,
    task.training.augment &&
      `--augment ${Object.entries(task.training.augment)
        .map(([name, size]) => `${name}=${size}`)
        .join(",")}`,
    task.pretrain && `--pretrain ${task.pretrain.objective}:${task.pretrain.rounds}`,
    `--vus-window ${options.vusWindow} --vus-thresholds ${options.vusThresholds}`,
  ];
  return parts.filter(Boolean).join(" ");
}

/** Before hours of work, not after them. */
async function checkWritable(file: string): Promise<void> {
  await writeOut(`${file}.partial`, "", "a");
}
