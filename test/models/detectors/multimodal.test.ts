import { beforeAll, describe, expect, it } from "vitest";
import { blueprintFor, kindOf, tunedOptions } from "../../../models/detectors/catalog.ts";
import type { Detector, Recent, StreamScorer } from "../../../models/detectors/detector.ts";
import type { Estimator } from "../../../models/detectors/kind.ts";
import { openDetector } from "../../../models/detectors/open.ts";
import { picturePatches } from "../../../models/detectors/picture-patches.ts";
import { createRandom } from "../../../models/engine/random.ts";
import { trainArms } from "../../../models/evaluation/arms.ts";
import { auroc } from "../../../models/evaluation/ranking.ts";
import { layoutSize } from "../../../protocol/frame.ts";
import { DetectorSpec, TrainingSpec } from "../../../protocol/task.ts";

const [sensors, height, width] = [3, 8, 6];
const pixels = height * width;
const channels = sensors + pixels;
const name = "multimodal-autoencoder";
const spec = (options: Record<string, number> = {}) =>
  DetectorSpec.parse({ name, window: 8, stride: 2, adaptRows: 200, options: { height, width, ...options } });
const alarm = { quantile: 0.999, smooth: 1 };
const training = TrainingSpec.parse({ epochs: 12, learningRate: 0.01 });

type Fault = "none" | "series" | "picture" | "both";

/** A hidden load drives three sensors and a warm spot in a picture. */
function machine(rows: number, seed: number, faultAt: (row: number) => Fault = () => "none"): Recent {
  const random = createRandom(seed);
  const values = new Float32Array(rows * channels);
  let load = 0;
  for (let row = 0; row < rows; row++) {
    load = 0.9 * load + 0.4 * random.normal();
    const fault = faultAt(row);
    const [inSeries, inPicture] = [
      fault === "series" || fault === "both",
      fault === "picture" || fault === "both",
    ];
    const at = row * channels;
    values[at] = 10 + load + 0.1 * random.normal();
    values[at + 1] = 5 - 2 * load + 0.1 * random.normal() + (inSeries ? 2 : 0);
    values[at + 2] = 0.5 * load + 0.1 * random.normal();
    for (let y = 0; y < height; y++)
      for (let x = 0; x < width; x++) {
        const spot = Math.exp(-((y - 5) ** 2 + (x - 2) ** 2) / 4);
        // A part at the upper right gets hot.
        const hot = inPicture && y < 3 && x > 3 ? 1.5 : 0;
        values[at + sensors + y * width + x] = 20 + (3 + load) * spot + hot + 0.2 * random.normal();
      }
  }
  return { values, rows, channels };
}

async function open(detectorSpec = spec()): Promise<Detector> {
  const topology = JSON.stringify(await blueprintFor(detectorSpec, channels));
  return openDetector({ spec: detectorSpec, topology, channels, seed: 1, statistics: null });
}

async function estimatorFor(detectorSpec = spec()): Promise<Estimator> {
  const kind = await kindOf(name);
  const tuned = tunedOptions(kind, detectorSpec);
  const blueprint = kind.blueprint({ channels, spec: detectorSpec, tuned });
  return kind.open({ blueprint, channels, spec: detectorSpec, tuned, seed: 1, maxBatch: 32 });
}

const rowOf = ({ values }: Recent, row: number) => values.slice(row * channels, (row + 1) * channels);
function scoresOf(scorer: StreamScorer, data: Recent, change: (row: Float32Array) => void = () => {}) {
  return Float64Array.from({ length: data.rows }, (_, i) => {
    const row = rowOf(data, i);
    change(row);
    return scorer.push(row);
  });
}
const without = {
  series: (row: Float32Array) => row.fill(Number.NaN, 0, sensors),
  picture: (row: Float32Array) => row.fill(Number.NaN, sensors),
} as const;

const normal = machine(2500, 1);
const faultOf = (row: number): Fault =>
  row % 100 < 80 ? "none" : (["series", "picture", "both"] as const)[Math.floor(row / 100) % 3]!;
const test = machine(1500, 9, faultOf);
const rankingOf = (scores: Float64Array, fault: Fault) => {
  const rows = [...scores.keys()].filter((row) => row > 60 && ["none", fault].includes(faultOf(row)));
  return auroc(
    Float64Array.from(rows, (row) => scores[row]!),
    Uint8Array.from(rows, (row) => Number(faultOf(row) !== "none")),
  );
};

let detector: Detector;
let scorer: () => StreamScorer;
beforeAll(async () => {
  detector = await open();
  await detector.train(normal, { training, seed: 2 });
  const calibration = detector.calibrate(normal, alarm);
  scorer = () => detector.scorer(calibration, alarm.smooth);
});

