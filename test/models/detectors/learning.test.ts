import { describe, expect, it } from "vitest";
import { createDetector } from "../../../models/detectors/anomaly-detector.ts";
import { seriesAugments } from "../../../models/detectors/augment/names.ts";
import { blueprintFor, type DetectorName, detectorNames, kindOf } from "../../../models/detectors/catalog.ts";
import { checkLearning } from "../../../models/detectors/check-learning.ts";
import { UNLABELLED } from "../../../models/detectors/cnn2d-classifier.ts";
import type { Detector, Recent } from "../../../models/detectors/detector.ts";
import { openDetector } from "../../../models/detectors/open.ts";
import { createRandom } from "../../../models/engine/random.ts";
import { trainArms } from "../../../models/evaluation/arms.ts";
import { auroc } from "../../../models/evaluation/ranking.ts";
import {
  type AugmentSpec,
  DetectorSpec,
  type Pretext,
  type RoundTraining,
  TaskSpec,
  TrainingSpec,
} from "../../../protocol/task.ts";
import { channels, open, spec, waves } from "./waves.ts";

const strengths = { jitter: 0.1, scaling: 0.1, masking: 0.2, warp: 0.2, permutation: 4, mixup: 0.4 } as const;

const recent = waves(500, 1);
const labelled = { ...recent, labels: Uint8Array.from({ length: 500 }, (_, i) => Number(i % 90 < 20)) };
const side = 8;
/** Bright upper halves; of class 1, bright corners. */
function pictures(count: number, seed: number, known = count): Recent & { labels: Uint8Array } {
  const random = createRandom(seed);
  const classes = Uint8Array.from({ length: count }, (_, i) => i % 2);
  const values = Float32Array.from({ length: count * side * side }, (_, i) => {
    const [image, x, y] = [Math.floor(i / 64), i % 8, Math.floor(i / 8) % 8];
    const ink = classes[image] === 0 ? y < 4 : y < 4 && x < 4;
    return Math.min(1, Math.max(0, (ink ? 0.8 : 0.1) + 0.2 * random.normal()));
  });
  const labels = classes.map((label, i) => (i < known ? label : UNLABELLED));
  return { values, rows: count, channels: side * side, labels };
}

const kinds = await Promise.all(
  detectorNames
    .filter((name) => name !== "layers-model")
    .map(async (name) => ({ name, kind: await kindOf(name) })),
);
const learners = kinds
  .filter(({ kind }) => kind.learns === "by gradients")
  // What of several inputs there is to change is not said yet.
  .filter(({ kind }) => kind.augments !== undefined);
const isImage = (name: DetectorName) => name.startsWith("cnn2d");
const small: Partial<Record<DetectorName, Record<string, number>>> = {
  "cnn2d-autoencoder": { filters: 4, code: 4 },
  "cnn2d-classifier": { filters: 4 },
  "cnn2d-rotation": { filters: 4, draws: 2 },
};

async function opened(name: DetectorName, pretext?: Pretext): Promise<Detector> {
  if (!isImage(name)) return open(spec({ name }));
  const detectorSpec = DetectorSpec.parse({ name, options: small[name] ?? {} });
  const topology = JSON.stringify(await blueprintFor(detectorSpec, side * side, pretext));
  return openDetector({ spec: detectorSpec, topology, channels: side * side, seed: 1, statistics: null });
}

async function fitted(name: DetectorName, augment?: AugmentSpec): Promise<Float32Array> {
  const detector = await opened(name);
  const training = TrainingSpec.parse({ epochs: 1, ...(augment && { augment }) });
  await detector.train(isImage(name) ? pictures(90, 1) : labelled, { training, seed: 3 });
  const weights = detector.weights();
  detector.dispose();
  return weights;
}

