import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { encodeCheckpoint } from "../../agent/checkpoint.ts";
import { writePlant } from "../../models/data/plant.ts";
import { readSeries } from "../../models/data/read.ts";
import { blueprintFor, detectorNames } from "../../models/detectors/catalog.ts";
import type { Calibration } from "../../models/detectors/detector.ts";
import { openDetector } from "../../models/detectors/open.ts";
import { encodeFrame, type VersionHeader } from "../../protocol/frame.ts";
import { sha256 } from "../../protocol/hash.ts";
import { AlarmSpec, DetectorSpec, TrainingSpec } from "../../protocol/task.ts";
import { isBuilt, starling } from "./starling.ts";

const spec = DetectorSpec.parse({ name: "gru-forecaster", window: 16, options: { units: 8 } });
const alarm = AlarmSpec.parse({});
let folder: string;
let train: string;
let test: string;
let labels: string;
/** An agent's state folder, and a version alone. */
let agent: string;
let version: string;
let calibration: Calibration;
/** What a scorer gives for the rows of `test`, from a cold start. */
let expected: number[];

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "starling-score-"));
  await writePlant(folder, { seed: 5, stations: 1, trainRows: 1200, testRows: 1500 });
  [train, test, labels] = ["train.csv", "test.csv", "label.npy"].map((part) =>
    join(folder, `pump-01_${part}`),
  ) as [string, string, string];
  const normal = await readSeries(train);
  const { channels } = normal;
  const topology = JSON.stringify(await blueprintFor(spec, channels));
  const detector = await openDetector({ spec, topology, channels, seed: 1, statistics: null });
  await detector.train(normal, { training: TrainingSpec.parse({ epochs: 3 }), seed: 1 });
  calibration = detector.calibrate(normal, alarm);
  const layout = [...detector.layout].map(({ name, shape }) => ({ name, shape: [...shape] }));
  const frame = encodeFrame<VersionHeader>(
    { kind: "version", layout, topology, statistics: null },
    detector.weights(),
  );
  const hash = sha256(frame);
  agent = join(folder, "pump-01");
  await mkdir(join(agent, "versions"), { recursive: true });
  await writeFile(join(agent, "versions", `${hash}.frame`), frame);
  const installed = { task: "main", number: 2, sha256: hash, detector: spec, alarm, calibration };
  const rest = { scorer: null, alarm: null, watch: null, onset: null, raised: [] };
  const place = { source: "x", startedMs: 0, row: 0, scored: 0 };
  await writeFile(
    join(agent, "checkpoint.json"),
    encodeCheckpoint({ form: 1, ...place, installed, ...rest }),
  );
  version = join(folder, "some.frame");
  await writeFile(version, frame);
  const series = await readSeries(test);
  const scorer = detector.scorer(calibration, alarm.smooth);
  expected = Array.from({ length: series.rows }, (_, i) =>
    scorer.push(series.values.subarray(i * channels, (i + 1) * channels)),
  );
  detector.dispose();
});
afterAll(() => rm(folder, { recursive: true, force: true }));

