import * as tf from "@tensorflow/tfjs";
import { beforeAll, describe, expect, it } from "vitest";
import { compile, createRandom, type FitOptions } from "../../../models/engine/index.ts";
import { LearningRate, rateAt } from "../../../models/engine/schedule.ts";
import { layer, randomFloats, relativeError, sequential } from "./support.ts";

const code = (value: string) => expect.objectContaining({ code: value });
const NETWORK = sequential(
  [5],
  layer("Dense", { units: 6, activation: "tanh", name: "body" }),
  layer("Dense", { units: 3, name: "head" }),
);
const BODY = 36; // weights of the first layer; 57 in all
const SAMPLES = 21; // batches of 8, 8 and 5
const x = randomFloats(SAMPLES * 5, 1, 2);
const y = randomFloats(SAMPLES * 3, 2);
const OPTIONS = {
  epochs: 3,
  batchSize: 8,
  loss: "mse",
  seed: 1,
  shuffle: false,
  optimizer: { name: "sgd", learningRate: 0.1 },
} satisfies FitOptions;

beforeAll(async () => {
  await tf.setBackend("cpu");
});

/** Weights before and after a fit. */
async function trained(change: Partial<FitOptions>, topology: unknown = NETWORK, start?: Float32Array) {
  const model = await compile(topology, { seed: 5 });
  if (start) model.setWeights(start);
  const before = model.weights();
  const result = await model.fit(x, y, { ...OPTIONS, ...change });
  return { before, after: model.weights(), result, model };
}
const minus = (a: Float32Array, b: ArrayLike<number>) => a.map((value, i) => value - b[i]!);

/** The gradient of one whole batch at `weights`, seen as what a step of plain SGD at rate 1 takes off. */
async function gradientAt(
  weights: Float32Array,
  topology: unknown = NETWORK,
  change: Partial<FitOptions> = {},
) {
  const optimizer = { name: "sgd", learningRate: 1 } as const;
  const options = { epochs: 1, batchSize: SAMPLES, optimizer, ...change };
  const { before, after } = await trained(options, topology, weights);
  return minus(before, after);
}