describe("multimodal autoencoder", () => {
  it("finds faults of the series, of the picture, and of both", () => {
    const scores = scoresOf(scorer(), test);
    for (const fault of ["series", "picture", "both"] as const)
      expect(rankingOf(scores, fault), fault).toBeGreaterThan(0.95);
  });

  it("with either modality gone, the other is judged alone and the missing one adds nothing", () => {
    for (const [gone, left] of [
      ["series", "picture"],
      ["picture", "series"],
    ] as const) {
      const judge = scorer();
      const scores = scoresOf(judge, test, without[gone]);
      expect(scores.subarray(8).some(Number.isNaN)).toBe(false);
      expect(rankingOf(scores, left), `${left} alone`).toBeGreaterThan(0.9);
      // A fault of what is missing can't be seen: no better than by chance.
      expect(rankingOf(scores, gone), `${gone} unseen`).toBeLessThan(0.6);
      const terms = judge.contributions;
      const [from, to] = gone === "series" ? [0, sensors] : [sensors, channels];
      expect(terms.slice(from, to).every((term) => term === 0)).toBe(true);
      expect(terms.some((term) => term > 0)).toBe(true);
    }
  });

  it("a missing modality is no silent zero: its average values in its place give another score", () => {
    const hidden = scorer();
    const filled = scorer();
    const { scalerMean } = detector.calibrate(normal, alarm);
    const gone = scoresOf(hidden, test, without.picture);
    const zeros = scoresOf(filled, test, (row) => row.set(scalerMean.slice(sensors), sensors));
    expect(gone.subarray(20).every((score, i) => score !== zeros[20 + i])).toBe(true);
    const nothing = scorer();
    scoresOf(nothing, machine(50, 3));
    expect(nothing.push(new Float32Array(channels).fill(Number.NaN))).not.toBeNaN(); // the last score stands
    expect(nothing.contributions.every((term) => term === 0)).toBe(true);
  });

  it("modality dropout is what lets it do without: a held-back series whose pictures are gone is given back better", async () => {
    const blind = { ...normal, values: normal.values.slice() };
    for (let row = 0.8 * blind.rows; row < blind.rows; row++)
      blind.values.fill(Number.NaN, row * channels + sensors, (row + 1) * channels);
    const lossAt = async (dropout: number) => {
      const one = await open(spec({ dropout }));
      await one.train(normal, { training, seed: 2 });
      return one.heldBackLoss(blind);
    };
    expect(await lossAt(0.2)).toBeLessThan(0.5 * (await lossAt(0)));
  });

  it("says which sensor, or the pixel in the middle of which patch", () => {
    const judge = scorer();
    const tops = { series: new Set<number>(), picture: new Set<number>() };
    for (let i = 0; i < test.rows; i++) {
      judge.push(rowOf(test, i));
      const fault = faultOf(i);
      const top = judge.contributions.indexOf(Math.max(...judge.contributions));
      if (i % 100 === 82 && (fault === "series" || fault === "picture")) tops[fault].add(top);
    }
    expect([...tops.series]).toEqual([1]);
    const patches = picturePatches(height, width, 4);
    const upperRight = sensors + patches.middles[1]!;
    expect([...tops.picture]).toEqual([upperRight]);
  });

  it("pixels do not outvote sensors: as many patches count as there are channels, about", async () => {
    const judge = scorer();
    for (let i = 0; i < 30; i++) judge.push(rowOf(test, i));
    const counted = [...judge.contributions.keys()].filter((c) => judge.contributions[c]! > 0);
    expect(counted.filter((c) => c < sensors)).toHaveLength(sensors);
    expect(counted.filter((c) => c >= sensors)).toHaveLength(4);
  });

  it("both modalities weigh the same in the loss, however many values they have", async () => {
    const estimator = await estimatorFor();
    const { values } = normal;
    const read = (all: Float32Array) => (first: number, rows: number) =>
      all.subarray(first * channels, (first + rows) * channels);
    const part = { read: read(values), channels, from: 0, to: 40 };
    const masked = (change: (row: Float32Array) => void) => {
      const targets = values.slice(0, 40 * channels);
      for (let i = 0; i < 40; i++) change(targets.subarray(i * channels, (i + 1) * channels));
      return estimator.loss([{ ...part, targets: read(targets) }]);
    };
    // A constant more on every target of one of them, by the same network: the loss grows by about its square, once for each modality.
    const shifted = (from: number, to: number) => {
      const targets = values.slice(0, 40 * channels);
      for (let i = 0; i < 40; i++) for (let c = from; c < to; c++) targets[i * channels + c]! += 1000;
      return estimator.loss([{ ...part, targets: read(targets) }]);
    };
    expect(shifted(0, sensors) / shifted(sensors, channels)).toBeCloseTo(1, 1);
    expect(masked(() => {})).toBe(estimator.loss([part]));
    expect(masked((row) => row.fill(Number.NaN, sensors))).toBeLessThan(estimator.loss([part]));
  });

  it("what is missing in training is not taught: rows with stale pictures do not count", async () => {
    const holes = { ...normal, values: normal.values.slice() };
    for (let i = 0; i < holes.rows; i++)
      if (i % 4 !== 0) holes.values.fill(Number.NaN, i * channels + sensors, (i + 1) * channels);
    const slow = await open();
    await slow.train(holes, { training, seed: 2 });
    const calibration = slow.calibrate(holes, alarm);
    const scores = scoresOf(slow.scorer(calibration, alarm.smooth), test);
    for (const fault of ["series", "picture"] as const)
      expect(rankingOf(scores, fault), fault).toBeGreaterThan(0.9);
  });

  it("a fleet averages it: rounds of averaging find the faults too", async () => {
    const fleet = await open();
    const [result] = await trainArms({
      detector: fleet,
      training: TrainingSpec.parse({ epochs: 2, learningRate: 0.01 }),
      rounds: 5,
      seed: 1,
      devices: [machine(1200, 21), machine(1200, 22)],
      arms: ["fedavg"],
    });
    fleet.setWeights(result!.weights[0]!);
    const calibration = fleet.calibrate(normal, alarm);
    const scores = scoresOf(fleet.scorer(calibration, alarm.smooth), test);
    for (const fault of ["series", "picture"] as const)
      expect(rankingOf(scores, fault), fault).toBeGreaterThan(0.9);
  });

  it("its weights are those of its layout, the usual errors of the patches last, and refused when they can't be", async () => {
    const { layout } = detector;
    const weights = detector.weights();
    expect(weights).toHaveLength(layoutSize(layout));
    expect(layout.at(-1)).toEqual({ name: "picture_patches_usual", shape: [4] });
    expect([...weights.slice(-4)].every((error) => error > 0)).toBe(true);
    expect(() => detector.setWeights(weights.slice(1))).toThrow(/weights, the model has/);
    expect(() => detector.setWeights(weights.with(weights.length - 1, Number.NaN))).toThrow(/NaN or Inf/);
    expect(detector.weights()).toEqual(weights);
  });

  it("refuses a row without a series, without a picture, and another width", async () => {
    const blueprint = (options: Record<string, number>, of = channels) =>
      blueprintFor(DetectorSpec.parse({ name, options }), of);
    await expect(blueprint({})).rejects.toThrow(/can't guess its options height and width/);
    await expect(blueprint({ height })).rejects.toThrow(/can't guess its options width/);
    await expect(blueprint({ height, width }, pixels)).rejects.toThrow(
      /can't find a series beside a picture/,
    );
    const topology = JSON.stringify(await blueprintFor(spec(), channels));
    const other = openDetector({ spec: spec(), topology, channels: channels + 1, seed: 1, statistics: null });
    await expect(other).rejects.toThrow(/takes 51 channels, 48 of them pixels; this device has 52/);
  });

  it.each([
    [1, 1],
    [1, 20],
    [5, 7],
    [16, 16],
    [33, 40],
    [64, 64],
  ])("gives a picture of %i x %i back in its size, with at most 100k weights", async (height, width) => {
    const channels = 10 + height * width;
    const detectorSpec = spec({ height, width });
    const topology = JSON.stringify(await blueprintFor(detectorSpec, channels));
    const one = await openDetector({ spec: detectorSpec, topology, channels, seed: 1, statistics: null });
    expect(one.weights().length).toBeLessThanOrEqual(100_000);
    one.dispose();
  });
});

describe("picture patches", () => {
  it("cover the picture, about as many as are wanted, and measure each by its own pixels", () => {
    for (const [height, width, wanted, count] of [
      [8, 8, 4, 4],
      [16, 16, 9, 9],
      [10, 20, 8, 8],
      [1, 1, 12, 1],
      [2, 3, 100, 6],
    ] as const) {
      const patches = picturePatches(height, width, wanted);
      expect(patches.count).toBe(count);
      expect(new Set(patches.middles).size).toBe(count);
      const [rms, present] = [new Float32Array(count), new Uint32Array(count)];
      patches.measure(new Float32Array(height * width).fill(2), rms, present);
      expect([...rms]).toEqual(Array(count).fill(2));
      expect(present.reduce((sum, n) => sum + n, 0)).toBe(height * width);
      for (const [p, middle] of patches.middles.entries()) {
        patches.measure(
          new Float32Array(height * width).fill(Number.NaN).fill(3, middle, middle + 1),
          rms,
          present,
        );
        expect(rms[p]).toBe(3);
        expect(rms.filter((r) => !Number.isNaN(r))).toHaveLength(1);
      }
    }
  });
});
