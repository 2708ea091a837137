import { describe, expect, it } from "vitest";
import { makeFirstVersion } from "../../../coordinator/first-version.ts";
import { maxChange } from "../../../coordinator/gate.ts";
import { blueprintFor, kindOf, tunedOptions } from "../../../models/detectors/catalog.ts";
import type { Estimator, ScaledPart } from "../../../models/detectors/kind.ts";
import { openDetector } from "../../../models/detectors/open.ts";
import { symmetricEigen } from "../../../models/detectors/symmetric-eigen.ts";
import { normalOfT } from "../../../models/detectors/t-test.ts";
import { createRandom } from "../../../models/engine/random.ts";
import { decodeFrame, sameLayout, type VersionHeader } from "../../../protocol/frame.ts";
import { DetectorSpec, TaskSpec, TrainingSpec } from "../../../protocol/task.ts";

const names = ["ewma-z", "mahalanobis", "pca", "t-test", "var", "z-test"] as const;
type Name = (typeof names)[number];

async function open(name: Name, channels: number, options: Record<string, number> = {}): Promise<Estimator> {
  const kind = await kindOf(name);
  const spec = DetectorSpec.parse({ name, options });
  const tuned = tunedOptions(kind, spec);
  const blueprint = JSON.parse(JSON.stringify(await blueprintFor(spec, channels)));
  return kind.open({ blueprint, spec, channels, tuned, seed: 1, maxBatch: 1 });
}

function part(values: Float32Array, channels: number, range?: { from: number; to: number }): ScaledPart {
  const read = (first: number, count: number) =>
    values.subarray(first * channels, (first + count) * channels);
  return { read, channels, from: 0, to: values.length / channels, ...range };
}

const training = TrainingSpec.parse({ epochs: 3 });

/** Channels that follow a common cause, each with noise of its own. */
function mixed(rows: number, channels: number, seed: number): Float32Array {
  const random = createRandom(seed);
  const values = new Float32Array(rows * channels);
  let cause = 0;
  for (let i = 0; i < rows; i++) {
    cause = 0.8 * cause + random.normal();
    for (let c = 0; c < channels; c++)
      values[i * channels + c] = 0.3 * (c + 1) * cause + random.normal() + 0.1 * c;
  }
  return values;
}

/** All residuals of a stream over values. */
function residualsOf(estimator: Estimator, values: Float32Array, channels: number): Float32Array {
  const stream = estimator.stream();
  const out = new Float32Array((values.length / channels) * estimator.residuals);
  for (let at = 0; at < values.length; at += channels) {
    const row = values.subarray(at, at + channels);
    out.set(stream.push(row, row), (at / channels) * estimator.residuals);
  }
  return out;
}