describe.skipIf(!isBuilt)("starling score", () => {
  it("gives the scores of the agent's stream, row by row, with the alarms and what made them", async () => {
    const out = join(folder, "scores.jsonl");
    const ran = await starling(["score", test, "--model", agent, "--out", out, "--json"]);
    expect(ran).toMatchObject({ code: 0, stderr: "" });
    const lines = (await readFile(out, "utf8"))
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line));
    expect(lines.map(({ score }) => score)).toEqual(
      expected.map((score) => (Number.isNaN(score) ? null : score)),
    );
    expect(lines[7]).toMatchObject({ row: 7, threshold: calibration.threshold, probability: null });
    const { rows, threshold, alarms } = JSON.parse(ran.stdout);
    expect({ rows, threshold }).toEqual({ rows: 1500, threshold: calibration.threshold });
    expect(alarms.length).toBeGreaterThan(0);
    for (const { from, to, raised, peak, peakRow, channels, fromTime } of alarms) {
      expect(from <= raised && raised < to).toBe(true);
      expect(peak).toBe(Math.max(...expected.slice(from, to)));
      expect(expected[peakRow]).toBe(peak);
      expect(lines.slice(from, to).every((line) => line.alarm === 1)).toBe(true);
      expect([
        "flow",
        "pressure",
        "motor_current",
        "bearing_temperature",
        "vibration",
        "valve_position",
      ]).toContain(channels[0].name);
      expect(fromTime).toBe(lines[from].time);
    }
  });

  it("takes a version alone where normal rows are given, and then knows probabilities", async () => {
    const without = await starling(["score", test, "--model", version]);
    expect(without).toMatchObject({
      code: 2,
      stderr: expect.stringMatching(/give its normal rows as --calibrate FILE/),
    });
    const config = join(folder, "task.yaml");
    await writeFile(config, `task: { detector: ${JSON.stringify(spec)} }\n`);
    const args = ["score", test, "--model", version, "--calibrate", train, "--out", "-"];
    const ran = await starling([...args, "--config", config]);
    expect(ran.code).toBe(0);
    // The network's own name and window, and its options from its shapes, are enough too.
    expect((await starling(args)).stdout).toBe(ran.stdout);
    const [head, ...lines] = ran.stdout.trimEnd().split("\n");
    expect(head).toBe("row,time,score,threshold,probability,alarm,channel");
    const cells = lines.map((line) => line.split(","));
    expect(cells).toHaveLength(1500);
    for (const [, , score, threshold, probability] of cells) {
      expect(Number(threshold)).toBeCloseTo(calibration.threshold, 10);
      expect(Number(probability)).toBeGreaterThan(0);
      expect(Number(probability)).toBeLessThanOrEqual(1);
      if (Number(score) > 3 * Number(threshold)) expect(Number(probability)).toBeLessThan(0.01);
    }
    expect(ran.stderr).toMatch(/1,500 rows, \d+ alarms? by gru-forecaster, threshold /);
  });

  it("says what is wrong with a model or a file, with exit code 2", async () => {
    const narrow = join(folder, "narrow.csv");
    await writeFile(narrow, "a,b\n1,2\n3,4\n");
    const cases: [string[], RegExp][] = [
      [[narrow, "--model", agent], /the file has 2 channels, the model is for 6/],
      [[test, "--model", folder], /has no checkpoint\.json; give an agent's state folder/],
      [[test, "--model", narrow], /narrow\.csv: these bytes are no weight frame/],
      [[test, "--model", join(folder, "none")], /can't be opened \(ENOENT\)/],
      [[test], /--model is missing/],
      [["--model", agent], /FILE is missing/],
    ];
    for (const [args, says] of cases) {
      const { code, stderr } = await starling(["score", ...args]);
      expect(stderr).toMatch(says);
      expect(code).toBe(2);
    }
  });
});

describe.skipIf(!isBuilt)("starling plot", () => {
  it("plots a file alone, with a model, and with scores of before", async () => {
    const drawing = async (args: string[]) => {
      const out = join(folder, "plot.html");
      const { code, stderr } = await starling(["plot", test, "-o", out, ...args]);
      expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
      const html = await readFile(out, "utf8");
      expect(html).not.toMatch(/https?:|src=|href=|@import|url\(/);
      return JSON.parse(/id="drawings">(.*?)<\/script>/s.exec(html)![1]!)[0];
    };
    const alone = await drawing([]);
    expect(alone.series.map(({ name }: { name: string }) => name)).toContain("vibration");
    expect(alone).toMatchObject({ rows: 1500, score: null, heat: null, alarms: [] });
    const scores = join(folder, "plotted.csv");
    await starling(["score", test, "--model", agent, "--out", scores]);
    const model = await drawing(["--model", agent, "--labels", labels]);
    const before = await drawing(["--scores", scores]);
    expect(model.heat.names).toHaveLength(6);
    expect(model.alarms.length).toBeGreaterThan(0);
    expect(model.labels.length).toBeGreaterThan(0);
    expect(before.alarms).toEqual(model.alarms);
    expect(before.score.threshold).toBeCloseTo(model.score.threshold, 5);
    const { code, stderr } = await starling(["plot", test, "--scores", train, "-o", join(folder, "x.html")]);
    expect({ code, stderr }).toEqual({ code: 2, stderr: expect.stringMatching(/has no column "score"/) });
  });
});

describe.skipIf(!isBuilt)("starling detectors", () => {
  it("lists every detector of the catalog with its size, and explains each", async () => {
    const { detectors } = JSON.parse((await starling(["detectors", "--json"])).stdout);
    expect(detectors.map(({ name }: { name: string }) => name)).toEqual(detectorNames);
    for (const { name, parameters, title, input } of detectors) {
      expect(title).not.toBe("");
      // A network of one's own has the size that it has.
      if (name === "layers-model") continue;
      if (input === "series") expect(parameters).toBeGreaterThan(0);
      // The project's limit at 38 channels.
      expect(parameters).toBeLessThanOrEqual(100_000);
    }
    const { stdout } = await starling(["detectors", "gru-forecaster"]);
    expect(stdout).toMatch(/^units +32 +1 +512 /m);
    expect(stdout).toMatch(/starling evaluate --data DIR --detector gru-forecaster/);
    expect((await starling(["detectors", "gru"])).code).toBe(2);
  });
});
