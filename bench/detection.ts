import { join } from "node:path";
import { z } from "zod";
import { type Column, table } from "../cli/table.ts";
import { openDataSet } from "../models/data/data-set.ts";
import type { DataSet, DeviceData } from "../models/data/device-set.ts";
import { readNpy } from "../models/data/npy.ts";
import { baselines } from "../models/evaluation/baselines.ts";
import { type ResultRow, resultRow, type SummaryRow, summarize } from "../models/evaluation/results.ts";
import { run } from "../models/evaluation/run.ts";
import { FleetError } from "../protocol/errors.ts";
import { TaskSpec } from "../protocol/task.ts";
import { bench, type Stage, spread } from "./bench.ts";
import { judgePeer, type PeerScores } from "./detection/judge-peer.ts";
import { absence, askPeers, type Library, libraries, type PeerResult, writeRows } from "./detection/peers.ts";
import { type Times, timeOurs } from "./detection/times.ts";
import { withScratch } from "./scratch.ts";

const setNames = ["smd", "jumpstarter2", "skab"] as const;
const ours = ["cnn-forecaster", "var", "pca"] as const;
const arms = ["local", "finetune"] as const;
/** What the others' times are divided by. */
const reference = ours[0];
/** As tables of results are made: docs/evaluation.md. */
const vus = { window: 20, thresholds: 100 };
/** Peers' scores as they are, and in a causal moving average of so many rows. */
const spans = [1, 10] as const;

const listOf = <const T extends readonly string[]>(names: T) =>
  z
    .string()
    .transform((text) => text.split(","))
    .pipe(z.array(z.enum(names)))
    .prefault(names.join(","));
const whole = z.coerce.number("give a whole number").int("give a whole number").min(1, "must be at least 1");

const Options = z.strictObject({
  data: z.string().min(1).default("../shared/data"),
  sets: listOf(setNames),
  libraries: listOf(libraries),
  seeds: whole.default(3),
  devices: whole.optional(),
  limit: whole.optional(),
});

export const detectionBench = bench({
  name: "detection",
  description:
    "Our detectors against those of PyOD, TSB-AD and Merlion on real data: the same training rows, the same test rows, thresholds from the same held-back rows by the same rule, and judged by the same code. Also the time that fitting and scoring take. Peers are installed by `node bench/peers/install.mjs detection`; those that are not are left out.",
  options: Options,
  flags: [
    { key: "data", flag: "--data <dir>", description: "folder of the sets (default ../shared/data)" },
    { key: "sets", flag: "--sets <names>", description: `of ${setNames.join(",")}` },
    { key: "libraries", flag: "--libraries <names>", description: `of ${libraries.join(",")}` },
    { key: "seeds", flag: "--seeds <n>", description: "for what chance has a part in (default 3)" },
    {
      key: "devices",
      flag: "--devices <n>",
      description: "only the first so many that are judged, of each set: shows that it works",
    },
    {
      key: "limit",
      flag: "--limit <s>",
      description: "processor seconds for one device, after which a peer is left out (default: none)",
    },
  ],
  examples: [
    { command: "npm run bench -- detection --seeds 1 --limit 50 --json", what: "all, some half an hour" },
  ],
  async run({ data, sets, libraries: wanted, seeds, devices, limit }, stage) {
    const missing = wanted.flatMap((library) => absence(library) ?? []);
    const present = wanted.filter((library) => absence(library) === undefined);
    if (present.length === 0)
      return {
        value: { skipped: missing },
        text: `There is nobody to compare with:\n  ${missing.join("\n  ")}`,
      };
    const plan: Plan = { present, seeds: Array.from({ length: seeds }, (_, i) => i + 1), limit, stage };
    const found: SetResult[] = [];
    for (const name of sets) {
      const set = await openDataSet(join(data, name));
      const judged = set.devices.filter((device) => device.judged);
      found.push(
        await compare(devices === undefined ? set : { ...set, devices: judged.slice(0, devices) }, plan),
      );
    }
    const rows = found.flatMap((one) => one.rows);
    const summary = summarize(rows);
    const times = found.flatMap((one) => one.times);
    const versions = [...new Set(found.flatMap((one) => one.versions))];
    const leftOut = [...missing, ...found.flatMap((one) => one.missing)];
    return {
      value: { vus, seeds: plan.seeds, versions, leftOut, rows, summary, times },
      text: show(summary, times, [...versions, ...leftOut.map((why) => `left out: ${why}`)]),
    };
  },
});