describe("detectors that learn by sums", () => {
  it.each(names)("%s - devices averaged by samples are what their data in one place gives", async (name) => {
    const channels = 6;
    // Very different devices: rows, level and size.
    const devices = [300, 1000, 77].map((rows, d) =>
      part(
        mixed(rows, channels, d + 1).map((x) => (d + 1) * x + d),
        channels,
      ),
    );
    const pooled = await open(name, channels);
    await pooled.train(devices, { training, seed: 1 });
    const base = (await open(name, channels)).weights();
    const sum = new Float64Array(base.length);
    let samples = 0;
    for (const device of devices) {
      const own = await open(name, channels);
      await own.train([device], { training, seed: 9 });
      // As an update travels: the difference from the base, in float32.
      const delta = own.weights().map((w, i) => w - base[i]!);
      const n = own.samples([device]);
      samples += n;
      for (let i = 0; i < sum.length; i++) sum[i]! += n * delta[i]!;
    }
    expect(samples).toBe(pooled.samples(devices));
    const fleet = Float32Array.from(sum, (s, i) => base[i]! + s / samples);
    const exact = pooled.weights();
    for (let i = 0; i < exact.length; i++) {
      expect(Math.abs(fleet[i]! - exact[i]!)).toBeLessThanOrEqual(3e-7 * (1 + Math.abs(exact[i]!)));
    }
    // And so are the residuals that follow from it.
    const averaged = await open(name, channels);
    averaged.setWeights(fleet);
    const test = mixed(200, channels, 50);
    const one = residualsOf(averaged, test, channels);
    const other = residualsOf(pooled, test, channels);
    let compared = 0;
    for (let i = 0; i < one.length; i++) {
      if (Number.isNaN(other[i]!)) continue;
      expect(Math.abs(one[i]! - other[i]!)).toBeLessThan(1e-4 * (1 + Math.abs(other[i]!)));
      compared++;
    }
    expect(compared).toBeGreaterThan(1000);
  });

  it.each(names)(
    "%s - the array does not depend on what was learned before, on epochs or seed",
    async (name) => {
      const values = part(mixed(200, 3, 1), 3);
      const first = await open(name, 3);
      const loss = await first.train([values], { training, seed: 1 });
      const again = await open(name, 3);
      again.setWeights(first.weights().map((w) => 2 * w + 1));
      expect(await again.train([values], { training: TrainingSpec.parse({ epochs: 1 }), seed: 7 })).toBe(
        loss,
      );
      expect(again.weights()).toEqual(first.weights());
      expect(loss).toBe(first.loss([values]));
      const fresh = await open(name, 3);
      expect(loss).toBeLessThan(fresh.loss([values]));
    },
  );

  it.each(names)("%s - keeps at most 100,000 numbers at 38 channels", async (name) => {
    const estimator = await open(name, 38);
    expect(estimator.weights().length).toBeLessThanOrEqual(100_000);
    expect(estimator.layout.reduce((sum, { shape }) => sum + shape.reduce((a, b) => a * b, 1), 0)).toBe(
      estimator.weights().length,
    );
  });

  it.each(names)(
    "%s - channels that never move, and data that is all one value, leave finite numbers",
    async (name) => {
      const values = mixed(300, 4, 1);
      for (let i = 0; i < values.length; i += 4) values[i] = 0;
      for (const data of [values, new Float32Array(1200), new Float32Array(1200).fill(0.5)]) {
        const estimator = await open(name, 4);
        const loss = await estimator.train([part(data, 4)], { training, seed: 1 });
        expect(Number.isFinite(loss)).toBe(true);
        const odd = data.slice();
        // It lasts: within a window, a single spike hides in its own scatter from the t-test.
        for (let row = 280; row < 300; row++) odd[row * 4] = 5;
        const last = residualsOf(estimator, odd, 4).subarray(-4);
        expect(last.every(Number.isFinite)).toBe(true);
        expect(last.map(Math.abs).indexOf(Math.max(...last.map(Math.abs)))).toBe(0);
      }
    },
  );

  it.each(names)(
    "%s - a stream that goes on from its state gives the same residuals to the bit, holes or not",
    async (name) => {
      const channels = 3;
      const estimator = await open(name, channels);
      const values = mixed(400, channels, 2);
      await estimator.train([part(values, channels)], { training, seed: 1 });
      const holes = createRandom(5);
      const whole = estimator.stream();
      let cut = estimator.stream();
      const row = new Float32Array(channels);
      let missing = 0;
      for (let i = 0; i < 400; i++) {
        const target = values.slice(i * channels, (i + 1) * channels);
        for (let c = 0; c < channels; c++) {
          if (i > 0 && (holes.uniform() < 0.2 || (i > 90 && i < 120))) target[c] = Number.NaN;
          else row[c] = target[c]!;
        }
        if (i % 31 === 7) {
          const state = cut.state().slice();
          expect(state.length).toBe(cut.stateSize);
          cut = estimator.stream();
          cut.restore(state);
        }
        const expected = whole.push(row, target);
        expect(cut.push(row, target)).toEqual(expected);
        for (let c = 0; c < channels; c++) {
          if (Number.isNaN(target[c]!)) {
            missing++;
            expect(expected[c]).toBeNaN();
          } else if (i > 3) {
            // After a gap longer than its window the t-test waits for a second value.
            const waits = name === "t-test" && i >= 120 && i < 140;
            if (!waits) expect(Number.isFinite(expected[c]!)).toBe(true);
          }
        }
      }
      expect(missing).toBeGreaterThan(200);
      cut.reset();
      expect(cut.state()).toEqual(estimator.stream().state());
    },
  );

  it("var - the stream's residuals give the loss of the batch", async () => {
    const channels = 4;
    const values = mixed(500, channels, 8);
    const estimator = await open("var", channels);
    const loss = await estimator.train([part(values, channels)], { training, seed: 1 });
    const squares = [...residualsOf(estimator, values, channels)].filter((r) => !Number.isNaN(r));
    const meanSquare = squares.reduce((sum, r) => sum + r * r, 0) / squares.length;
    expect(squares.length).toBe(estimator.samples([part(values, channels)]) * channels);
    expect(meanSquare / loss).toBeCloseTo(1, 6);
  });

  it("pca - the loss is the likelihood of probabilistic PCA, which on its own data is half of one and of the log determinant", async () => {
    const channels = 4;
    const values = mixed(500, channels, 8);
    const estimator = await open("pca", channels, { components: 2 });
    const loss = await estimator.train([part(values, channels)], { training, seed: 1 });
    const mean = Array.from({ length: channels }, (_, c) => {
      let sum = 0;
      for (let at = c; at < values.length; at += channels) sum += values[at]!;
      return sum / 500;
    });
    const covariance = new Float64Array(channels * channels);
    for (let at = 0; at < values.length; at += channels)
      for (let i = 0; i < channels; i++)
        for (let j = 0; j < channels; j++)
          covariance[i * channels + j]! +=
            ((values[at + i]! - mean[i]!) * (values[at + j]! - mean[j]!)) / 500;
    const [a, b, c, d] = symmetricEigen(covariance, channels).values as unknown as number[];
    const logDeterminant = Math.log(a!) + Math.log(b!) + 2 * Math.log((c! + d!) / 2);
    expect(loss).toBeCloseTo((1 + logDeterminant / channels) / 2, 4);
  });

  it.each(names)(
    "%s - by the loss, what was learned from a device's own kind of data is better than what was learned from another's",
    async (name) => {
      const channels = 4;
      const plain = (seed: number) => mixed(600, channels, seed);
      // Larger, and in other relations to each other.
      const other = (seed: number) =>
        plain(seed).map((x, i) => (i % channels === 1 ? -3 * x : (1 + (i % channels)) * x));
      const estimator = await open(name, channels);
      const first = estimator.weights();
      for (const [mine, others] of [
        [plain, other],
        [other, plain],
      ] as const) {
        const lossAfter = async (values: Float32Array) => {
          estimator.setWeights(first);
          await estimator.train([part(values, channels)], { training, seed: 1 });
          return estimator.loss([part(mine(9), channels)]);
        };
        expect(await lossAfter(mine(1))).toBeLessThan(await lossAfter(others(1)));
      }
    },
  );

  it.each(names)(
    "%s - a personal one is a mix: as many of the device's rows as 2000 weigh as much as the fleet",
    async (name) => {
      const channels = 3;
      const estimator = await open(name, channels);
      const learnedAfter = async (from: Float32Array, values: Float32Array, personal: boolean) => {
        estimator.setWeights(from);
        await estimator.train([part(values, channels)], { training, seed: 1, personal });
        return { weights: estimator.weights(), samples: estimator.samples([part(values, channels)]) };
      };
      const first = estimator.weights();
      const fleet = (await learnedAfter(first, mixed(400, channels, 1), false)).weights;
      for (const rows of [100, 2000]) {
        const own = await learnedAfter(fleet, mixed(rows, channels, 2), false);
        const personal = await learnedAfter(fleet, mixed(rows, channels, 2), true);
        const share = own.samples / (own.samples + 2000);
        for (const [i, w] of personal.weights.entries())
          expect(w).toBeCloseTo(share * own.weights[i]! + (1 - share) * fleet[i]!, 4);
      }
    },
  );

  it.each(names)("%s - travels as a version, and an update passes the coordinator's gate", async (name) => {
    const task = TaskSpec.parse({ detector: { name } });
    const { header, weights } = decodeFrame(await makeFirstVersion(task, { channels: 38 }, null));
    const detector = await openDetector({
      spec: task.detector,
      topology: (header as VersionHeader).topology,
      channels: 38,
      seed: 0,
      statistics: null,
    });
    expect(sameLayout(detector.layout, header.layout)).toBe(true);
    expect(weights).toEqual(detector.weights());
    const values = mixed(300, 38, 1).map((x) => 100 * x);
    const { loss, heldBackLoss } = await detector.train(
      { values, rows: 300, channels: 38 },
      { training, seed: 1 },
    );
    expect(Math.abs(loss) + Math.abs(heldBackLoss)).toBeLessThan(1e6);
    const changes = detector.weights().map((w, i) => Math.abs(w - weights[i]!));
    expect(Math.max(...changes)).toBeGreaterThan(0);
    expect(Math.max(...changes)).toBeLessThan(maxChange);
  });

  it("mahalanobis and pca - residuals are divided by their usual size on held-back data, unless told otherwise", async () => {
    const recent = { values: mixed(2000, 3, 1), rows: 2000, channels: 3 };
    for (const name of ["mahalanobis", "pca"] as const) {
      const sigmaOf = async (options: Record<string, number>) => {
        const spec = DetectorSpec.parse({ name, options });
        const topology = JSON.stringify(await blueprintFor(spec, 3));
        const detector = await openDetector({ spec, topology, channels: 3, seed: 1, statistics: null });
        await detector.train(recent, { training, seed: 1 });
        return detector.calibrate(recent, { quantile: 0.99, smooth: 1 }).sigma;
      };
      expect(await sigmaOf({ normalized: 0 })).toEqual([1, 1, 1]);
      for (const sigma of await sigmaOf({})) expect(Math.abs(sigma - 1)).toBeGreaterThan(1e-3);
    }
  });

  it("sigmaFloor and residualClip of the task bound what a channel that never moved can do", async () => {
    const values = mixed(1000, 3, 1).map((x, i) => (i % 3 === 0 ? 10 : x));
    const recent = { values, rows: 1000, channels: 3 };
    const partOf = async (more: object) => {
      const spec = DetectorSpec.parse({
        name: "z-test",
        options: { rows: 1 },
        adaptRows: 0,
        clip: 1000,
        ...more,
      });
      const topology = JSON.stringify(await blueprintFor(spec, 3));
      const detector = await openDetector({ spec, topology, channels: 3, seed: 1, statistics: null });
      await detector.train(recent, { training, seed: 1 });
      const scorer = detector.scorer(detector.calibrate(recent, { quantile: 0.99, smooth: 1 }), 1);
      scorer.push(Float32Array.of(11, 0, 0));
      return scorer.contributions[0]!;
    };
    // 1 is a tenth of the channel's size: one sigma of the scaler, ten of the history's floor, a hundred of the residual's.
    expect(await partOf({ residualClip: 1e12 })).toBeCloseTo(1e4, 1);
    expect(await partOf({})).toBe(1000);
    expect(await partOf({ residualClip: 50 })).toBe(50);
    expect(await partOf({ residualClip: 1e12, sigmaFloor: 1 })).toBeCloseTo(100, 3);
  });

  it("two series are two: no sample of var reaches from one into the next", async () => {
    const [a, b] = [mixed(50, 2, 1), mixed(60, 2, 2)];
    const apart = await open("var", 2);
    await apart.train([part(a, 2), part(b, 2)], { training, seed: 1 });
    expect(apart.samples([part(a, 2), part(b, 2)])).toBe(47 + 57);
    const joined = Float32Array.from([...a, ...b]);
    const ranges = await open("var", 2);
    await ranges.train([part(joined, 2, { from: 0, to: 50 }), part(joined, 2, { from: 50, to: 110 })], {
      training,
      seed: 1,
    });
    expect(ranges.weights()).toEqual(apart.weights());
  });

  it("too few rows, an abort, sums of another size and too many channels are refused by what is wrong", async () => {
    const estimator = await open("var", 2);
    const short = part(mixed(3, 2, 1), 2);
    await expect(estimator.train([short], { training, seed: 1 })).rejects.toMatchObject({
      code: "UNAVAILABLE",
    });
    expect(estimator.samples([short])).toBe(0);
    expect(estimator.loss([short])).toBeNaN();
    expect(() => estimator.setWeights(new Float32Array(3))).toThrow(/3 weights given, this detector has 45/);
    await expect(blueprintFor(DetectorSpec.parse({ name: "var" }), 500)).rejects.toMatchObject({
      code: "BAD_INPUT",
    });
    const wide = await open("mahalanobis", 120);
    const signal = AbortSignal.abort("enough");
    const long = part(mixed(20_000, 120, 1), 120);
    await expect(wide.train([long], { training, seed: 1, signal })).rejects.toMatchObject({
      code: "ABORTED",
    });
    // What was put aside when it was aborted does not come into the next training.
    const few = part(mixed(501, 120, 2), 120);
    await wide.train([few], { training, seed: 1 });
    const fresh = await open("mahalanobis", 120);
    await fresh.train([few], { training, seed: 1 });
    expect(wide.weights()).toEqual(fresh.weights());
  });

  it("the loss goes down on data that was not trained on, in the pipeline too", async () => {
    const spec = DetectorSpec.parse({ name: "var" });
    const topology = JSON.stringify(await blueprintFor(spec, 3));
    const detector = await openDetector({ spec, topology, channels: 3, seed: 1, statistics: null });
    const recent = { values: mixed(2000, 3, 1), rows: 2000, channels: 3 };
    const { heldBackLoss, samples } = await detector.train(recent, { training, seed: 1 });
    expect(samples).toBe(1597);
    // The cause of all three is 0.8 of what it was.
    expect(detector.heldBackLoss(recent)).toBeLessThan(0.9 * heldBackLoss);
  });
});

