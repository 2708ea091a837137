import { join } from "node:path";
import { z } from "zod";
import { type Column, table } from "../cli/table.ts";
import { openDataSet, openDataSets } from "../models/data/data-set.ts";
import type { DataSet } from "../models/data/device-set.ts";
import { blueprintFor } from "../models/detectors/catalog.ts";
import { UNLABELLED } from "../models/detectors/cnn2d-classifier.ts";
import type { Recent } from "../models/detectors/detector.ts";
import { openDetector } from "../models/detectors/open.ts";
import { trainArms } from "../models/evaluation/arms.ts";
import { baselines } from "../models/evaluation/baselines.ts";
import { classMetrics } from "../models/evaluation/classes.ts";
import { run } from "../models/evaluation/run.ts";
import { AlarmSpec, type AugmentSpec, DetectorSpec, type Pretext, TrainingSpec } from "../protocol/task.ts";
import { bench, type Stage } from "./bench.ts";

/** One thing that is done otherwise than by default. */
interface Variant {
  readonly name: string;
  readonly augment?: AugmentSpec;
  readonly pretext?: Pretext;
}

/** The strengths of the papers, in our units; mixup's as Zhang et al. 2018 take it for ImageNet. */
const augmentations: readonly Variant[] = [
  { name: "none" },
  { name: "jitter", augment: { jitter: 0.05 } },
  { name: "scaling", augment: { scaling: 0.1 } },
  { name: "masking", augment: { masking: 0.05, maskRows: 3 } },
  { name: "warp", augment: { warp: 0.2 } },
  { name: "permutation", augment: { permutation: 4 } },
  { name: "mixup", augment: { mixup: 0.2 } },
];
const seriesVariants: readonly Variant[] = [
  ...augmentations,
  { name: "pretrained, masked", pretext: "masked" },
];
const imageVariants: readonly Variant[] = [
  { name: "none" },
  { name: "jitter", augment: { jitter: 0.05 } },
  { name: "masking", augment: { masking: 0.15 } },
  { name: "mixup", augment: { mixup: 0.2 } },
  { name: "pretrained, rotation", pretext: "rotation" },
];

const detectors = ["cnn-forecaster", "cnn-autoencoder", "attention"] as const;
const series = { smd: ["machine-1-6", "machine-3-4"], jumpstarter2: ["00", "05", "10", "15"] } as const;
/** Of Fashion-MNIST: images of each device, how many of them have a class, and test images. */
const images = { devices: 10, each: 200, labelled: 20, test: 2000, classes: 10 };
const setNames = ["smd", "jumpstarter2", "fashion-mnist"] as const;

interface Row {
  readonly data: string;
  readonly detector: string;
  readonly variant: string;
  readonly seed: number;
  readonly vusPr: number | null;
  readonly auroc: number | null;
  readonly accuracy: number | null;
}

const whole = (least: number) => z.coerce.number("give a whole number").int("give a whole number").min(least);

const Options = z.strictObject({
  data: z.string().min(1).default("../shared/data"),
  sets: z
    .string()
    .transform((text) => text.split(","))
    .pipe(z.array(z.enum(setNames)))
    .prefault(setNames.join(",")),
  seeds: whole(1).default(3),
  rounds: whole(2).default(6),
});

export const ablationBench = bench({
  name: "ablation",
  description:
    "Each augmentation alone, and pretraining in half of the rounds, against neither: federated averaging on real data, same rounds. Judged by labels of test data: what is seen here is a finding, not a result to be tuned by.",
  options: Options,
  flags: [
    { key: "data", flag: "--data <dir>", description: "folder of the sets (default ../shared/data)" },
    { key: "sets", flag: "--sets <names>", description: `of ${setNames.join(",")}` },
    { key: "seeds", flag: "--seeds <n>", description: "how many seeds (default 3)" },
    { key: "rounds", flag: "--rounds <n>", description: "rounds in all (default 6)" },
  ],
  examples: [{ command: "npm run bench -- ablation --json", what: "all of it, some fifteen minutes" }],
  async run({ data, sets, seeds, rounds }, stage) {
    const rows: Row[] = [];
    const all = Array.from({ length: seeds }, (_, i) => i + 1);
    for (const name of sets) {
      const folder = join(data, name);
      if (name === "fashion-mnist") rows.push(...(await imageRows(folder, { seeds: all, rounds, stage })));
      else rows.push(...(await seriesRows(folder, { name, seeds: all, rounds, stage })));
    }
    const summary = summarize(rows);
    return { value: { seeds: all, rounds, rows, summary }, text: table(columns, summary) };
  },
});

const vus = { window: 20, thresholds: 100 };

interface Plan {
  readonly seeds: readonly number[];
  readonly rounds: number;
  readonly stage: Stage;
}

function learning({ augment, pretext }: Variant, rounds: number) {
  return {
    training: TrainingSpec.parse({ ...(augment && { augment }) }),
    ...(pretext && { pretrain: { rounds: Math.floor(rounds / 2), objective: pretext } }),
  };
}