describe("optimizers against tfjs", () => {
  const CASES: [string, FitOptions["optimizer"], () => tf.Optimizer][] = [
    ["sgd", { name: "sgd", learningRate: 0.1 }, () => tf.train.sgd(0.1)],
    ["momentum", { name: "sgd", learningRate: 0.05, momentum: 0.9 }, () => tf.train.momentum(0.05, 0.9)],
    [
      "nesterov",
      { name: "sgd", learningRate: 0.05, momentum: 0.8, nesterov: true },
      () => tf.train.momentum(0.05, 0.8, true),
    ],
    ["adam", { name: "adam", learningRate: 0.02 }, () => tf.train.adam(0.02)],
    [
      "adam with all its options",
      { name: "adam", learningRate: 0.02, beta1: 0.7, beta2: 0.95, epsilon: 1e-3 },
      () => tf.train.adam(0.02, 0.7, 0.95, 1e-3),
    ],
    ["adamw without decay", { name: "adamw", learningRate: 0.02, weightDecay: 0 }, () => tf.train.adam(0.02)],
    ["rmsprop", { name: "rmsprop", learningRate: 0.01 }, () => tf.train.rmsprop(0.01)],
    [
      "rmsprop with momentum",
      { name: "rmsprop", learningRate: 0.01, rho: 0.8, momentum: 0.7, epsilon: 1e-3 },
      () => tf.train.rmsprop(0.01, 0.8, 0.7, 1e-3),
    ],
    ["adagrad", { name: "adagrad", learningRate: 0.1 }, () => tf.train.adagrad(0.1)],
  ];

  it.each(CASES)("several steps lead to the same weights and losses: %s", async (_, optimizer, theirs) => {
    const { before, after, result } = await trained({ optimizer });
    const other = await tf.models.modelFromJSON({ modelTopology: NETWORK } as never);
    let offset = 0;
    const tensors = other.getWeights().map(({ shape, size }) => {
      offset += size;
      return tf.tensor(before.slice(offset - size, offset), shape);
    });
    other.setWeights(tensors);
    other.compile({ optimizer: theirs(), loss: "meanSquaredError" });
    const options = { epochs: 3, batchSize: 8, shuffle: false, verbose: 0 } as const;
    const history = await other.fit(tf.tensor(x, [SAMPLES, 5]), tf.tensor(y, [SAMPLES, 3]), options);
    const expected = other.getWeights().flatMap((weight) => [...weight.dataSync()]);
    // Compared as the way that was gone, which is much smaller than the weights.
    expect(relativeError(minus(after, before), minus(Float32Array.from(expected), before))).toBeLessThan(
      1e-3,
    );
    expect(relativeError(result.losses, history.history.loss as number[])).toBeLessThan(1e-3);
    expect(relativeError(after, before)).toBeGreaterThan(1e-2);
  });

  it("centered rmsprop - follows its formula, with epsilon added as TensorFlow does and tfjs does not", async () => {
    const [rate, rho, momentum, epsilon] = [0.01, 0.9, 0.5, 1e-4];
    const optimizer = {
      name: "rmsprop",
      learningRate: rate,
      rho,
      momentum,
      epsilon,
      centered: true,
    } as const;
    const options = { epochs: 4, batchSize: SAMPLES } as const;
    const { before, after } = await trained({ ...options, optimizer });
    const w = Float64Array.from(before);
    const [v, c, u] = [new Float64Array(57), new Float64Array(57), new Float64Array(57)];
    for (let step = 0; step < 4; step++) {
      const g = await gradientAt(Float32Array.from(w));
      for (let i = 0; i < 57; i++) {
        v[i] = rho * v[i]! + (1 - rho) * g[i]! ** 2;
        c[i] = rho * c[i]! + (1 - rho) * g[i]!;
        u[i] = momentum * u[i]! + (rate * g[i]!) / Math.sqrt(v[i]! - c[i]! ** 2 + epsilon);
        w[i]! -= u[i]!;
      }
    }
    expect(
      relativeError(
        minus(after, before),
        Array.from(w, (value, i) => value - before[i]!),
      ),
    ).toBeLessThan(1e-3);
  });

  it("adamw - the first step is adam's and the weights' own share beside it", async () => {
    const optimizer = { name: "adam", learningRate: 0.02 } as const;
    const plain = await trained({ maxBatches: 1, optimizer });
    const decayed = await trained({
      maxBatches: 1,
      optimizer: { ...optimizer, name: "adamw", weightDecay: 0.3 },
    });
    const expected = plain.after.map((value, i) => value - 0.02 * 0.3 * plain.before[i]!);
    expect(relativeError(decayed.after, expected)).toBeLessThan(1e-6);
  });
});

describe("learning rates", () => {
  const rates = (schedule: LearningRate, count: number) =>
    Array.from({ length: count }, (_, t) => rateAt(LearningRate.parse(schedule), t));

  it("follow their formulas", () => {
    expect(rates({ name: "constant", rate: 2 }, 2)).toEqual([2, 2]);
    expect(rates({ name: "step", rate: 8, every: 2, factor: 0.5 }, 5)).toEqual([8, 8, 4, 4, 2]);
    const exponential = rates({ name: "exponential", rate: 8, every: 2, factor: 0.25 }, 4);
    exponential.forEach((value, i) => void expect(value).toBeCloseTo([8, 4, 2, 1][i]!, 10));
    const cosine = rates({ name: "cosine", rate: 4, steps: 8, warmUp: 4, floor: 2 }, 10);
    expect(cosine.slice(0, 5)).toEqual([1, 2, 3, 4, 4]);
    expect(cosine[6]).toBeCloseTo(3, 10);
    expect(cosine.slice(8)).toEqual([2, 2]);
    expect(rates({ name: "piecewise", boundaries: [1, 3], rates: [3, 2, 1] }, 5)).toEqual([3, 2, 2, 1, 1]);
  });

  it("change from batch to batch in fit", async () => {
    const schedule = { name: "piecewise", boundaries: [1, 2], rates: [0.3, 0.2, 0.1] } as const;
    const optimizer = (learningRate: FitOptions["optimizer"]["learningRate"]) =>
      ({ name: "sgd", learningRate }) as FitOptions["optimizer"];
    const { after } = await trained({ maxBatches: 3, optimizer: optimizer(schedule) });
    const model = await compile(NETWORK, { seed: 5 });
    for (const [i, rate] of schedule.rates.entries()) {
      const part = [i * 8, Math.min(SAMPLES, i * 8 + 8)] as const;
      const [xs, ys] = [x.subarray(part[0] * 5, part[1] * 5), y.subarray(part[0] * 3, part[1] * 3)];
      await model.fit(xs, ys, { ...OPTIONS, epochs: 1, optimizer: optimizer(rate) });
    }
    expect(relativeError(model.weights(), after)).toBeLessThan(1e-6);
  });

  it.each([
    ["falling boundaries", { name: "piecewise", boundaries: [3, 1], rates: [1, 1, 1] }],
    ["a rate too few", { name: "piecewise", boundaries: [3], rates: [1] }],
    ["an unknown one", { name: "zigzag", rate: 1 }],
    ["a rate of zero", { name: "constant", rate: 0 }],
  ])("%s is refused", async (_, learningRate) => {
    const optimizer = { name: "sgd", learningRate } as FitOptions["optimizer"];
    await expect(trained({ optimizer })).rejects.toThrow(code("BAD_INPUT"));
  });
});