describe("var", () => {
  it("finds the coefficients that a series was made with", async () => {
    // x' = A x + c + noise of 1, A stable.
    const a = [0.5, 0.2, -0.3, 0.6];
    const constant = [0.4, -0.2];
    const random = createRandom(3);
    const rows = 40_000;
    const values = new Float32Array(rows * 2);
    for (let i = 1; i < rows; i++) {
      const [x, y] = [values[2 * i - 2]!, values[2 * i - 1]!];
      values[2 * i] = a[0]! * x + a[1]! * y + constant[0]! + random.normal();
      values[2 * i + 1] = a[2]! * x + a[3]! * y + constant[1]! + random.normal();
    }
    const estimator = await open("var", 2, { lags: 2, ridge: 1e-4 });
    const loss = await estimator.train([part(values, 2)], { training, seed: 1 });
    // Sampling error of a coefficient: about 1 / sqrt(rows) = 0.005.
    expect(loss).toBeCloseTo(1, 1);
    const forecast = (past: number[]) => {
      const stream = estimator.stream();
      const zero = new Float32Array(2);
      const rowOf = (from: number) => Float32Array.from(past.slice(from, from + 2));
      expect([...stream.push(rowOf(0), rowOf(0))]).toEqual([Number.NaN, Number.NaN]);
      stream.push(rowOf(2), rowOf(2));
      return [...stream.push(zero, zero)].map((residual) => -residual);
    };
    const near = (found: number[], expected: number[]) => {
      for (const [k, value] of found.entries()) expect(Math.abs(value - expected[k]!)).toBeLessThan(0.04);
    };
    near(forecast([0, 0, 0, 0]), constant);
    near(forecast([0, 0, 1, 0]), [a[0]! + constant[0]!, a[2]! + constant[1]!]);
    near(forecast([0, 0, 0, 1]), [a[1]! + constant[0]!, a[3]! + constant[1]!]);
    // The second lag has no effect.
    near(forecast([1, 1, 0, 0]), constant);
  });

  it("before it has learned it forecasts the mean", async () => {
    const residuals = residualsOf(await open("var", 2, { lags: 1 }), Float32Array.of(1, 2, 3, 4), 2);
    expect([...residuals]).toEqual([Number.NaN, Number.NaN, 3, 4]);
  });

  it("sums that are no covariance of anything get more ridge, and are refused when they are no numbers", async () => {
    const estimator = await open("var", 2, { lags: 1 });
    const indefinite = estimator.weights().map((w, i) => (i === 0 ? 1 : w - 1.5));
    estimator.setWeights(indefinite);
    expect(
      residualsOf(estimator, Float32Array.of(1, 2, 3, 4), 2)
        .subarray(2)
        .every(Number.isFinite),
    ).toBe(true);
    estimator.setWeights(indefinite.fill(Number.NaN));
    expect(() => estimator.stream()).toThrow(expect.objectContaining({ code: "NOT_FINITE" }));
  });
});