interface Plan {
  readonly present: readonly Library[];
  readonly seeds: readonly number[];
  readonly limit: number | undefined;
  readonly stage: Stage;
}

/** Medians over the devices. */
interface TimeRow extends Times {
  readonly data: string;
  readonly detector: string;
}

interface SetResult {
  readonly rows: readonly ResultRow[];
  readonly times: readonly TimeRow[];
  readonly versions: readonly string[];
  /** Peers that gave no scores, and why. */
  readonly missing: readonly string[];
}

type Loaded = { readonly device: string; readonly data: DeviceData };

async function compare(set: DataSet, plan: Plan): Promise<SetResult> {
  const judged: Loaded[] = [];
  for (const { device, judged: isJudged, load } of set.devices)
    if (isJudged) judged.push({ device, data: await load() });
  const mine = await judgeOurs(set, judged, plan);
  const theirs = await judgePeers(set, judged, plan);
  const guessed: ResultRow[] = [];
  for (const seed of plan.seeds)
    guessed.push(...(await baselines({ set, seed, vus })).map((row) => resultRow(row, set)));
  return {
    ...theirs,
    rows: [...mine.rows, ...theirs.rows, ...guessed],
    times: [...mine.times, ...theirs.times],
  };
}

async function judgeOurs(set: DataSet, devices: readonly Loaded[], { seeds, stage }: Plan) {
  const { signal, progress } = stage;
  const rows: ResultRow[] = [];
  const times: TimeRow[] = [];
  for (const name of ours) {
    const task = TaskSpec.parse({ detector: { name } });
    const { detector, training, alarm, rounds } = task;
    for (const seed of name === reference ? seeds : seeds.slice(0, 1)) {
      progress(`${set.name}, ${name}, seed ${seed}`);
      const lines = await run({ set, detector, training, alarm, rounds, arms, seed, vus, signal });
      rows.push(...lines.map((row) => resultRow(row, set)));
    }
    const each: Times[] = [];
    for (const { data } of devices) each.push(await timeOurs(task, data, signal));
    times.push(medianTimes(set.name, name, each));
  }
  return { rows, times };
}

async function judgePeers(set: DataSet, devices: readonly Loaded[], { present, seeds, limit, stage }: Plan) {
  const { detector: spec, alarm } = TaskSpec.parse({});
  const { signal, progress } = stage;
  return withScratch(signal, async ({ folder }): Promise<SetResult> => {
    for (const one of devices) await writeRows(folder, one, spec);
    const results: PeerResult[] = [];
    const versions: string[] = [];
    const missing: string[] = [];
    for (const library of present) {
      const onResult = (result: PeerResult) => {
        progress(`${set.name}, ${result.peer}, seed ${result.seed}, ${result.device}`);
        results.push(result);
      };
      try {
        versions.push(await askPeers(library, { folder, seeds, limit, signal, onResult }));
      } catch (error) {
        // One library that breaks does not cost the others their lines.
        if (signal.aborted || !(error instanceof FleetError)) throw error;
        missing.push(`${library} on ${set.name}: ${error.message}`);
      }
    }
    const rows: ResultRow[] = [];
    const times: TimeRow[] = [];
    for (const peer of new Set(results.map((one) => one.peer))) {
      const all = results.filter((one) => one.peer === peer);
      // Means of fewer devices would be of another set.
      const gap = all.find((one) => "missing" in one);
      if (gap) {
        missing.push(`${peer} on ${set.name}: ${gap.device}: ${gap.missing}`);
        continue;
      }
      try {
        const judged: ResultRow[] = [];
        for (const seed of new Set(all.map((one) => one.seed))) {
          const scores = await readScores(folder, devices, `${peer}-${seed}`);
          for (const span of spans) {
            const detector = span === 1 ? peer : `${peer} + ma${span}`;
            const lines = judgePeer(scores, { set, detector, seed, span, alarm, vus });
            judged.push(...lines.map((row) => resultRow(row, set)));
          }
        }
        rows.push(...judged);
        times.push(medianTimes(set.name, peer, all as (PeerResult & Times)[]));
      } catch (error) {
        // Its library ended too early, or no threshold can be set by scores that are not finite.
        if (!(error instanceof FleetError)) throw error;
        missing.push(`${peer} on ${set.name}: ${error.message}`);
      }
    }
    return { rows, times, versions, missing };
  });
}