describe("the optimizer's state", () => {
  const MOMENTA: FitOptions["optimizer"][] = [
    { name: "adam", learningRate: 0.01 },
    { name: "sgd", learningRate: 0.05, momentum: 0.9 },
    { name: "rmsprop", learningRate: 0.01, centered: true, momentum: 0.5 },
    { name: "adagrad", learningRate: 0.1 },
    {
      name: "adam",
      learningRate: { name: "exponential", rate: 0.01, every: 2, factor: 0.5 },
    },
  ];

  it("kept over two fits gives the bits of one; fresh does not", async () => {
    for (const optimizer of MOMENTA) {
      const whole = await trained({ epochs: 4, optimizer });
      const halves = async (optimizerState: "keep" | "fresh") => {
        const { model } = await trained({ epochs: 2, optimizer });
        await model.fit(x, y, { ...OPTIONS, epochs: 2, optimizer, optimizerState });
        return model.weights();
      };
      expect(await halves("keep")).toEqual(whole.after);
      expect(await halves("fresh")).not.toEqual(whole.after);
    }
  });

  it("of another optimizer can't be kept, and a first fit has nothing to keep", async () => {
    const { model, after } = await trained({ optimizerState: "keep" });
    expect(after).toEqual((await trained({})).after);
    const optimizer = { name: "adam", learningRate: 0.1 } as const;
    const kept = model.fit(x, y, { ...OPTIONS, optimizer, optimizerState: "keep" });
    await expect(kept).rejects.toThrow(code("BAD_INPUT"));
    await expect(kept).rejects.toThrow("of sgd, not of adam");
  });
});