describe("training with changed samples", () => {
  it.each(learners)("$name learns otherwise from each augmentation that it takes", async ({ name, kind }) => {
    const plain = await fitted(name);
    for (const one of kind.augments!) {
      const changed = await fitted(name, { [one]: strengths[one] });
      expect(changed, one).not.toEqual(plain);
      expect(changed.every(Number.isFinite)).toBe(true);
      expect(await fitted(name, { [one]: strengths[one] }), `${one}, again`).toEqual(changed);
    }
    expect(kind.augments!.length).toBeGreaterThan(1);
  });

  it.each(learners)("$name learns the same to the bit where every strength is 0", async ({ name }) => {
    const off = { jitter: 0, scaling: 0, masking: 0, maskRows: 3, warp: 0, permutation: 1, mixup: 0 };
    expect(await fitted(name, off)).toEqual(await fitted(name));
  });

  it.each(kinds)("$name refuses in one sentence what it can't use", ({ name, kind }) => {
    for (const one of seriesAugments) {
      const check = () => checkLearning(name, kind, { training: { augment: { [one]: strengths[one] } } });
      if (kind.augments?.includes(one)) expect(check).not.toThrow();
      else if (kind.learns === "by sums") expect(check).toThrow(/learns by sums, exactly; leave/);
      else
        expect(check).toThrow(new RegExp(`${name} can't learn from samples changed by ${one}; .*can hold`));
    }
    for (const pretext of ["masked", "rotation"] as const) {
      const check = () => checkLearning(name, kind, { training: {}, pretext });
      if (kind.pretexts?.includes(pretext)) expect(check).not.toThrow();
      else expect(check).toThrow(expect.objectContaining({ code: "BAD_INPUT" }));
    }
  });

  it("a network of the user's own that takes single records refuses to warp their time", async () => {
    const topology = JSON.stringify(
      await blueprintFor(DetectorSpec.parse({ name: "mlp-autoencoder" }), channels),
    );
    const own = DetectorSpec.parse({ name: "layers-model", topology });
    const detector = await openDetector({ spec: own, topology, channels, seed: 1, statistics: null });
    const training = TrainingSpec.parse({ epochs: 1, augment: { warp: 0.2 } });
    await expect(detector.train(recent, { training, seed: 1 })).rejects.toMatchObject({ code: "BAD_INPUT" });
  });
});

/** From.. to of a tensor in the flat array. */
function tensors(detector: Detector): Map<string, Float32Array> {
  const weights = detector.weights();
  let at = 0;
  return new Map(
    detector.layout.map(({ name, shape }) => {
      const size = shape.reduce((product, n) => product * n, 1);
      at += size;
      return [name, weights.subarray(at - size, at)];
    }),
  );
}

const taught = (pretext: Pretext, epochs: number): RoundTraining => ({
  ...TrainingSpec.parse({ epochs, learningRate: 0.01 }),
  pretext,
});

