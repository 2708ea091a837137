import { expect, test } from "vitest";
import type { DataSet, DeviceData } from "../../../models/data/device-set.ts";
import { createRandom } from "../../../models/engine/random.ts";
import { baselines } from "../../../models/evaluation/baselines.ts";
import { nabFigures, nabOfFile } from "../../../models/evaluation/nab-alarms.ts";
import { resultRow, summarize } from "../../../models/evaluation/results.ts";
import { run } from "../../../models/evaluation/run.ts";
import { AlarmSpec, DetectorSpec, TrainingSpec } from "../../../protocol/task.ts";

const rule = { threshold: 1, k: 2, n: 3, gap: 5 };

function scores(rows: number, ...high: readonly (readonly [from: number, to: number, score: number])[]) {
  const all = new Float64Array(rows);
  for (const [from, to, score] of high) all.fill(score, from, to);
  return all;
}

test("nab - a detection is an alarm at the row at which it is raised, so one that lasts costs no more than a short one", () => {
  const windows = [{ from: 100, to: 140 }];
  const short = { rule, windows, scores: scores(300, [100, 102, 2], [200, 202, 2]) };
  const long = { rule, windows, scores: scores(300, [100, 130, 2], [200, 290, 2]) };
  expect(nabOfFile(long)).toBe(nabOfFile(short));
  // Raised at the second row of the window, and one false alarm at its full weight of 0.11 of 2.
  const sigma = (y: number) => 2 / (1 + Math.exp(5 * y)) - 1;
  const found = sigma(-39 / 40) / sigma(-1);
  expect(nabOfFile(short)).toBeCloseTo((100 * (found - 0.11 + 1)) / 2, 1);
  expect(nabOfFile({ rule, windows, scores: scores(300) })).toBe(0);
  expect(nabOfFile({ rule, windows: [], scores: scores(300) })).toBeNaN();
});

test("nab - the oracle multiplies all thresholds by one factor, and is never below the fixed score", () => {
  const windows = [{ from: 100, to: 140 }];
  // Twice the thresholds are passed by a false alarm in each file, eight times by the faults alone.
  const corpus = [1, 10].map((threshold) => ({
    rule: { ...rule, threshold },
    windows,
    scores: scores(300, [40, 45, 2.1 * threshold], [100, 120, 8.1 * threshold], [250, 260, 2.1 * threshold]),
  }));
  const { nabScore, nabScoreOracle } = nabFigures(corpus);
  expect(nabScoreOracle).toBeGreaterThan(99);
  expect(nabScoreOracle - nabScore).toBeCloseTo((100 * 4 * 0.11) / 4, 0);
  expect(nabFigures(corpus.map((file) => ({ ...file, scores: scores(300) })))).toEqual({
    nabScore: 0,
    nabScoreOracle: 0,
  });
});

test("run - where labels are windows, files and the corpus get a NAB score, and guessing too; elsewhere it is null", async () => {
  const random = createRandom(3);
  const series = (rows: number, fault: readonly [number, number]) => ({
    values: Float32Array.from(
      { length: rows },
      (_, i) => Math.sin(i / 5) + 0.1 * random.normal() + (i >= fault[0] && i < fault[1] ? 8 : 0),
    ),
    rows,
    channels: 1,
    names: ["value"],
  });
  const file = (device: string, windows: DeviceData["windows"]) => {
    const labels = new Uint8Array(400);
    for (const { from, to } of windows ?? []) labels.fill(1, from, to);
    const [first] = windows ?? [];
    const data: DeviceData = {
      train: series(600, [0, 0]),
      test: series(400, [first?.from ?? 0, first ? first.from + 20 : 0]),
      labels,
      ...(windows && { windows }),
      notes: [],
    };
    return { device, judged: true, load: async () => data };
  };
  const set = (devices: DataSet["devices"]): DataSet => ({
    name: "files",
    title: "files",
    kind: "series",
    judging: "device",
    devices,
    readBy: "the test",
  });
  const windowed = set([file("a", [{ from: 200, to: 260 }]), file("quiet", [])]);
  const options = {
    detector: DetectorSpec.parse({ name: "var", window: 8, options: {} }),
    training: TrainingSpec.parse({}),
    alarm: AlarmSpec.parse({}),
    rounds: 1,
    arms: ["fedavg"] as const,
    seed: 1,
  };
  const rows = [
    ...(await run({ ...options, set: windowed })),
    ...(await baselines({ set: windowed, seed: 1 })),
  ].map((row) => resultRow(row, { kind: "series" }));
  const of = (detector: string, device: string) =>
    rows.find((row) => row.detector === detector && row.device === device)!;
  expect(of("var", "a").nabScore).toBeGreaterThan(70);
  expect(of("var", "a").nabScoreOracle).toBeNull();
  expect(of("var", "quiet").nabScore).toBeNull();
  const { nabScore, nabScoreOracle } = of("var", "macro");
  expect(nabScore).toBeGreaterThan(50);
  expect(nabScore).toBeLessThanOrEqual(nabScoreOracle!);
  // One alarm, raised before the window opens, finds nothing.
  expect(of("always-alarm", "macro").nabScore).toBeLessThan(0);
  expect(of("random", "macro").nabScore).toBeLessThan(nabScore!);
  const line = summarize(rows).find(({ detector }) => detector === "var")!;
  expect(line.mean).toMatchObject({ nabScore, nabScoreOracle });

  const plain = await run({ ...options, set: set([file("a", undefined)]) });
  expect(plain.map((row) => resultRow(row, { kind: "series" }).nabScore)).toEqual([null, null]);
});
