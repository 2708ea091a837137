import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { alarmRule } from "../../../models/detectors/alarm-rule.ts";
import { blueprintFor } from "../../../models/detectors/catalog.ts";
import type { Detector, Recent } from "../../../models/detectors/detector.ts";
import { transformer, turnsAndShifts } from "../../../models/detectors/image-transforms.ts";
import { openDetector, warmUpRows } from "../../../models/detectors/open.ts";
import { transformedSamples } from "../../../models/detectors/transformed-samples.ts";
import { createRandom } from "../../../models/engine/random.ts";
import { classMetrics } from "../../../models/evaluation/classes.ts";
import { auroc } from "../../../models/evaluation/ranking.ts";
import { DetectorSpec, TrainingSpec } from "../../../protocol/task.ts";

const side = 12;
const channels = side * side;
const kinds = ["cnn2d-autoencoder", "cnn2d-rotation", "cnn2d-classifier"] as const;
type Kind = (typeof kinds)[number];

type Paint = (x: number, y: number) => boolean;
/** An upright T; what is wrong is a cross, or a T whose bar has slid down. */
const good: Paint = (x, y) => (y >= 2 && y < 4 && x >= 2 && x < 10) || (x >= 5 && x < 7 && y >= 2 && y < 10);
const slid: Paint = (x, y) => (y >= 7 && y < 9 && x >= 2 && x < 10) || (x >= 5 && x < 7 && y >= 2 && y < 10);
const cross: Paint = (x, y) => Math.abs(x - y) < 2 || Math.abs(x + y - side) < 2;

function images(paints: readonly Paint[], seed: number): Recent & { labels: Uint8Array } {
  const random = createRandom(seed);
  const values = new Float32Array(paints.length * channels);
  paints.forEach((paint, row) => {
    const [dx, dy, grey] = [random.integer(3) - 1, random.integer(2), 0.6 + 0.4 * random.uniform()];
    for (let i = 0; i < channels; i++) {
      const ink = paint((i % side) - dx, Math.floor(i / side) - dy) ? grey : 0;
      values[row * channels + i] = Math.min(1, Math.max(0, ink + 0.05 * random.normal()));
    }
  });
  const labels = Uint8Array.from(paints, (paint) => Number(paint !== good));
  return { values, rows: paints.length, channels, labels };
}

const normal = images(new Array<Paint>(150).fill(good), 1);
/** The classifier sees faults in training, the others none. */
const labelled = images(
  Array.from({ length: 150 }, (_, i) => [good, slid, cross][i % 3]!),
  1,
);
const dataFor = (name: Kind) => (name === "cnn2d-classifier" ? labelled : normal);
const test = images(
  Array.from({ length: 120 }, (_, i) => [good, slid, good, cross][i % 4]!),
  7,
);

const specOf = (name: Kind, options = {}) =>
  DetectorSpec.parse({ name, options: { filters: 8, ...options } });

async function opened(spec: DetectorSpec): Promise<Detector> {
  const topology = JSON.stringify(await blueprintFor(spec, channels));
  return openDetector({ spec, topology, channels, seed: 1, statistics: null });
}

async function trained(name: Kind, epochs = 12): Promise<Detector> {
  const detector = await opened(specOf(name));
  const training = TrainingSpec.parse({ epochs, learningRate: 0.005, batchSize: 16 });
  await detector.train(dataFor(name), { training, seed: 2 });
  return detector;
}

const alarm = { quantile: 0.99, smooth: [3, 10, 30] };
const row = (data: Recent, i: number) => data.values.subarray(i * channels, (i + 1) * channels);

