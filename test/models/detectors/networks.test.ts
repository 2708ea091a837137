import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { blueprintFor, detectorNames, kindOf, tunedOptions } from "../../../models/detectors/catalog.ts";
import type { Recent } from "../../../models/detectors/detector.ts";
import type { Estimator } from "../../../models/detectors/kind.ts";
import { graph } from "../../../models/detectors/topology.ts";
import { compile } from "../../../models/engine/index.ts";
import { createRandom } from "../../../models/engine/random.ts";
import { auroc } from "../../../models/evaluation/ranking.ts";
import { encode } from "../../../protocol/codec.ts";
import { limits } from "../../../protocol/limits.ts";
import { DetectorSpec, TaskSpec, TrainingSpec } from "../../../protocol/task.ts";
import { randomFloats, relativeError } from "../engine/support.ts";
import { channels, open, spec, trained, waves } from "./waves.ts";

const alarm = { quantile: 0.999, smooth: 5 };
const SMD_CHANNELS = 38;
const MOST_PARAMETERS = 100_000;

async function estimatorFor(detectorSpec: DetectorSpec, of = channels): Promise<Estimator> {
  const kind = await kindOf(detectorSpec.name);
  const tuned = tunedOptions(kind, detectorSpec);
  const blueprint = JSON.parse(JSON.stringify(await blueprintFor(detectorSpec, of)));
  return kind.open({ blueprint, spec: detectorSpec, tuned, channels: of, seed: 1, maxBatch: 32 });
}

/** Independent numbers: nothing about a row can be known from others. */
function noise(rows: number, seed: number): Recent {
  const random = createRandom(seed);
  return { values: Float32Array.from({ length: rows * channels }, () => random.normal()), rows, channels };
}

const windowed = ["lstm-autoencoder", "cnn-autoencoder", "attention"] as const;

