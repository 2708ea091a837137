import { expect, test } from "vitest";
import { armText } from "../../cli/evaluate/summary-text.ts";
import { summarize } from "../../models/evaluation/results.ts";

const nothing = { vusPr: null, vusRoc: null, aucPr: null, pointF1: null, eventF1: null, compositeF1: null };
const none = {
  ...{ falsePositiveRate: null, falseAlarmsPerDay: null, detectionDelay: null, hitRate100: null },
  ...{ pointPrecision: null, pointRecall: null, eventPrecision: null, eventRecall: null, hitRate150: null },
  ...{ accuracy: null, logLoss: null, events: null, alarms: null, nabScore: null, nabScoreOracle: null },
};
type Row = Parameters<typeof summarize>[0][number];
const row = (arm: string, seed: number, device: string, auroc: number, model: Row["model"] = null): Row => ({
  ...{ data: "waves", detector: "var", arm, seed, device, auroc, model },
  ...nothing,
  ...none,
});

test("summary - one line an arm says what the devices score with, and who is worst off against its own local model", () => {
  const rows = [
    row("local", 1, "a", 0.8),
    row("local", 1, "b", 0.9),
    row("local", 2, "a", 0.8),
    row("local", 2, "b", 0.9),
    row("fedavg", 1, "a", 0.85),
    row("fedavg", 1, "b", 0.95),
    row("finetune", 1, "a", 0.9, "tuned"),
    row("finetune", 1, "b", 0.8, "fleet"),
    row("finetune", 2, "a", 0.9, "tuned"),
    row("finetune", 2, "b", 0.84, "own"),
    ...["local", "fedavg", "finetune"].flatMap((arm) => [1, 2].map((seed) => row(arm, seed, "macro", 0.9))),
  ] as const;
  const summary = summarize(rows);
  expect(summary.find(({ arm }) => arm === "finetune")).toMatchObject({
    models: { fleet: 1, tuned: 2, own: 1 },
    againstLocal: { device: "b", auroc: expect.closeTo(-0.08, 12) },
  });
  expect(summary.map(armText)).toEqual([
    [],
    ["var, fedavg: a gains least of AUROC against its local model: +0.050"],
    [
      "var, finetune: of 4 models over the seeds 1 are the fleet's, 2 tuned, 1 of the device alone; b loses most of AUROC against its local model: -0.080",
    ],
  ]);
});

test("summary - the models of a pooled set are counted, too", () => {
  const [line] = summarize([
    { ...row("finetune", 1, "pooled", 0.9), models: ["own", "tuned", "tuned"] },
  ]).flatMap(armText);
  expect(line).toBe("var, finetune: of 3 models 0 are the fleet's, 2 tuned, 1 of the device alone");
});