describe("image kinds", () => {
  it.each(kinds)("%s ranks anomalous images above normal ones and alarms on few of those", async (name) => {
    const detector = await trained(name);
    const calibration = detector.calibrate(dataFor(name), alarm);
    const scorer = detector.scorer(calibration, alarm.smooth);
    const scores = Float64Array.from({ length: test.rows }, (_, i) => scorer.push(row(test, i)));
    expect(auroc(scores, test.labels)).toBeGreaterThan(0.95);
    const alarms = scores.filter((score, i) => test.labels[i] === 0 && score > calibration.threshold);
    expect(alarms.length).toBeLessThanOrEqual(6);
  });

  it.each(kinds)(
    "%s scores an image alike whatever came before it, and goes on after a restart",
    async (name) => {
      const detector = await trained(name, 1);
      const calibration = detector.calibrate(dataFor(name), alarm);
      const scorer = detector.scorer(calibration, alarm.smooth);
      const forwards = Array.from({ length: 20 }, (_, i) => scorer.push(row(test, i)));
      const later = detector.scorer(calibration, alarm.smooth);
      later.restore(scorer.state());
      const backwards = Array.from({ length: 20 }, (_, i) => later.push(row(test, 19 - i))).reverse();
      expect(backwards).toEqual(forwards);
      expect(new Set(forwards).size).toBe(20);
      expect(warmUpRows(detector, alarm.smooth)).toBe(0);
      expect(alarmRule(detector, { k: 3, n: 5, gap: 10, release: 1 }, { threshold: 2 })).toMatchObject({
        k: 1,
        n: 1,
      });
    },
  );

  it.each(kinds)(
    "%s learns the same from the same seed, and the fleet weighs it by its images",
    async (name) => {
      const training = TrainingSpec.parse({ epochs: 1 });
      const run = async () => {
        const detector = await opened(specOf(name));
        const result = await detector.train(dataFor(name), { training, seed: 2 });
        return { result, weights: detector.weights() };
      };
      const first = await run();
      expect(await run()).toEqual(first);
      // 150 less the 32 that are held back at least.
      expect(first.result.samples).toBe(118);
    },
  );

  it.each(kinds)("%s has less than 100,000 weights for images of 28 x 28", async (name) => {
    const spec = DetectorSpec.parse({ name, options: name === "cnn2d-classifier" ? { classes: 10 } : {} });
    const topology = JSON.stringify(await blueprintFor(spec, 784));
    const detector = await openDetector({ spec, topology, channels: 784, seed: 1, statistics: null });
    expect(detector.weights().length).toBeLessThan(100_000);
  });

  it("a budget of alarms is kept image by image, whatever the task says of k of n", async () => {
    const detector = await trained("cnn2d-autoencoder", 1);
    // 32 images are held back, one a minute: 60 alarms an hour are all of them, 15 are eight.
    const budget = { quantile: 0.99, smooth: 1, budget: "15 per hour", rateHz: 1 / 60 };
    const debounced = detector.calibrate(normal, { ...budget, k: 3, n: 5 });
    const alone = detector.calibrate(normal, { ...budget, k: 1, n: 1, gap: 1 });
    expect(debounced.threshold).toBe(alone.threshold);
  });

  it("missing pixels are passed over, and an image without any has no score", async () => {
    const detector = await trained("cnn2d-autoencoder", 1);
    const scorer = detector.scorer(detector.calibrate(normal, alarm), alarm.smooth);
    const holes = row(test, 0).slice();
    holes.fill(Number.NaN, 40, 60);
    expect(scorer.push(holes)).toBeGreaterThan(0);
    expect(scorer.contributions.subarray(40, 60).every((term) => term === 0)).toBe(true);
    const none = detector.scorer(detector.calibrate(normal, alarm), alarm.smooth);
    expect(none.push(new Float32Array(channels).fill(Number.NaN))).toBeNaN();
  });

  it("the autoencoder shows where an image is wrong", async () => {
    const detector = await trained("cnn2d-autoencoder", 20);
    const scorer = detector.scorer(detector.calibrate(normal, alarm), alarm.smooth);
    const spotted = row(test, 0).slice();
    const spot = [8, 9, 10].flatMap((y) => [0, 1, 2].map((x) => y * side + x));
    for (const i of spot) spotted[i] = 1;
    scorer.push(spotted);
    const total = scorer.contributions.reduce((sum, term) => sum + term, 0);
    expect(spot.reduce((sum, i) => sum + scorer.contributions[i]!, 0) / total).toBeGreaterThan(0.5);
  });

  it("the classifier tells classes, and refuses what it can't learn from", async () => {
    const detector = await trained("cnn2d-classifier");
    const { accuracy, logLoss } = classMetrics(detector.probabilities!(test.values), test.labels, 2);
    expect(accuracy).toBeGreaterThan(0.95);
    expect(logLoss).toBeLessThan(0.2);
    const training = TrainingSpec.parse({});
    const { labels, ...unlabelled } = labelled;
    await expect(detector.train(unlabelled, { training, seed: 1 })).rejects.toThrow(/give labels/);
    const more = { ...labelled, labels: labels.map((label) => 3 * label) };
    await expect(detector.train(more, { training, seed: 1 })).rejects.toThrow(/has the class 3/);
    await expect(opened(specOf("cnn2d-classifier", { normal: 2 }))).rejects.toThrow(/2 classes and 2 normal/);
  });

  it("the classifier's threshold comes from normal images alone", async () => {
    const detector = await trained("cnn2d-classifier");
    const { threshold, rows } = detector.calibrate(labelled, alarm);
    expect(threshold).toBeLessThan(0.5);
    expect(rows).toBeLessThan(32);
  });

  it("images of another shape are taken as they are said to be, or refused", async () => {
    const wide = specOf("cnn2d-autoencoder", { height: 6, depth: 3 });
    const topology = JSON.stringify(await blueprintFor(wide, 6 * 7 * 3));
    const detector = await openDetector({ spec: wide, topology, channels: 126, seed: 1, statistics: null });
    const data = {
      values: Float32Array.from({ length: 126 * 80 }, (_, i) => (i % 7) / 7),
      rows: 80,
      channels: 126,
    };
    await detector.train(data, { training: TrainingSpec.parse({ epochs: 1 }), seed: 1 });
    await expect(blueprintFor(specOf("cnn2d-rotation"), 150)).rejects.toThrow(/product is 150/);
    await expect(blueprintFor(specOf("cnn2d-rotation", { height: 10 }), 150)).rejects.toThrow(
      /square, not 10 x 15/,
    );
    const other = openDetector({ spec: wide, topology, channels, seed: 1, statistics: null });
    await expect(other).rejects.toThrow(/126 channels; this device has 144/);
  });
});