describe("network kinds", () => {
  it.each(detectorNames)("%s has at most 100k weights at 38 channels", async (name) => {
    const { input, mustSet } = await kindOf(name);
    const bare = DetectorSpec.parse({ name, options: mustSet?.options });
    if (input === "images" || name === "layers-model") return;
    const { length } = (await estimatorFor(bare, mustSet?.channels ?? SMD_CHANNELS)).weights();
    expect(length).toBeGreaterThan(0);
    expect(length).toBeLessThanOrEqual(MOST_PARAMETERS);
  });

  it.each(windowed)(
    "%s says nothing before it has seen a window, then something of every row",
    async (name) => {
      const stream = (await estimatorFor(spec({ name }))).stream();
      const { values } = noise(40, 1);
      const said = Array.from({ length: 40 }, (_, i) => {
        const row = values.subarray(i * channels, (i + 1) * channels);
        return !stream.push(row, row).some(Number.isNaN);
      });
      expect(said.indexOf(true)).toBe(15);
      expect(said.slice(15)).toEqual(Array(25).fill(true));
      stream.reset();
      expect(stream.push(values.subarray(0, channels), values.subarray(0, channels))).toEqual(
        new Float32Array(channels).fill(Number.NaN),
      );
      expect(() => stream.restore(new Float32Array(3))).toThrow(expect.objectContaining({ code: "CORRUPT" }));
    },
  );

  it("a missing value has no residual, and the others of its row have", async () => {
    for (const name of [...windowed, "mlp-autoencoder", "tcn-forecaster"] as const) {
      const stream = (await estimatorFor(spec({ name }))).stream();
      const { values } = noise(20, 1);
      let last = new Float32Array();
      for (let i = 0; i < 20; i++) {
        const row = values.subarray(i * channels, (i + 1) * channels);
        last = stream.push(row, Float32Array.of(row[0]!, Number.NaN, row[2]!)).slice();
      }
      expect(Array.from(last, Number.isNaN), name).toEqual([false, true, false]);
    }
  });

  it("an autoencoder's stream gives the last row of what its network makes of the window", async () => {
    for (const [name, at] of [
      ["cnn-autoencoder", 15],
      ["lstm-autoencoder", 0],
    ] as const) {
      const detectorSpec = spec({ name });
      const estimator = await estimatorFor(detectorSpec);
      const model = await compile(await blueprintFor(detectorSpec, channels), { seed: 1 });
      model.setWeights(estimator.weights());
      const stream = estimator.stream();
      const { values } = noise(50, 2);
      for (let i = 0; i < 50; i++) {
        const row = values.subarray(i * channels, (i + 1) * channels);
        const residual = stream.push(row, row);
        if (i < 15) continue;
        const whole = model.predict(values.slice((i - 15) * channels, (i + 1) * channels));
        const expected = row.map((x, c) => x - whole[at * channels + c]!);
        expect(relativeError(residual, expected), name).toBeLessThan(1e-5);
      }
    }
  });

  it("cnn-autoencoder gives windows of any length back with all their rows", async () => {
    for (const window of [2, 3, 5, 6, 7, 16, 18]) {
      const blueprint = await blueprintFor(spec({ name: "cnn-autoencoder", window }), channels);
      const model = await compile(blueprint, { seed: 1 });
      expect(model.outputShape).toEqual([window, channels]);
      model.dispose();
    }
  });

  it.each(["cnn-autoencoder", "lstm-autoencoder"] as const)(
    "%s about its window's mean does not see a level, and sees it otherwise",
    async (name) => {
      const residualsAt = async (centred: number, level: number) => {
        const stream = (await estimatorFor(spec({ name, options: { centred } }))).stream();
        const { values } = noise(20, 3);
        let last = new Float32Array();
        for (let i = 0; i < 20; i++) {
          const row = values.subarray(i * channels, (i + 1) * channels).map((x) => x + level);
          last = stream.push(row, row).slice();
        }
        return last;
      };
      expect(relativeError(await residualsAt(1, 5), await residualsAt(1, 0))).toBeLessThan(1e-4);
      expect(relativeError(await residualsAt(0, 5), await residualsAt(0, 0))).toBeGreaterThan(0.1);
    },
  );

  it.each(["cnn-autoencoder", "lstm-autoencoder"] as const)(
    "%s about its window's mean finds a stretch of another shape and names its channel",
    async (name) => {
      const normal = waves(2000, 1);
      const detector = await trained(spec({ name }), normal);
      const test = waves(600, 9);
      const faulty = (row: number) => row >= 300 && row < 340;
      // Twice as fast, as high and about the same mean.
      for (let row = 300; row < 340; row++) test.values[row * channels + 1] = 20 + 5 * Math.sin(row / 3);
      const scorer = detector.scorer(detector.calibrate(normal, alarm), alarm.smooth);
      const contributions = new Float64Array(channels);
      const scores = Float64Array.from({ length: test.rows }, (_, i) => {
        const score = scorer.push(test.values.subarray(i * channels, (i + 1) * channels));
        if (faulty(i)) for (let c = 0; c < channels; c++) contributions[c]! += scorer.contributions[c]!;
        return score;
      });
      const labels = Uint8Array.from(scores, (_, i) => (faulty(i) ? 1 : 0));
      expect(auroc(scores, labels)).toBeGreaterThan(0.95);
      expect(contributions.indexOf(Math.max(...contributions))).toBe(1);
    },
  );
});

describe("attention", () => {
  it("what the newest row holds has no part in what is made of it, and has in what is made of the next", async () => {
    const estimator = await estimatorFor(spec({ name: "attention" }));
    // The linear part and the last layer begin at zero.
    estimator.setWeights(estimator.weights().map((w, i) => w + 0.1 * Math.sin(i)));
    const { values } = noise(30, 5);
    const row = (i: number) => values.subarray(i * channels, (i + 1) * channels);
    const madeOf = (at: number, changed: Float32Array, judged: number) => {
      const stream = estimator.stream();
      for (let i = 0; i < judged; i++) stream.push(i === at ? changed : row(i), row(i));
      const given = at === judged ? changed : row(judged);
      return stream.push(given, new Float32Array(channels)).slice();
    };
    fc.assert(
      fc.property(
        fc.array(fc.float({ min: -50, max: 50, noNaN: true }), { minLength: 3, maxLength: 3 }),
        (own) => {
          const other = Float32Array.from(own, (x, c) => (x === row(25)[c] ? x + 1 : x));
          expect(madeOf(25, other, 25)).toEqual(madeOf(25, row(25), 25));
          expect(madeOf(25, other, 26)).not.toEqual(madeOf(25, row(25), 26));
          expect(madeOf(25, other, 28)).not.toEqual(madeOf(25, row(25), 28));
        },
      ),
      { seed: 1, numRuns: 20 },
    );
  });

  it("trained on numbers that nothing tells of, it learns nothing: hidden rows do not leak into training", async () => {
    const detector = await open(spec({ name: "attention", options: { hidden: 0.3 } }));
    const training = TrainingSpec.parse({ epochs: 12, learningRate: 0.003 });
    const { loss } = await detector.train(noise(3000, 7), { training, seed: 3 });
    // Their variance is 1.
    expect(loss).toBeGreaterThan(0.9);
    expect(detector.heldBackLoss(noise(3000, 7))).toBeGreaterThan(0.9);
  });
});