describe("mahalanobis", () => {
  it("the squares of the residuals sum to (x - m)' S^-1 (x - m)", async () => {
    // Four rows: mean (1, 2), covariance [[5, 4], [4, 5]] (over n).
    const d = [
      [3, 3],
      [-3, -3],
      [1, -1],
      [-1, 1],
    ];
    const values = Float32Array.from(d.flatMap(([x, y]) => [1 + x!, 2 + y!]));
    const estimator = await open("mahalanobis", 2, { shrinkage: 0.1 });
    await estimator.train([part(values, 2)], { training, seed: 1 });
    const s = [0.9 * 5 + 0.1, 0.9 * 4];
    const determinant = s[0]! ** 2 - s[1]! ** 2;
    const [x, y] = [2, -0.5];
    const expected = (s[0]! * (x * x + y * y) - 2 * s[1]! * x * y) / determinant;
    const [r0, r1] = residualsOf(estimator, Float32Array.of(1 + x, 2 + y), 2);
    expect(r0! ** 2 + r1! ** 2).toBeCloseTo(expected, 4);
    // The loss is half the mean distance and half the log determinant, per channel.
    const mean = d.reduce(
      (sum, [u, v]) => sum + (s[0]! * (u! ** 2 + v! ** 2) - 2 * s[1]! * u! * v!) / determinant / 4,
      0,
    );
    expect(estimator.loss([part(values, 2)])).toBeCloseTo((mean + Math.log(determinant)) / 4, 4);
  });

  it("the channel that breaks the correlation has the largest part", async () => {
    const random = createRandom(1);
    const values = new Float32Array(4000 * 5);
    for (let i = 0; i < 4000; i++) {
      const cause = random.normal();
      for (let c = 0; c < 5; c++) values[i * 5 + c] = cause + 0.2 * random.normal();
    }
    const estimator = await open("mahalanobis", 5);
    await estimator.train([part(values, 5)], { training, seed: 1 });
    for (let c = 0; c < 5; c++) {
      // Every value is within two sigmas; together they can't be.
      const odd = new Float32Array(5).fill(0.5);
      odd[c] = -1;
      const squares = residualsOf(estimator, odd, 5).map((r) => r * r);
      expect(squares.indexOf(Math.max(...squares))).toBe(c);
      expect(squares.reduce((sum, x) => sum + x, 0)).toBeGreaterThan(20);
      expect(
        residualsOf(estimator, new Float32Array(5).fill(1.5), 5).reduce((sum, r) => sum + r * r, 0),
      ).toBeLessThan(5);
    }
  });
});