describe("what is added to the gradient", () => {
  it("L1 and L2 penalties - are in the loss and in the gradient as in tfjs", async () => {
    const { l1, l2, l1l2 } = tf.regularizers;
    const model = tf.sequential({
      layers: [
        tf.layers.dense({
          units: 6,
          inputShape: [5],
          activation: "tanh",
          kernelRegularizer: l1l2({ l1: 0.03, l2: 0.05 }),
        }),
        tf.layers.dense({
          units: 3,
          kernelRegularizer: l2({ l2: 0.1 }),
          biasRegularizer: l1({ l1: 0.2 }),
        }),
      ],
    });
    const topology = model.toJSON(null, false);
    // At exactly zero, where biases start, tfjs has a slope of -l1 for |w|; ours is 0. Elsewhere they agree.
    const start = randomFloats(57, 3).map((value) => value + (value < 0 ? -0.1 : 0.1));
    const optimizer = { name: "sgd", learningRate: 0.05 } as const;
    const { after, result } = await trained({ optimizer }, topology, start);
    let offset = 0;
    model.setWeights(
      model.getWeights().map(({ shape, size }) => {
        offset += size;
        return tf.tensor(start.slice(offset - size, offset), shape);
      }),
    );
    model.compile({ optimizer: tf.train.sgd(0.05), loss: "meanSquaredError" });
    const options = { epochs: 3, batchSize: 8, shuffle: false, verbose: 0 } as const;
    const history = await model.fit(tf.tensor(x, [SAMPLES, 5]), tf.tensor(y, [SAMPLES, 3]), options);
    const expected = model.getWeights().flatMap((weight) => [...weight.dataSync()]);
    expect(relativeError(minus(after, start), minus(Float32Array.from(expected), start))).toBeLessThan(1e-3);
    expect(relativeError(result.losses, history.history.loss as number[])).toBeLessThan(1e-3);
    const bare = await gradientAt(start);
    expect(relativeError(await gradientAt(start, topology), bare)).toBeGreaterThan(0.1);
  });

  it("the control variate - adds c - c_i, so it moves each step by as much", async () => {
    const plain = await trained({ maxBatches: 1 });
    const [server, client] = [randomFloats(57, 7), randomFloats(57, 8)];
    const corrected = await trained({ maxBatches: 1, controlVariate: { server, client } });
    const expected = plain.after.map((value, i) => value - 0.1 * (server[i]! - client[i]!));
    expect(relativeError(corrected.after, expected)).toBeLessThan(1e-6);
    const none = await trained({ controlVariate: { server, client: server } });
    expect(none.after).toEqual((await trained({})).after);
    const short = { server, client: new Float32Array(3) };
    await expect(trained({ controlVariate: short })).rejects.toThrow(code("BAD_SHAPE"));
    const odd = { server, client: client.map((value, i) => (i === 3 ? Number.NaN : value)) };
    await expect(trained({ controlVariate: odd })).rejects.toThrow(code("NOT_FINITE"));
  });

  it("clipping by value - bounds each weight's step; clipping by norm comes after it", async () => {
    const optimizer = { name: "sgd", learningRate: 1 } as const;
    const step = async (change: Partial<FitOptions>) => {
      const { before, after } = await trained({ ...change, optimizer, maxBatches: 1 });
      return minus(after, before);
    };
    const free = await step({});
    const [valued, both] = [await step({ clipValue: 0.05 }), await step({ clipValue: 0.05, clipNorm: 0.1 })];
    const expected = free.map((value) => Math.max(-0.05, Math.min(0.05, value)));
    expect(relativeError(valued, expected)).toBeLessThan(1e-5);
    expect(Math.max(...free.map(Math.abs))).toBeGreaterThan(0.06);
    const length = Math.hypot(...valued);
    const shortened = valued.map((value) => (value * 0.1) / length);
    expect(relativeError(both, shortened)).toBeLessThan(1e-5);
  });
});

describe("constraints", () => {
  // tfjs reads constraints, but its optimizers write past them: only its own formulas can be compared.
  const constrained = (constraint: object) =>
    sequential(
      [5],
      layer("Dense", { units: 6, activation: "tanh", kernel_constraint: constraint }),
      layer("Dense", { units: 3, bias_constraint: { class_name: "NonNeg", config: {} } }),
    );

  it.each([
    [
      "max-norm",
      { class_name: "MaxNorm", config: { max_value: 0.9, axis: 0 } },
      tf.constraints.maxNorm({ maxValue: 0.9, axis: 0 }),
    ],
    ["unit norm", { class_name: "UnitNorm", config: { axis: 0 } }, tf.constraints.unitNorm({ axis: 0 })],
    ["non-negative", { class_name: "NonNeg", config: {} }, tf.constraints.nonNeg()],
  ] as const)("%s - holds after each step", async (_, config, theirs) => {
    const { before, after } = await trained({ maxBatches: 1 }, constrained(config));
    const free = await trained({ maxBatches: 1 }, NETWORK, before);
    const kernel = theirs.apply(tf.tensor2d(free.after.subarray(0, 30), [5, 6])).dataSync();
    expect(relativeError(after.subarray(0, 30), kernel)).toBeLessThan(1e-5);
    expect(after.subarray(30, 54)).toEqual(free.after.subarray(30, 54));
    const biases = [...free.after.subarray(54)];
    expect([...after.subarray(54)]).toEqual(biases.map((value) => Math.max(0, value)));
    expect(biases.some((value) => value < 0)).toBe(true);
    expect(relativeError(kernel, free.after.subarray(0, 30))).toBeGreaterThan(0.01);
  });
});