describe("pretraining", () => {
  const masked = learners.filter(({ kind }) => kind.pretexts?.includes("masked"));
  it.each(masked)(
    "$name, by hidden values: the weights move, held-back losses stay its own, and it works afterwards",
    async ({ name }) => {
      const normal = waves(2000, 1);
      const options = /^(cnn|lstm)-autoencoder$/.test(name) ? { centred: 0 } : {};
      const detector = await open(spec({ name, options }));
      const [first, own] = [detector.weights(), detector.heldBackLoss(normal)];
      const pretrained = await detector.train(normal, { training: taught("masked", 2), seed: 1 });
      expect(pretrained.heldBackLoss).toBe(own);
      expect(detector.weights()).not.toEqual(first);
      const training = TrainingSpec.parse({ epochs: 8, learningRate: 0.01 });
      const { heldBackLoss } = await detector.train(normal, { training, seed: 2 });
      expect(detector.heldBackLoss(normal)).toBeLessThan(heldBackLoss);
      const faulty = (row: number) => row >= 300 && row < 340;
      const test = waves(600, 9, faulty);
      const scorer = detector.scorer(detector.calibrate(normal, { quantile: 0.999, smooth: 5 }), 5);
      const scores = Float64Array.from({ length: test.rows }, (_, i) =>
        scorer.push(test.values.subarray(i * channels, (i + 1) * channels)),
      );
      const labels = Uint8Array.from(scores, (_, i) => Number(faulty(i)));
      expect(auroc(scores.subarray(20), labels.subarray(20))).toBeGreaterThan(0.95);
    },
  );

  const turned = ["cnn2d-classifier", "cnn2d-autoencoder"] as const;
  it.each(turned)(
    "%s, by rotation: a head of its own only where the task asks, and neither objective moves the other's last layer",
    async (name) => {
      const plain = await opened(name);
      const detector = await opened(name, "rotation");
      const extra = detector.layout.slice(plain.layout.length).map((tensor) => tensor.name);
      expect(detector.layout.slice(0, plain.layout.length)).toEqual(plain.layout);
      expect(extra).toEqual(["turn/kernel", "turn/bias"]);
      const data = pictures(200, 1);
      expect(detector.heldBackLoss(data)).toBe(plain.heldBackLoss(data));

      const start = tensors(detector);
      const last = name === "cnn2d-classifier" ? "class/kernel" : "image-again/kernel";
      const { loss, samples } = await detector.train(data, { training: taught("rotation", 15), seed: 1 });
      expect(samples).toBeGreaterThan(100);
      // Guessing costs ln 4.
      expect(loss).toBeLessThan(0.5 * Math.log(4));
      const pretrained = tensors(detector);
      expect(pretrained.get("edges/kernel")).not.toEqual(start.get("edges/kernel"));
      expect(pretrained.get("turn/kernel")).not.toEqual(start.get("turn/kernel"));
      expect(pretrained.get(last)).toEqual(start.get(last));

      const training = TrainingSpec.parse({ epochs: 10, learningRate: 0.01 });
      const before = detector.heldBackLoss(data);
      await detector.train(data, { training, seed: 1 });
      const own = tensors(detector);
      expect(own.get("turn/kernel")).toEqual(pretrained.get("turn/kernel"));
      expect(own.get(last)).not.toEqual(pretrained.get(last));
      expect(detector.heldBackLoss(data)).toBeLessThan(before);
      if (name === "cnn2d-classifier") {
        const test = pictures(100, 5);
        const found = detector.probabilities!(test.values);
        const right = test.labels.filter((label, i) => found[2 * i + label]! > 0.5).length;
        expect(right).toBeGreaterThan(95);
      }
    },
  );

  it("images without a known class teach the pretext and nothing else", async () => {
    const few = pictures(200, 1, 40);
    const detector = await opened("cnn2d-classifier", "rotation");
    const pretrained = await detector.train(few, { training: taught("rotation", 1), seed: 1 });
    const training = TrainingSpec.parse({ epochs: 1 });
    const own = await detector.train(few, { training, seed: 1 });
    expect(pretrained.samples).toBeGreaterThan(150);
    expect(own.samples).toBeLessThan(41);
    expect(own.samples).toBeGreaterThan(20);
  });

  it("rotation needs square images, and says so before anything is trained", async () => {
    const wide = DetectorSpec.parse({ name: "cnn2d-autoencoder", options: { height: 8, width: 16 } });
    await expect(blueprintFor(wide, 128, "rotation")).rejects.toThrow(/must be square, not 8 x 16/);
    await expect(blueprintFor(wide, 128)).resolves.toBeDefined();
  });

  it("arms - the first rounds teach the pretext, in every arm, and none of it is another training", async () => {
    const devices = [waves(300, 1), waves(400, 2)];
    const training = TrainingSpec.parse({ epochs: 1 });
    const arms = ["local", "central", "fedavg"] as const;
    const run = async (pretrain?: { rounds: number; objective: Pretext }) => {
      const detector = await open(spec({ name: "cnn-autoencoder" }));
      const seen: string[] = [];
      const watched: Detector = {
        ...detector,
        train: (data, options) => {
          const { epochs, pretext = "own" } = options.training;
          seen.push(`${epochs} ${pretext}`);
          return detector.train(data, options);
        },
      };
      const results = await trainArms({
        detector: watched,
        training,
        rounds: 3,
        pretrain,
        seed: 1,
        devices,
        arms,
      });
      return { seen, results };
    };
    const { seen, results } = await run({ rounds: 1, objective: "masked" });
    const local = ["1 masked", "2 own"];
    expect(seen).toEqual([
      ...local,
      ...local,
      ...local,
      ...["1 masked", "1 masked", "1 own", "1 own", "1 own", "1 own"],
    ]);
    const plain = await run();
    expect(plain.seen.slice(0, 3)).toEqual(["3 own", "3 own", "3 own"]);
    for (const [k, { weights }] of results.entries())
      expect(weights[0]).not.toEqual(plain.results[k]!.weights[0]);
    expect((await run({ rounds: 1, objective: "masked" })).results).toEqual(results);
  });

  it("createDetector takes both, tells progress over all epochs, and keeps them in a file", async () => {
    const settings = {
      window: 16,
      stride: 8,
      epochs: 4,
      augment: { jitter: 0.05 },
      pretrain: { epochs: 3, objective: "masked" },
    } as const;
    const detector = await createDetector("cnn-forecaster", settings);
    const epochs: string[] = [];
    await detector.fit(
      { values: recent.values, rows: recent.rows, channels },
      { onProgress: ({ epoch, epochs: of }) => epochs.push(`${epoch} of ${of}`) },
    );
    expect(epochs).toEqual(["0 of 4", "1 of 4", "2 of 4", "3 of 4"]);
    const { loadDetector } = await import("../../../models/detectors/anomaly-detector.ts");
    const again = await loadDetector(detector.save());
    expect(again.settings).toEqual(detector.settings);
    await expect(createDetector("cnn-forecaster", { ...settings, epochs: 3 })).rejects.toThrow(
      /3 of 3 epochs/,
    );
    await expect(createDetector("var", settings)).rejects.toThrow(/var learns by sums/);
  });

  it("a task refuses pretraining that leaves no round for the detector, and unknown augmentations", () => {
    const pretrain = { rounds: 5, objective: "masked" };
    expect(TaskSpec.safeParse({ rounds: 5, pretrain }).success).toBe(false);
    expect(TaskSpec.safeParse({ rounds: 6, pretrain }).success).toBe(true);
    expect(TaskSpec.safeParse({ training: { augment: { jiter: 0.1 } } }).success).toBe(false);
    // Only an invitation says which round it is.
    expect(TaskSpec.safeParse({ training: { pretext: "masked" } }).success).toBe(false);
  });
});