describe("pca", () => {
  /** Two components with variances 4 and 1 along known directions, and 0.01 outside. */
  async function known(options: Record<string, number>): Promise<Estimator> {
    const axes = [
      [1, 1, 1],
      [1, -1, 0],
      [1, 1, -2],
    ].map((axis) => axis.map((x) => x / Math.hypot(...axis)));
    const sizes = [2, 1, 0.1];
    const rows: number[] = [];
    for (const [k, axis] of axes.entries()) {
      // Six rows with +-size times sqrt 3 along one axis each: variance size^2.
      for (const sign of [1, -1]) rows.push(...axis.map((x) => sign * sizes[k]! * Math.sqrt(3) * x));
    }
    const estimator = await open("pca", 3, options);
    await estimator.train([part(Float32Array.from(rows), 3)], { training, seed: 1 });
    return estimator;
  }
  const squares = (estimator: Estimator, row: number[]) =>
    residualsOf(estimator, Float32Array.from(row), 3).reduce((sum, r) => sum + r * r, 0);

  it("SPE is the squared length outside the components, and nothing within them counts", async () => {
    const estimator = await known({ components: 2, t2: 0 });
    expect(squares(estimator, [5, 5, 5])).toBeCloseTo(0, 5);
    expect(squares(estimator, [3, -3, 0])).toBeCloseTo(0, 5);
    expect(squares(estimator, [1, 1, -2])).toBeCloseTo(6, 5);
    expect(squares(estimator, [3, 3, 0])).toBeCloseTo(6, 5);
  });

  it("with T2 the squares sum to SPE and the rest's variance times Hotelling's T2", async () => {
    const estimator = await known({ components: 2, t2: 0.5 });
    // (2, 2, 2): 12 along a variance of 4, T2 = 3. (3, -3, 0): 18 along 1.
    expect(squares(estimator, [2, 2, 2])).toBeCloseTo(0.5 * 0.01 * 3, 5);
    expect(squares(estimator, [3, -3, 0])).toBeCloseTo(0.5 * 0.01 * 18, 5);
    expect(squares(estimator, [1, 1, -2])).toBeCloseTo(6, 5);
  });

  it("takes as many components as hold the wanted part of the variance, and leaves one out", async () => {
    // 4 of 5.01 is 0.798, 5 of 5.01 is 0.998.
    const one = await known({ variance: 0.79, t2: 0 });
    expect(squares(one, [3, -3, 0])).toBeCloseTo(18, 4);
    const two = await known({ variance: 0.81, t2: 0 });
    expect(squares(two, [3, -3, 0])).toBeCloseTo(0, 5);
    const most = await known({ components: 9, t2: 0 });
    expect(squares(most, [1, 1, -2])).toBeCloseTo(6, 5);
    const single = await open("pca", 1);
    expect([...residualsOf(single, Float32Array.of(2), 1)]).toEqual([2]);
  });
});

