import type { DataSet } from "../data/device-set.ts";
import type { RowRange } from "../data/windows.ts";
import { createRandom } from "../engine/random.ts";
import { type ClassMetrics, meanClassMetrics } from "./classes.ts";
import {
  alwaysAlarmRow,
  type Evaluation,
  macroAverage,
  randomRow,
  randomRule,
  randomScores,
} from "./evaluate.ts";
import { joinedLabels } from "./judge.ts";
import { nabFigures, nabOfFile } from "./nab-alarms.ts";
import type { RunOptions, RunRow } from "./run.ts";

/** What guessing and what one alarm without end get on the same labels: every table has them. */
export async function baselines({
  set,
  seed,
  vus,
}: Pick<RunOptions, "set" | "seed" | "vus">): Promise<RunRow[]> {
  const labelled: {
    device: string;
    labels: Uint8Array;
    windows?: readonly RowRange[] | undefined;
    rateHz?: number | undefined;
  }[] = [];
  if (set.classes) return guesses(set, set.classes.length, seed);
  for (const { device, judged, load } of set.devices) {
    if (!judged) continue;
    const { test, labels = new Uint8Array(test.rows), windows } = await load();
    labelled.push({ device, labels, windows, rateHz: test.rateHz ?? set.rateHz });
  }
  type Labelled = (typeof labelled)[number];
  const judgements = [
    {
      detector: "random",
      of: (o: Labelled) => randomRow({ ...o, vus, seed }),
      alarmed: ({ labels }: Labelled) => ({ scores: randomScores(labels, seed), rule: randomRule(labels) }),
    },
    {
      detector: "always-alarm",
      of: (o: Labelled) => alwaysAlarmRow({ ...o, vus }),
      alarmed: ({ labels }: Labelled) => ({
        scores: new Float64Array(labels.length).fill(1),
        rule: { threshold: 0 },
      }),
    },
  ];
  return judgements.flatMap(({ detector, of, alarmed }) => {
    const files = labelled.flatMap((o) => (o.windows ? [{ ...alarmed(o), windows: o.windows }] : []));
    const nab = files.length > 0 ? { nab: nabFigures(files) } : {};
    const row = (device: string, evaluation: Evaluation): RunRow => ({
      data: set.name,
      detector,
      arm: "none",
      seed,
      device,
      evaluation,
      model: null,
    });
    if (set.judging === "pooled") {
      const labels = joinedLabels(labelled.map(({ labels }) => labels));
      return [{ ...row("pooled", of({ device: "pooled", labels })), ...nab }];
    }
    const each = labelled.map((one) => ({
      ...row(one.device, of(one)),
      ...(one.windows && { nab: { nabScore: nabOfFile({ ...alarmed(one), windows: one.windows }) } }),
    }));
    return [...each, { ...row("macro", macroAverage(each.map(({ evaluation }) => evaluation))), ...nab }];
  });
}

/** Where classes are told apart: one drawn for each row, with equal probabilities. */
async function guesses({ name, devices }: DataSet, classes: number, seed: number): Promise<RunRow[]> {
  const random = createRandom(seed).uniform;
  const each: (RunRow & { readonly classes: Pick<ClassMetrics, "accuracy" | "logLoss"> })[] = [];
  for (const { device, judged, load } of devices) {
    const { testClasses } = await load();
    if (!judged || !testClasses) continue;
    const right = testClasses.reduce((sum, own) => sum + Number(Math.floor(random() * classes) === own), 0);
    const evaluation = alwaysAlarmRow({ labels: new Uint8Array(0) });
    each.push({
      ...{ data: name, detector: "random", arm: "none", seed, device, evaluation, model: null },
      classes: { accuracy: right / testClasses.length, logLoss: Math.log(classes) },
    });
  }
  return each.length === 0
    ? []
    : [
        ...each,
        { ...each[0]!, device: "macro", classes: meanClassMetrics(each.map(({ classes }) => classes)) },
      ];
}