describe("freezing", () => {
  it("a frozen layer keeps its bits, whoever froze it, and has no part in norm, decay or penalty", async () => {
    const optimizer = { name: "adamw", learningRate: 0.05, weightDecay: 0.1 } as const;
    const change = { optimizer, clipNorm: 0.01, proximal: { mu: 0.3 } } as const;
    const frozen = sequential(
      [5],
      layer("Dense", { units: 6, activation: "tanh", name: "body", trainable: false }),
      layer("Dense", { units: 3, name: "head" }),
    );
    const byFit = await trained({ ...change, freeze: ["body"] });
    const byTopology = await trained(change, frozen);
    expect(byFit.after).toEqual(byTopology.after);
    expect(byFit.after.subarray(0, BODY)).toEqual(byFit.before.subarray(0, BODY));
    expect(relativeError(byFit.after.subarray(BODY), byFit.before.subarray(BODY))).toBeGreaterThan(1e-3);
    // Norm over the head alone: a step of SGD at rate 1 is as long as the clipping allows.
    const rate1 = { name: "sgd", learningRate: 1 } as const;
    const { before, after } = await trained({
      optimizer: rate1,
      clipNorm: 0.01,
      freeze: ["body"],
      maxBatches: 1,
    });
    expect(Math.hypot(...minus(after, before))).toBeCloseTo(0.01, 5);
  });

  it("a frozen batch normalization uses its averages and leaves them alone, whoever froze it", async () => {
    const normalized = (trainable: boolean) =>
      sequential(
        [5],
        layer("Dense", { units: 6 }),
        layer("BatchNormalization", { name: "norm", trainable }),
        layer("Dense", { units: 3 }),
      );
    const byFit = await trained({ freeze: ["norm"] }, normalized(true));
    const byTopology = await trained({}, normalized(false));
    expect(byFit.after).toEqual(byTopology.after);
    expect(byFit.after.subarray(-12)).toEqual(byFit.before.subarray(-12));
    // The next fit, which freezes nothing, moves them again.
    await byFit.model.fit(x, y, OPTIONS);
    expect(byFit.model.weights().subarray(-12)).not.toEqual(byFit.before.subarray(-12));
    const privately = { differentialPrivacy: { clipNorm: 1 }, freeze: ["norm"] };
    await expect(trained(privately, normalized(true))).resolves.toBeDefined();
  });

  it("a layer between two that are trained is left out; all or none of them is refused", async () => {
    const deep = sequential(
      [5],
      layer("Dense", { units: 4, name: "a" }),
      layer("Dense", { units: 4, name: "b" }),
      layer("Dense", { units: 3, name: "c" }),
    );
    const { before, after } = await trained({ freeze: ["b"] }, deep);
    expect(after.subarray(24, 44)).toEqual(before.subarray(24, 44));
    expect(after.subarray(0, 24)).not.toEqual(before.subarray(0, 24));
    expect(after.subarray(44)).not.toEqual(before.subarray(44));
    await expect(trained({ freeze: ["a", "b", "c"] }, deep)).rejects.toThrow("all its weights frozen");
    await expect(trained({ freeze: ["heat"] })).rejects.toThrow('no layer "heat"; did you mean "head"?');
    await expect(trained({ freeze: ["zzzzzz"] })).rejects.toThrow("it has body, head");
  });
});