describe("the plain tests", () => {
  /** Mean 1 and variance 4 in channel 0, mean 0 and no variance in channel 1. */
  async function told(name: Name, options: Record<string, number>): Promise<Estimator> {
    const estimator = await open(name, 2, options);
    await estimator.train([part(Float32Array.of(3, 0, -1, 0), 2)], { training, seed: 1 });
    return estimator;
  }
  const channelOf = (estimator: Estimator, values: number[], channel = 0) =>
    [
      ...residualsOf(estimator, Float32Array.from(values.flatMap((x) => (channel ? [1, x] : [x, 0]))), 2),
    ].filter((_, i) => i % 2 === channel);

  it("z-test: the mean of the last rows in standard errors from the history's", async () => {
    const found = channelOf(await told("z-test", { rows: 3 }), [3, 5, 1, 1]);
    // Means of 3; 3 and 5; 3, 5 and 1; 5, 1 and 1.
    const expected = [2 / 2, (3 / 2) * Math.SQRT2, (2 / 2) * Math.sqrt(3), (4 / 3 / 2) * Math.sqrt(3)];
    for (const [k, value] of expected.entries()) expect(found[k]).toBeCloseTo(value, 5);
    // A channel that never moved has the floor of 0.1 as its sigma.
    expect(channelOf(await told("z-test", { rows: 1 }), [0.5], 1)[0]).toBeCloseTo(5, 5);
  });

  it("ewma-z: the average from the history's mean on, in the sigma of Roberts' chart", async () => {
    const found = channelOf(await told("ewma-z", { rows: 4 }), [5, 5, 1]);
    const sigma = 2 * Math.sqrt(0.25 / 1.75);
    const expected = [1, 1.75, 1.3125].map((off) => off / sigma);
    for (const [k, value] of expected.entries()) expect(found[k]).toBeCloseTo(value, 5);
  });

  it("t-test: Student's t of the window, as the z of the same probability", async () => {
    const found = channelOf(await told("t-test", { rows: 4 }), [3, 5, 4, 6]);
    expect(found[0]).toBeNaN();
    // Mean 4.5, variance 5/3 over 4 rows: t = 3.5 / sqrt(5 / 12) = 5.422, 3 degrees of freedom.
    expect(found[3]).toBeCloseTo(normalOfT(3.5 / Math.sqrt(5 / 12), 3), 5);
  });

  it("t-test: Wallace's formula is near the exact z of tables", () => {
    // Two-sided 5 % and 0.1 % points of t: any table (e.g. Abramowitz and Stegun, table 26.10); of z: 1.960 and 3.291.
    const tables = [
      { freedom: 3, five: 3.182, tenth: 12.924 },
      { freedom: 5, five: 2.571, tenth: 6.869 },
      { freedom: 10, five: 2.228, tenth: 4.587 },
      { freedom: 30, five: 2.042, tenth: 3.646 },
    ];
    for (const { freedom, five, tenth } of tables) {
      expect(Math.abs(normalOfT(five, freedom) - 1.96)).toBeLessThan(0.02);
      expect(Math.abs(normalOfT(-tenth, freedom) + 3.291)).toBeLessThan(0.07);
    }
    expect(normalOfT(0, 7)).toBe(0);
  });

  it.each(["ewma-z", "t-test", "z-test"] as const)(
    "%s - finds a shift that lasts, in the pipeline, and names its channel",
    async (name) => {
      const channels = 3;
      const spec = DetectorSpec.parse({ name });
      const topology = JSON.stringify(await blueprintFor(spec, channels));
      const detector = await openDetector({ spec, topology, channels, seed: 1, statistics: null });
      const random = createRandom(4);
      const noise = (rows: number) =>
        Float32Array.from({ length: rows * channels }, () => 7 + random.normal());
      const normal = { values: noise(4000), rows: 4000, channels };
      await detector.train(normal, { training, seed: 1 });
      const calibration = detector.calibrate(normal, { quantile: 0.999, smooth: 5 });
      const scorer = detector.scorer(calibration, 5);
      const test = noise(400);
      // One and a half sigmas: hardly to be seen in a row.
      for (let i = 300; i < 400; i++) test[i * channels + 1]! += 1.5;
      let alarms = 0;
      let named = 0;
      for (let i = 0; i < 400; i++) {
        const over = scorer.push(test.subarray(i * channels, (i + 1) * channels)) > calibration.threshold;
        if (i < 300) alarms += over ? 1 : 0;
        else if (i >= 330 && over)
          named += scorer.contributions.indexOf(Math.max(...scorer.contributions)) === 1 ? 1 : 0;
      }
      expect(alarms).toBeLessThan(6);
      expect(named).toBeGreaterThan(50);
    },
  );
});