describe("tcn-forecaster", () => {
  it("a row has no part in forecasts made before it, and has in those of the 29 rows from it on", async () => {
    const detectorSpec = spec({ name: "tcn-forecaster", window: 40 });
    const model = await compile(await blueprintFor(detectorSpec, channels), { seed: 1 });
    model.setWeights(model.weights().map((w, i) => w + 0.1 * Math.sin(i)));
    const x = randomFloats(40 * channels, 1);
    const changed = x.slice();
    changed[5 * channels]! += 3;
    const [was, is] = [model.predict(x), model.predict(changed)];
    // Convolutions share sums among neighbouring rows, which leaves rounding errors.
    const differs = Array.from({ length: 40 }, (_, i) => {
      const row = [i * channels, (i + 1) * channels] as const;
      return relativeError(was.slice(...row), is.slice(...row)) > 1e-4;
    });
    expect(differs.indexOf(true)).toBe(5);
    expect(differs.lastIndexOf(true)).toBe(5 + 28);
  });
});

describe("cnn-classifier", () => {
  const faulty = (row: number) => row % 400 >= 300 && row % 400 < 330;
  const labelled = (rows: number, seed: number): Recent => ({
    ...waves(rows, seed, faulty),
    labels: Uint8Array.from({ length: rows }, (_, i) => (faulty(i) ? 1 : 0)),
  });

  it("learns from labels to tell faults, with a probability for a score and a threshold from normal rows alone", async () => {
    const normal = labelled(4000, 1);
    const detector = await trained(spec({ name: "cnn-classifier" }), normal);
    const calibration = detector.calibrate(normal, alarm);
    expect(calibration.threshold).toBeLessThan(0.7);
    const test = labelled(1200, 9);
    const scorer = detector.scorer(calibration, 1);
    const scores = Float64Array.from({ length: test.rows }, (_, i) =>
      scorer.push(test.values.subarray(i * channels, (i + 1) * channels)),
    );
    expect(auroc(scores, test.labels!)).toBeGreaterThan(0.95);
    expect(Math.min(...scores)).toBeGreaterThanOrEqual(0);
    expect(Math.max(...scores)).toBeLessThanOrEqual(1);
    expect(scorer.contributions).toHaveLength(1);
  });

  it("a fault that lasts does not become normal", async () => {
    const detector = await trained(spec({ name: "cnn-classifier" }), labelled(4000, 1));
    const calibration = detector.calibrate(labelled(4000, 1), alarm);
    const scorer = detector.scorer(calibration, alarm.smooth);
    const lasting = waves(1500, 4, (row) => row >= 300);
    let score = 0;
    for (let i = 0; i < lasting.rows; i++)
      score = scorer.push(lasting.values.subarray(i * channels, (i + 1) * channels));
    expect(score).toBeGreaterThan(0.5);
  });

  it("data without labels and labels beyond its classes are refused", async () => {
    const detector = await open(spec({ name: "cnn-classifier" }));
    const training = TrainingSpec.parse({});
    const unlabelled = detector.train(waves(2000, 1), { training, seed: 1 });
    await expect(unlabelled).rejects.toMatchObject({ code: "UNAVAILABLE", message: /learns from labels/ });
    expect(detector.heldBackLoss(waves(2000, 1))).toBeNaN();
    const three = await open(spec({ name: "cnn-classifier", options: { classes: 3 } }));
    const wild = { ...waves(2000, 1), labels: new Uint8Array(2000).fill(7) };
    await expect(three.train(wild, { training, seed: 1 })).rejects.toThrow(/label 7.*classes 0 to 2/);
  });
});