describe("differential privacy", () => {
  const optimizer = { name: "sgd", learningRate: 1 } as const;
  const one = { optimizer, maxBatches: 1, shuffle: false } as const;

  it("each example's gradient is clipped, then they are summed and divided by the batch", async () => {
    const clip = 0.3;
    const private_ = await trained({ ...one, differentialPrivacy: { clipNorm: clip } });
    const sum = new Float64Array(57);
    let clipped = 0;
    for (let i = 0; i < 8; i++) {
      const model = await compile(NETWORK, { seed: 5 });
      const before = model.weights();
      const options = { ...OPTIONS, optimizer, epochs: 1, batchSize: 1 };
      await model.fit(x.subarray(i * 5, i * 5 + 5), y.subarray(i * 3, i * 3 + 3), options);
      const g = minus(before, model.weights());
      const factor = Math.min(1, clip / Math.hypot(...g));
      if (factor < 1) clipped++;
      for (let k = 0; k < 57; k++) sum[k]! += g[k]! * factor;
    }
    expect(clipped).toBeGreaterThan(3);
    const expected = Array.from(sum, (value) => -value / 8);
    expect(relativeError(minus(private_.after, private_.before), expected)).toBeLessThan(1e-5);
  });

  it("with room for every gradient it is plain training; the losses are the same too", async () => {
    const private_ = await trained({ differentialPrivacy: { clipNorm: 1e6 } });
    const plain = await trained({});
    expect(relativeError(private_.after, plain.after)).toBeLessThan(1e-5);
    expect(relativeError(private_.result.losses, plain.result.losses)).toBeLessThan(1e-5);
  });

  it("a layer that keeps averages of its inputs is refused, for they would leave the device unclipped", async () => {
    const topology = sequential(
      [5],
      layer("BatchNormalization", { name: "norm" }),
      layer("Dense", { units: 3 }),
    );
    const training = trained({ differentialPrivacy: { clipNorm: 1 } }, topology);
    await expect(training).rejects.toThrow(code("UNSUPPORTED"));
    await expect(training).rejects.toThrow('layer "norm" keeps averages');
  });

  it("the noise has the deviation that it should have, comes from the seed and spares frozen weights", async () => {
    const big = sequential(
      [5],
      layer("Dense", { units: 400, name: "wide" }),
      layer("Dense", { units: 3, name: "head" }),
    );
    const [clipNorm, noiseMultiplier] = [0.5, 2];
    const run = (change: Partial<FitOptions>) => trained({ ...one, ...change }, big);
    const quiet = await run({ differentialPrivacy: { clipNorm } });
    const noisy = await run({ differentialPrivacy: { clipNorm, noiseMultiplier } });
    const noise = minus(noisy.after, quiet.after);
    const deviation = Math.sqrt(noise.reduce((sum, v) => sum + v * v, 0) / noise.length);
    expect(deviation / ((noiseMultiplier * clipNorm) / 8)).toBeCloseTo(1, 1);
    expect(Math.abs(noise.reduce((sum, v) => sum + v, 0) / noise.length)).toBeLessThan(0.01);
    const again = await run({ differentialPrivacy: { clipNorm, noiseMultiplier } });
    expect(again.after).toEqual(noisy.after);
    const other = await run({ differentialPrivacy: { clipNorm, noiseMultiplier }, seed: 2 });
    expect(other.after).not.toEqual(noisy.after);
    const frozen = await run({ differentialPrivacy: { clipNorm, noiseMultiplier }, freeze: ["wide"] });
    expect(frozen.after.subarray(0, 2400)).toEqual(frozen.before.subarray(0, 2400));
  });
});

it("the whole of it - the same seed gives the same bits with every option at once", async () => {
  const seed = createRandom(3).bits();
  const options: Partial<FitOptions> = {
    seed,
    shuffle: true,
    optimizer: {
      name: "rmsprop",
      momentum: 0.4,
      centered: true,
      learningRate: { name: "cosine", rate: 0.01, steps: 9, warmUp: 2 },
    },
    clipNorm: 1,
    clipValue: 0.5,
    proximal: { mu: 0.1 },
    controlVariate: { server: randomFloats(57, 1, 0.1), client: randomFloats(57, 2, 0.1) },
    differentialPrivacy: { clipNorm: 1, noiseMultiplier: 0.1 },
    sampleWeights: randomFloats(SAMPLES, 3).map((value) => value + 1),
    freeze: ["head"],
    validationSplit: 0.2,
    earlyStopping: { patience: 1 },
    loss: { name: "huber", delta: 0.5 },
  };
  const [one, two] = [await trained(options), await trained(options)];
  expect(two.after).toEqual(one.after);
  expect(two.result).toEqual(one.result);
  expect(one.after).not.toEqual(one.before);
});