async function seriesRows(
  folder: string,
  { name, seeds, rounds, stage }: Plan & { readonly name: keyof typeof series },
): Promise<Row[]> {
  const found = await openDataSet(folder);
  const wanted: readonly string[] = series[name];
  const set: DataSet = {
    ...found,
    devices: found.devices.filter(({ device }) => wanted.some((one) => device.endsWith(one))),
  };
  const rows: Row[] = [];
  for (const detector of detectors) {
    for (const variant of seriesVariants) {
      for (const seed of seeds) {
        stage.progress(`${name}, ${detector}, ${variant.name}, seed ${seed}`);
        const lines = await run({
          set,
          detector: DetectorSpec.parse({ name: detector }),
          ...learning(variant, rounds),
          alarm: AlarmSpec.parse({}),
          rounds,
          arms: ["fedavg"],
          seed,
          vus,
          signal: stage.signal,
        });
        const { vusPr = null, auroc = null } = lines.find(({ device }) => device === "macro")!.evaluation;
        rows.push({ data: name, detector, variant: variant.name, seed, vusPr, auroc, accuracy: null });
      }
    }
  }
  for (const seed of seeds) {
    for (const { detector, device, evaluation } of await baselines({ set, seed, vus })) {
      const { vusPr = null, auroc = null } = evaluation;
      if (device === "macro")
        rows.push({ data: name, detector, variant: "-", seed, vusPr, auroc, accuracy: null });
    }
  }
  return rows;
}

async function imageRows(folder: string, { seeds, rounds, stage }: Plan): Promise<Row[]> {
  const sets = await openDataSets(folder, { task: "classes" });
  const { devices: all } = sets[0]!;
  const devices: Recent[] = [];
  for (const { load } of all.slice(0, images.devices)) {
    const { train, trainClasses } = await load();
    const { channels } = train;
    const values = train.values.slice(0, images.each * channels);
    const labels = trainClasses!.slice(0, images.each).fill(UNLABELLED, images.labelled);
    devices.push({ values, rows: images.each, channels, labels });
  }
  const { test, testClasses } = await all[0]!.load();
  const { channels } = test;
  const judged = {
    values: test.values.subarray(0, images.test * channels),
    classes: testClasses!.subarray(0, images.test),
  };
  const spec = DetectorSpec.parse({
    name: "cnn2d-classifier",
    options: { classes: images.classes, normal: images.classes - 1 },
  });
  const rows: Row[] = [];
  for (const variant of imageVariants) {
    // A device has 20 images with a class: few steps a round, so more rounds.
    const many = 5 * rounds;
    for (const seed of seeds) {
      stage.progress(`fashion-mnist, ${variant.name}, seed ${seed}`);
      const topology = JSON.stringify(await blueprintFor(spec, channels, variant.pretext));
      const detector = await openDetector({ spec, topology, channels, seed, statistics: null });
      const [arm] = await trainArms({
        detector,
        ...learning(variant, many),
        rounds: many,
        seed,
        devices,
        arms: ["fedavg"],
        signal: stage.signal,
      });
      detector.setWeights(arm!.weights[0]!);
      const found = detector.probabilities!(judged.values);
      const { accuracy } = classMetrics(found, judged.classes, images.classes);
      detector.dispose();
      const of = { data: "fashion-mnist", detector: spec.name, variant: variant.name, seed };
      rows.push({ ...of, vusPr: null, auroc: null, accuracy });
    }
  }
  return rows;
}

type Figure = "vusPr" | "auroc" | "accuracy";
interface Line {
  readonly data: string;
  readonly detector: string;
  readonly variant: string;
  readonly mean: Readonly<Record<Figure, number | null>>;
  readonly sd: Readonly<Record<Figure, number | null>>;
}

function summarize(rows: readonly Row[]): Line[] {
  const groups = new Map<string, Row[]>();
  for (const row of rows) {
    const key = JSON.stringify([row.data, row.detector, row.variant]);
    groups.set(key, [...(groups.get(key) ?? []), row]);
  }
  return [...groups.values()].map((group) => {
    const { data, detector, variant } = group[0]!;
    const spread = (figure: Figure) => {
      const values = group.flatMap((row) => row[figure] ?? []);
      const mean = values.length === 0 ? null : values.reduce((sum, x) => sum + x, 0) / values.length;
      if (mean === null || values.length < 2) return { mean, sd: null };
      const squares = values.reduce((sum, x) => sum + (x - mean) ** 2, 0);
      return { mean, sd: Math.sqrt(squares / (values.length - 1)) };
    };
    const [vusPr, auroc, accuracy] = [spread("vusPr"), spread("auroc"), spread("accuracy")];
    return {
      data,
      detector,
      variant,
      mean: { vusPr: vusPr.mean, auroc: auroc.mean, accuracy: accuracy.mean },
      sd: { vusPr: vusPr.sd, auroc: auroc.sd, accuracy: accuracy.sd },
    };
  });
}

const figure = (title: string, name: Figure): Column<Line> => ({
  title,
  align: "right",
  value({ mean, sd }) {
    const [center, deviation] = [mean[name], sd[name]];
    if (center === null) return null;
    return deviation === null ? center.toFixed(3) : `${center.toFixed(3)} +- ${deviation.toFixed(3)}`;
  },
});

const columns: readonly Column<Line>[] = [
  { title: "data", value: ({ data }) => data },
  { title: "detector", value: ({ detector }) => detector },
  { title: "otherwise", value: ({ variant }) => variant },
  figure("VUS-PR", "vusPr"),
  figure("AUROC", "auroc"),
  figure("accuracy", "accuracy"),
];