describe("layers-model", () => {
  const g = () => graph("own");
  const own = (topology: unknown, more: Partial<DetectorSpec> = {}) =>
    spec({ name: "layers-model", topology: JSON.stringify(topology), ...more });
  const dense = (units: number, activation = "linear") => ({ units, activation, use_bias: true });

  /** (window, channels) -> (window, channels), row by row. */
  function rowByRow() {
    const net = g();
    const rows = net.input("rows", [16, channels]);
    const conv = { filters: 8, kernel_size: [3], padding: "causal", activation: "relu", use_bias: true };
    return net.topology(net.layer("Dense", "out", dense(channels), net.layer("Conv1D", "conv", conv, rows)));
  }
  /** As many values in as out, through all rows at once. */
  function throughAll() {
    const net = g();
    const flat = net.layer("Flatten", "flat", {}, net.input("rows", [16, channels]));
    const code = net.layer("Dense", "code", dense(6, "tanh"), flat);
    const back = net.layer("Dense", "back", dense(16 * channels), code);
    return net.topology(net.layer("Reshape", "rows_back", { target_shape: [16, channels] }, back));
  }
  function nextRow() {
    const net = g();
    const flat = net.layer("Flatten", "flat", {}, net.input("rows", [16, channels]));
    return net.topology(net.layer("Dense", "next", dense(channels), flat));
  }
  function record() {
    const net = g();
    const code = net.layer("Dense", "code", dense(2, "tanh"), net.input("record", [channels]));
    return net.topology(net.layer("Dense", "back", dense(channels), code));
  }

  it.each([
    ["row by row, a forecaster", rowByRow(), {}, 1],
    ["row by row, but told to reconstruct", rowByRow(), { reconstructs: 1 }, 15],
    ["all rows at once, an autoencoder", throughAll(), {}, 15],
    ["from a window to a row, a forecaster of the next", nextRow(), {}, 16],
    ["records, an autoencoder", record(), {}, 0],
  ] as const)(
    "%s: it learns, and speaks from the row on from which it can",
    async (_, topology, options, first) => {
      const detectorSpec = own(topology, { options });
      const normal = waves(2000, 1);
      const detector = await open(detectorSpec);
      const training = TrainingSpec.parse({ epochs: 8, learningRate: 0.01 });
      const { heldBackLoss, loss } = await detector.train(normal, { training, seed: 1 });
      expect(loss).toBeLessThan(heldBackLoss / 2);
      const scorer = detector.scorer(detector.calibrate(normal, alarm), alarm.smooth);
      const scores = Array.from({ length: 40 }, (_, i) =>
        scorer.push(normal.values.subarray(i * channels, (i + 1) * channels)),
      );
      expect(scores.findIndex((score) => !Number.isNaN(score))).toBe(first);
    },
  );

  it("is refused in one sentence where it can't be a detector", async () => {
    const net = g();
    const two = net.layer("Dense", "two", dense(2), net.input("rows", [16, channels]));
    await expect(open(own(net.topology(two)))).rejects.toThrow(
      /turns \(16, 3\) into \(16, 2\); give one from/,
    );
    const forked = g();
    const rows = forked.input("rows", [16, channels]);
    const outputs = ["a", "b"].map((name) => forked.layer("Dense", name, dense(channels), rows));
    await expect(open(own(forked.topology(...outputs)))).rejects.toThrow(/1 inputs and 2 outputs/);
    await expect(open(own(rowByRow(), { window: 24 }))).rejects.toThrow(/windows of 16 rows.*window is 24/);
    await expect(open(own(rowByRow()), 5)).rejects.toThrow(/takes 3 channels, this device has 5/);
    await expect(open(own({ class_name: "Nonsense" }))).rejects.toMatchObject({ code: "UNSUPPORTED" });
  });

  it("without a topology, with one that is no JSON, and a topology for another kind are refused", async () => {
    const bad = (message: RegExp) =>
      expect.objectContaining({ code: "BAD_INPUT", message: expect.stringMatching(message) });
    await expect(open(spec({ name: "layers-model" }))).rejects.toEqual(bad(/needs a network/));
    await expect(open(spec({ name: "layers-model", topology: "{" }))).rejects.toEqual(bad(/is no JSON/));
    const misplaced = spec({ name: "cnn-forecaster", topology: "{}" });
    await expect(open(misplaced)).rejects.toEqual(bad(/goes with the detector layers-model/));
  });

  it("the longest topology fits into the control message that brings a task; a longer one is refused", () => {
    const task = (length: number) =>
      TaskSpec.safeParse({ detector: { name: "layers-model", topology: "x".repeat(length) } });
    const version = { manifest: new Uint8Array(2048), signature: new Uint8Array(64) };
    const want = {
      kind: "want",
      device: "d".repeat(64),
      task: task(12_000).data,
      version,
      phase: "training",
    };
    expect(encode(want).length).toBeLessThanOrEqual(limits.controlBytes);
    expect(task(12_001).success).toBe(false);
  });
});