describe("image transforms", () => {
  it("a quarter turn is counter-clockwise", () => {
    const turn = transformer({ height: 2, width: 2, depth: 1 }, { quarters: 1, down: 0, right: 0 });
    const out = new Float32Array(4);
    turn(Float32Array.of(1, 2, 3, 4), out);
    expect([...out]).toEqual([2, 4, 1, 3]);
  });

  it("four quarter turns change nothing, and two turn it upside down", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 3 }),
        fc.integer({ min: 1, max: 6 }),
        fc.nat(),
        (depth, side, seed) => {
          const random = createRandom(seed);
          const from = Float32Array.from({ length: side * side * depth }, () => random.uniform());
          const turnBy = (quarters: number, image: Float32Array) => {
            const out = new Float32Array(image.length);
            transformer({ height: side, width: side, depth }, { quarters, down: 0, right: 0 })(image, out);
            return out;
          };
          const twice = turnBy(1, turnBy(1, from));
          expect(turnBy(1, turnBy(1, twice))).toEqual(from);
          expect(twice).toEqual(turnBy(2, from));
          expect(turnBy(1, twice)).toEqual(turnBy(3, from));
          for (let i = 0; i < side * side; i++)
            expect(twice[i * depth]).toBe(from[(side * side - 1 - i) * depth]);
        },
      ),
    );
  });

  it("a shift moves every pixel and fills with nothing", () => {
    const move = transformer({ height: 3, width: 3, depth: 1 }, { quarters: 0, down: 1, right: -1 });
    const out = new Float32Array(9);
    move(Float32Array.of(1, 2, 3, 4, 5, 6, 7, 8, 9), out);
    expect([...out]).toEqual([0, 0, 0, 2, 3, 0, 5, 6, 0]);
  });

  it("36 transforms of an image differ from each other, the first leaves it alone; without shifts there are 4", () => {
    const from = Float32Array.from({ length: 36 }, (_, i) => i + 1);
    const all = turnsAndShifts(1).map((transform) => {
      const out = new Float32Array(36);
      transformer({ height: 6, width: 6, depth: 1 }, transform)(from, out);
      return out;
    });
    expect(all[0]).toEqual(from);
    expect(new Set(all.map(String)).size).toBe(36);
    expect(turnsAndShifts(0).length).toBe(4);
  });

  it("an image comes in all its transforms over the epochs, each named rightly, and in others in the next round", () => {
    const { values } = images([good, slid], 3);
    const read = (first: number, count: number) =>
      values.subarray(first * channels, (first + count) * channels);
    const part = { read, channels, from: 0, to: 2 };
    const transforms = turnsAndShifts(2).map((t) => transformer({ height: side, width: side, depth: 1 }, t));
    const epochs = (seed: number) => {
      const samples = transformedSamples([part], { transforms, draws: 6, channels, seed });
      expect(samples.count).toBe(12);
      const x = new Float32Array(12 * channels);
      const y = new Float32Array(12);
      const expected = new Float32Array(channels);
      return Array.from({ length: 6 }, () => {
        samples.read(
          Uint32Array.from({ length: 12 }, (_, i) => i),
          x,
          y,
        );
        y.forEach((t, i) => {
          transforms[t]!(values.subarray(i < 6 ? 0 : channels, i < 6 ? channels : 2 * channels), expected);
          expect(x.subarray(i * channels, (i + 1) * channels)).toEqual(expected);
        });
        return [...y];
      });
    };
    const first = epochs(1);
    for (const from of [0, 6]) {
      const seen = new Set(first.flatMap((classes) => classes.slice(from, from + 6)));
      expect(seen.size).toBe(36);
    }
    expect(epochs(1)).toEqual(first);
    expect(epochs(2)[0]).not.toEqual(first[0]);
  });
});
