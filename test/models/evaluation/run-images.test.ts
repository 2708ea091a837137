import { expect, it } from "vitest";
import type { DataSet } from "../../../models/data/device-set.ts";
import { channelNames, type Series } from "../../../models/data/series.ts";
import { createRandom } from "../../../models/engine/random.ts";
import { baselines } from "../../../models/evaluation/baselines.ts";
import { resultRow } from "../../../models/evaluation/results.ts";
import { type RunOptions, run } from "../../../models/evaluation/run.ts";
import type { Scored } from "../../../models/evaluation/scored.ts";
import { TaskSpec } from "../../../protocol/task.ts";

const side = 8;
const channels = side * side;

/** Class 0: a bar on the left; class 1: one on the right. */
function bars(classes: Uint8Array, seed: number): Series {
  const random = createRandom(seed);
  const values = Float32Array.from({ length: classes.length * channels }, (_, i) => {
    const x = i % side;
    const bar = classes[Math.floor(i / channels)] === 0 ? x < 3 : x >= 5;
    return (bar ? 0.8 : 0.1) + 0.1 * random.uniform();
  });
  return { rows: classes.length, channels, values, names: channelNames(channels) };
}

const mixed = (rows: number) => Uint8Array.from({ length: rows }, (_, i) => i % 2);

/** Two devices; `oneTest`: they have one test part between them, as images have, and not two that are alike. */
function setOf({ oneTest, classes }: { oneTest: boolean; classes: boolean }): DataSet {
  const testClasses = mixed(40);
  const shared = bars(testClasses, 9);
  const devices = [1, 2].map((seed) => ({
    device: `d${seed}`,
    judged: true,
    load: async () => {
      const trainClasses = classes ? mixed(80) : new Uint8Array(80);
      const test = oneTest ? shared : { ...shared };
      return {
        train: bars(trainClasses, seed),
        trainClasses,
        test,
        testClasses,
        labels: testClasses,
        notes: [],
      };
    },
  }));
  return { name: "bars", title: "bars", kind: "images", judging: "device", devices, readBy: "test" };
}

async function runOn(set: DataSet, name: string, onScores?: (scored: Scored) => void) {
  const { detector, training, alarm } = TaskSpec.parse({
    detector: { name, options: { filters: 4 } },
    training: { epochs: 3, batchSize: 16 },
  });
  const options: RunOptions = { set, detector, training, alarm, rounds: 2, arms: ["fedavg"], seed: 1 };
  return run({ ...options, ...(onScores && { onScores }) });
}

it("a test part that devices share is scored once, with the same figures and each device's own threshold", async () => {
  const thresholds: number[] = [];
  const one = await runOn(setOf({ oneTest: true, classes: false }), "cnn2d-rotation", (scored) => {
    thresholds.push(scored.threshold);
    scored.scores.fill(Number.NaN); // The buffers are the receiver's.
  });
  expect(one).toEqual(await runOn(setOf({ oneTest: false, classes: false }), "cnn2d-rotation"));
  expect(one.map(({ device }) => device)).toEqual(["d1", "d2", "macro"]);
  expect(one.at(-1)!.evaluation.auroc).toBeGreaterThan(0.95);
  expect(new Set(thresholds).size).toBe(2);
});

it("a classifier learns from the training classes and reports how well it tells them", async () => {
  const rows = await runOn(setOf({ oneTest: true, classes: true }), "cnn2d-classifier");
  expect(rows.map(({ classes }) => classes?.accuracy)).toEqual([1, 1, 1]);
  expect(rows[0]!.classes!.logLoss).toBeLessThan(0.5);
  expect(rows[0]!.evaluation.auroc).toBe(1);
});

it("where no class is normal, accuracy and log loss judge alone, beside those of guessing", async () => {
  const set = { ...setOf({ oneTest: true, classes: true }), classes: ["left", "right"] };
  const rows = [...(await runOn(set, "cnn2d-classifier")), ...(await baselines({ set, seed: 1 }))];
  const results = rows.map((row) => resultRow(row, set));
  expect(results.map(({ detector, device }) => `${detector} ${device}`)).toEqual([
    ...["d1", "d2", "macro"].map((device) => `cnn2d-classifier ${device}`),
    ...["d1", "d2", "macro"].map((device) => `random ${device}`),
  ]);
  for (const { accuracy, logLoss, detector, ...others } of results) {
    expect(others).toMatchObject({
      auroc: null,
      pointF1: null,
      falsePositiveRate: null,
      pointPrecision: null,
    });
    if (detector !== "random") continue;
    expect(Math.abs(accuracy! - 0.5)).toBeLessThan(0.3);
    expect(logLoss).toBe(Math.LN2);
  }
});