async function readScores(folder: string, devices: readonly Loaded[], prefix: string): Promise<PeerScores[]> {
  const read = async (device: string, part: string) =>
    (await readNpy(join(folder, device, `${prefix}-${part}.npy`))).values;
  const found: PeerScores[] = [];
  for (const { device, data } of devices)
    found.push({ device, data, heldBack: await read(device, "held"), test: await read(device, "test") });
  return found;
}

function medianTimes(data: string, detector: string, each: readonly Times[]): TimeRow {
  const median = (of: (times: Times) => number) => spread(each.map(of)).median;
  return {
    data,
    detector,
    fitSeconds: median(({ fitSeconds }) => fitSeconds),
    scoringUs: median(({ scoringUs }) => scoringUs),
  };
}

function show(summary: readonly SummaryRow[], times: readonly TimeRow[], notes: readonly string[]): string {
  const figure = (title: string, key: keyof SummaryRow["mean"], digits = 3): Column<SummaryRow> => ({
    title,
    value: ({ mean }) => mean[key],
    digits,
  });
  const quality: Column<SummaryRow>[] = [
    { title: "data", value: ({ data }) => data },
    { title: "detector", value: ({ detector }) => detector },
    { title: "arm", value: ({ arm }) => arm },
    figure("VUS-PR", "vusPr"),
    { title: "sd", value: ({ sd }) => sd.vusPr, digits: 3 },
    figure("AUC-PR", "aucPr"),
    figure("AUROC", "auroc"),
    figure("point F1", "pointF1"),
    figure("event F1", "eventF1"),
    figure("FPR", "falsePositiveRate"),
    figure("false alarms a day", "falseAlarmsPerDay", 2),
  ];
  const against = (key: keyof Times) => (row: TimeRow) =>
    row[key] / times.find(({ data, detector }) => data === row.data && detector === reference)![key];
  const speed: Column<TimeRow>[] = [
    { title: "data", value: ({ data }) => data },
    { title: "detector", value: ({ detector }) => detector },
    { title: "fit, s", value: ({ fitSeconds }) => fitSeconds, digits: 3 },
    { title: `x ${reference}`, value: against("fitSeconds"), digits: 2 },
    { title: "scoring, us a row", value: ({ scoringUs }) => scoringUs, digits: 2 },
    { title: `x ${reference}`, value: against("scoringUs"), digits: 2 },
  ];
  const rules = (rows: readonly { readonly data: string }[]) => ({
    rulesBefore: rows.flatMap(({ data }, i) => (i > 0 && rows[i - 1]!.data !== data ? [i] : [])),
  });
  return [
    table(quality, summary, rules(summary)),
    "",
    table(speed, times, rules(times)),
    "",
    "Times: medians over the devices, one thread; ours scores row by row, peers the whole test part at once.",
    ...notes,
  ].join("\n");
}
