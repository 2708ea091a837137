import * as tf from "@tensorflow/tfjs";
import { beforeAll, describe, expect, it } from "vitest";
import { compile, type FitOptions } from "../../../models/engine/index.ts";
import { layer, randomFloats, relativeError, sequential } from "./support.ts";

const code = (value: string) => expect.objectContaining({ code: value });

// The plain build stands in for tfjs-node, which has the same interface.
beforeAll(async () => {
  await tf.setBackend("cpu");
});

const N = 21;
const CLASSIFIER = sequential(
  [5],
  layer("Dense", { units: 6, activation: "tanh", name: "body" }),
  layer("Dense", { units: 3, activation: "softmax", name: "head" }),
);
const REGRESSOR = sequential(
  [4, 5],
  layer("GRU", { units: 6, return_sequences: true }),
  layer("Dense", { units: 3, activation: "sigmoid" }),
);
const LOGITS = sequential(
  [5],
  layer("Dense", { units: 6, activation: "tanh" }),
  layer("Dense", { units: 3 }),
);
const classes = Float32Array.from({ length: N }, (_, i) => (i * 7) % 3);
const oneHot = Float32Array.from({ length: N * 3 }, (_, i) => +(classes[Math.floor(i / 3)] === i % 3));
const shares = randomFloats(N * 12, 3).map((value) => (value + 1) / 2);
const holes = shares.map((value, i) => (i % 5 === 0 ? Number.NaN : value));
const OPTIONS: FitOptions = {
  epochs: 3,
  batchSize: 8,
  optimizer: { name: "adam", learningRate: 0.02 },
  loss: "mse",
  seed: 1,
};

/** Both engines, trained with the same options from the same weights. */
async function both(topology: unknown, y: Float32Array, change: Partial<FitOptions>) {
  const run = async (engine: "starling" | "tfjs") => {
    const model = await compile(topology, { seed: 3, engine, tf });
    const start = model.weights();
    const size = model.inputShape.reduce((product, n) => product * n, 1);
    const x = randomFloats(N * size, 1, 2);
    const result = await model.fit(x, y, { ...OPTIONS, ...change });
    return { model, start, x, result, weights: model.weights() };
  };
  return [await run("starling"), await run("tfjs")] as const;
}

const CASES: [string, unknown, Float32Array, Partial<FitOptions>][] = [
  ["mse, adam, shuffled", REGRESSOR, shares, {}],
  ["missing targets", REGRESSOR, holes, { metrics: ["binaryAccuracy"] }],
  [
    "mae with sample weights",
    REGRESSOR,
    holes,
    { loss: "mae", sampleWeights: randomFloats(N, 5).map(Math.abs) },
  ],
  [
    "huber, momentum",
    REGRESSOR,
    shares,
    {
      loss: { name: "huber", delta: 0.2 },
      optimizer: { name: "sgd", learningRate: 0.1, momentum: 0.8 },
    },
  ],
  [
    "logCosh, nesterov",
    REGRESSOR,
    shares,
    {
      loss: "logCosh",
      optimizer: { name: "sgd", learningRate: 0.1, momentum: 0.8, nesterov: true },
    },
  ],
  [
    "poisson, adagrad",
    REGRESSOR,
    shares,
    { loss: "poisson", optimizer: { name: "adagrad", learningRate: 0.1 } },
  ],
  [
    "cosine, rmsprop",
    REGRESSOR,
    shares,
    {
      loss: "cosineSimilarity",
      optimizer: { name: "rmsprop", learningRate: 0.01, momentum: 0.5 },
    },
  ],
  [
    "binary crossentropy, adamw",
    REGRESSOR,
    shares,
    {
      loss: "binaryCrossentropy",
      optimizer: { name: "adamw", learningRate: 0.02, weightDecay: 0.3 },
    },
  ],
  [
    "binary crossentropy from logits",
    LOGITS,
    oneHot,
    { loss: { name: "binaryCrossentropy", fromLogits: true } },
  ],
  [
    "categorical crossentropy, class weights",
    CLASSIFIER,
    oneHot,
    {
      loss: "categoricalCrossentropy",
      classWeights: [1, 2, 0.5],
      metrics: ["accuracy"],
    },
  ],
  [
    "sparse crossentropy, validation, early stopping",
    CLASSIFIER,
    classes,
    {
      loss: "sparseCategoricalCrossentropy",
      validationSplit: 0.3,
      earlyStopping: { patience: 2 },
      metrics: ["accuracy"],
      epochs: 6,
    },
  ],
  [
    "sparse crossentropy from logits, a schedule",
    LOGITS,
    classes,
    {
      loss: { name: "sparseCategoricalCrossentropy", fromLogits: true },
      optimizer: { name: "sgd", learningRate: { name: "step", rate: 0.3, every: 2, factor: 0.5 } },
    },
  ],
  [
    "a schedule with adam",
    LOGITS,
    oneHot,
    {
      loss: { name: "categoricalCrossentropy", fromLogits: true },
      optimizer: { name: "adam", learningRate: { name: "step", rate: 0.03, every: 2, factor: 0.5 } },
    },
  ],
  [
    "kld, clipping and the proximal term",
    CLASSIFIER,
    oneHot,
    {
      loss: "kld",
      clipNorm: 0.3,
      clipValue: 0.1,
      proximal: { mu: 0.5 },
      optimizer: { name: "sgd", learningRate: 0.3 },
    },
  ],
  [
    "control variates and a frozen layer",
    CLASSIFIER,
    oneHot,
    {
      loss: "categoricalCrossentropy",
      freeze: ["body"],
      controlVariate: { server: randomFloats(57, 1, 0.1), client: randomFloats(57, 2, 0.1) },
      maxBatches: 5,
    },
  ],
  [
    "penalties and constraints",
    sequential(
      [5],
      layer("Dense", {
        units: 6,
        kernel_regularizer: { class_name: "L1L2", config: { l1: 0.01, l2: 0.02 } },
        kernel_constraint: { class_name: "MaxNorm", config: { max_value: 0.8, axis: 0 } },
      }),
      layer("Dense", { units: 3, bias_constraint: { class_name: "NonNeg", config: {} } }),
    ),
    oneHot,
    {},
  ],
  [
    "batch normalization, its moving averages too",
    sequential(
      [5],
      // No bias: behind it the batch's mean is taken off, so its gradient is rounding alone, which Adam would make steps of.
      layer("Dense", { units: 6, use_bias: false }),
      layer("BatchNormalization", { momentum: 0.8 }),
      layer("Dense", { units: 3, activation: "softmax" }),
    ),
    classes,
    {
      loss: "sparseCategoricalCrossentropy",
      optimizer: { name: "adamw", learningRate: 0.02, weightDecay: 0.1 },
    },
  ],
  [
    "convolutions",
    sequential(
      [8, 8, 2],
      layer("Conv2D", { filters: 4, kernel_size: [3, 3], activation: "relu" }),
      layer("MaxPooling2D", { pool_size: [2, 2] }),
      layer("Flatten"),
      layer("Dense", { units: 3, activation: "softmax" }),
    ),
    classes,
    { loss: "sparseCategoricalCrossentropy", metrics: ["accuracy"] },
  ],
  [
    "a layer that the topology freezes",
    sequential([5], layer("Dense", { units: 6, trainable: false }), layer("Dense", { units: 3 })),
    oneHot,
    {},
  ],
];

describe("one contract, two engines", () => {
  it.each(CASES)("train to the same weights, losses and metrics: %s", async (_, topology, y, change) => {
    const [ours, theirs] = await both(topology, y, change);
    expect(theirs.model.engine).toBe("tfjs");
    expect(theirs.model.layout).toEqual(ours.model.layout);
    expect(theirs.start).toEqual(ours.start);
    const moved = ({ weights, start }: typeof ours) => weights.map((value, i) => value - start[i]!);
    expect(relativeError(moved(theirs), moved(ours))).toBeLessThan(1e-3);
    expect(relativeError(ours.weights, ours.start)).toBeGreaterThan(1e-3);
    const { losses, validationLosses, ...counts } = theirs.result;
    expect(relativeError(losses, ours.result.losses)).toBeLessThan(1e-3);
    expect(relativeError(validationLosses, ours.result.validationLosses)).toBeLessThan(1e-3);
    expect(ours.result).toMatchObject(counts);
    const options = {
      loss: change.loss ?? "mse",
      metrics: change.metrics ?? [],
      ...(change.sampleWeights && { sampleWeights: change.sampleWeights }),
    };
    const [a, b] = [ours, theirs].map(({ model, x }) => model.evaluate(x, y, options));
    expect(relativeError([b!.loss], [a!.loss])).toBeLessThan(1e-3);
    expect([b!.accuracy, b!.binaryAccuracy]).toEqual([a!.accuracy, a!.binaryAccuracy]);
    expect(relativeError(theirs.model.predict(theirs.x), ours.model.predict(ours.x))).toBeLessThan(1e-3);
  });

  it("several inputs and outputs, each with its loss and weight", async () => {
    const [x, z] = [tf.input({ shape: [5] }), tf.input({ shape: [4] })];
    const joined = tf.layers.dense({ units: 4, activation: "tanh" });
    const h = joined.apply(x) as tf.SymbolicTensor;
    const a = tf.layers.dense({ units: 3, activation: "softmax" }).apply(h) as tf.SymbolicTensor;
    const b = tf.layers.dense({ units: 2 }).apply(z) as tf.SymbolicTensor;
    const topology = tf.model({ inputs: [x, z], outputs: [a, b] }).toJSON(null, false);
    const xs = [randomFloats(N * 5, 1), randomFloats(N * 4, 2)];
    const ys = [classes, randomFloats(N * 2, 3)];
    const run = async (engine: "starling" | "tfjs") => {
      const model = await compile(topology, { seed: 3, engine, tf });
      const loss = ["sparseCategoricalCrossentropy", "mae"] as const;
      const { losses } = await model.fit(xs, ys, { ...OPTIONS, loss, lossWeights: [2, 0.5] });
      return { losses, weights: model.weights(), all: model.predictAll(xs) };
    };
    const [ours, theirs] = [await run("starling"), await run("tfjs")];
    expect(relativeError(theirs.losses, ours.losses)).toBeLessThan(1e-3);
    expect(relativeError(theirs.weights, ours.weights)).toBeLessThan(1e-3);
    theirs.all.forEach((y, i) => void expect(relativeError(y, ours.all[i]!)).toBeLessThan(1e-3));
  });
});

describe("engine: tfjs", () => {
  const make = (topology: unknown = CLASSIFIER) => compile(topology, { seed: 3, engine: "tfjs", tf });
  const x = randomFloats(N * 5, 1);
  const sparse = { ...OPTIONS, loss: "sparseCategoricalCrossentropy" } as const;

  it("has layers that the own engine lacks, with seeded first weights", async () => {
    const topology = sequential(
      [4, 4, 4, 1],
      layer("Conv3D", { filters: 2, kernel_size: [2, 2, 2] }),
      layer("Flatten"),
      layer("Dense", {
        units: 2,
        kernel_initializer: {
          class_name: "VarianceScaling",
          config: { scale: 1, mode: "fan_avg", distribution: "uniform", seed: null },
        },
      }),
    );
    await expect(compile(topology, { seed: 1 })).rejects.toThrow(code("UNSUPPORTED"));
    const [one, two] = [await make(topology), await make(topology)];
    expect(one.layout.map(({ shape }) => shape)).toEqual([[2, 2, 2, 1, 2], [2], [54, 2], [2]]);
    const dense = (flat: Float32Array) => flat.subarray(18);
    expect(dense(one.weights())).toEqual(dense(two.weights()));
    expect(one.predict(new Float32Array(128).fill(0.5))).toHaveLength(4);
  });

  it("reads Keras 3, and refuses what tfjs would read as something else", async () => {
    const keras3 = (activation: string) => ({
      class_name: "Sequential",
      config: {
        name: "k3",
        layers: [
          { class_name: "InputLayer", config: { name: "in", batch_shape: [null, 5], dtype: "float32" } },
          { class_name: "Dense", config: { name: "d", units: 3, activation } },
        ],
      },
    });
    const [ours, theirs] = [await compile(keras3("silu"), { seed: 3 }), await make(keras3("silu"))];
    expect(theirs.weights()).toEqual(ours.weights());
    expect(relativeError(theirs.predict(x), ours.predict(x))).toBeLessThan(1e-4);
    const refused = make(keras3("hard_sigmoid"));
    await expect(refused).rejects.toThrow(code("UNSUPPORTED"));
    await expect(refused).rejects.toThrow(/tfjs-layers has no hard_sigmoid .*Keras 3.*; use another engine/);
  });

  it("goes on with the optimizer's state where it is asked to", async () => {
    const whole = await make();
    await whole.fit(x, classes, { ...sparse, epochs: 4, shuffle: false });
    const halves = await make();
    const half = { ...sparse, epochs: 2, shuffle: false };
    await halves.fit(x, classes, half);
    await halves.fit(x, classes, { ...half, optimizerState: "keep" });
    expect(relativeError(halves.weights(), whole.weights())).toBeLessThan(1e-6);
    const other = halves.fit(x, classes, { ...half, optimizerState: "keep", freeze: ["body"] });
    await expect(other).rejects.toThrow(code("BAD_INPUT"));
  });

  it("undoes what diverges, ends on a signal and on dispose, refuses a second fit", async () => {
    const model = await make();
    const before = model.weights();
    const wild = { ...sparse, loss: "mse", optimizer: { name: "sgd", learningRate: 1e30 } } as const;
    await expect(
      model.fit(
        x.map((v) => v * 1e10),
        oneHot.map((v) => v * 1e30),
        wild,
      ),
    ).rejects.toThrow(code("NOT_FINITE"));
    expect(model.weights()).toEqual(before);
    const controller = new AbortController();
    const aborted = model.fit(x, classes, {
      ...sparse,
      epochs: 10_000,
      signal: controller.signal,
      onEpoch: () => controller.abort(),
    });
    await expect(model.fit(x, classes, sparse)).rejects.toThrow(code("UNAVAILABLE"));
    await expect(aborted).rejects.toThrow(code("ABORTED"));
    const endless = model.fit(x, classes, { ...sparse, epochs: 10_000, onEpoch: () => model.dispose() });
    await expect(endless).rejects.toThrow(code("ABORTED"));
    expect(() => model.weights()).toThrow(code("UNAVAILABLE"));
  });

  it("leaves no tensors behind: not after batches, nor after dispose", async () => {
    const start = tf.memory().numTensors;
    const model = await make();
    await model.fit(x, classes, { ...sparse, epochs: 1, metrics: ["accuracy"], validationSplit: 0.2 });
    const between = tf.memory().numTensors;
    await model.fit(x, classes, { ...sparse, epochs: 5, metrics: ["accuracy"], validationSplit: 0.2 });
    model.predict(x);
    model.evaluate(x, classes, { loss: "sparseCategoricalCrossentropy" });
    model.setWeights(model.weights());
    expect(tf.memory().numTensors).toBe(between);
    model.dispose();
    expect(tf.memory().numTensors).toBe(start);
  });

  it.each([
    ["differential privacy", { differentialPrivacy: { clipNorm: 1 } }, "differentialPrivacy"],
    ["threads", { threads: 2 }, "threads of its own"],
    [
      "centered rmsprop",
      { optimizer: { name: "rmsprop", learningRate: 0.1, centered: true } },
      "centered rmsprop",
    ],
    [
      "adagrad's epsilon",
      { optimizer: { name: "adagrad", learningRate: 0.1, epsilon: 1e-3 } },
      "epsilon of 0.001",
    ],
  ] as [string, Partial<FitOptions>, string][])("%s is refused by name", async (_, change, words) => {
    const fitting = (await make()).fit(x, classes, { ...sparse, ...change });
    await expect(fitting).rejects.toThrow(code("UNSUPPORTED"));
    await expect(fitting).rejects.toThrow(words);
  });

  it("refuses to freeze a layer that would go on keeping averages", async () => {
    const topology = sequential(
      [5],
      layer("BatchNormalization", { name: "norm" }),
      layer("Dense", { units: 3, activation: "softmax" }),
    );
    const fitting = (await make(topology)).fit(x, classes, { ...sparse, freeze: ["norm"] });
    await expect(fitting).rejects.toThrow(code("UNSUPPORTED"));
    await expect(fitting).rejects.toThrow('can\'t freeze layer "norm"');
  });

  it("refuses what does not fit as the own engine does", async () => {
    const model = await make();
    const refused = async (promise: Promise<unknown>, expected: string) => {
      await expect(promise).rejects.toThrow(code(expected));
    };
    const logits = { name: "sparseCategoricalCrossentropy", fromLogits: true } as const;
    await refused(model.fit(x, classes, { ...sparse, loss: logits }), "BAD_INPUT");
    await refused(
      model.fit(
        x,
        Float32Array.from(classes, () => 7),
        sparse,
      ),
      "BAD_INPUT",
    );
    await refused(model.fit(x, oneHot, sparse), "BAD_SHAPE");
    await refused(model.fit(x, classes, { ...sparse, freeze: ["heat"] }), "BAD_INPUT");
    await refused(model.fit(x, classes, { ...sparse, freeze: ["head", "body"] }), "BAD_INPUT");
    await refused(model.fit(x, classes, { ...sparse, batchSize: 33 }), "BAD_INPUT");
    await refused(
      model.fit(
        x.map(() => Number.NaN),
        classes,
        sparse,
      ),
      "NOT_FINITE",
    );
    expect(() => model.setWeights(new Float32Array(3))).toThrow(code("BAD_SHAPE"));
    expect(() => model.setWeights(model.weights().fill(Number.NaN))).toThrow(code("NOT_FINITE"));
    expect(() => model.predict(new Float32Array(3))).toThrow(code("BAD_SHAPE"));
    expect(() => model.stepper()).toThrow(code("UNSUPPORTED"));
    expect(model.summary()).toContain("head");
    await refused(
      make({ class_name: "Sequential", config: { layers: [{ class_name: "Ghost", config: {} }] } }),
      "UNSUPPORTED",
    );
    const masked = sequential([4, 5], layer("Masking", { mask_value: 0 }), layer("Dense", { units: 3 }));
    await refused(
      (await make(masked)).fit(new Float32Array(20), new Float32Array(12), OPTIONS),
      "UNSUPPORTED",
    );
  });

  it("without tfjs-node says what to install", async () => {
    const installed = await import("@tensorflow/tfjs-node" as string).then(
      () => true,
      () => false,
    );
    if (installed) return;
    const failing = compile(CLASSIFIER, { seed: 1, engine: "tfjs" });
    await expect(failing).rejects.toThrow(code("UNSUPPORTED"));
    await expect(failing).rejects.toThrow("npm install @tensorflow/tfjs-node");
  });
});

describe("engine: auto", () => {
  it.each(["training", "scoring"] as const)(
    "times %s of both, picks the faster one and says so",
    async (measure) => {
      const model = await compile(REGRESSOR, { seed: 3, engine: "auto", tf, measure });
      const { picked, why, milliseconds } = model.choice!;
      const { starling, tfjs } = milliseconds!;
      expect(picked).toBe(tfjs < starling ? "tfjs" : "starling");
      expect(model.engine).toBe(picked);
      expect(why).toMatch(/32 samples took starling [\d.]+ ms, tfjs [\d.]+ ms/);
      // Timing left no trace.
      expect(model.weights()).toEqual((await compile(REGRESSOR, { seed: 3 })).weights());
    },
  );

  it("takes the only one that can, and says why", async () => {
    const alone = await compile(CLASSIFIER, { seed: 3, engine: "auto" });
    if (alone.engine === "starling" && alone.choice!.milliseconds === undefined)
      expect(alone.choice!.why).toContain('the only one that can: engine "tfjs" needs');
    const topology = sequential([4, 4, 4, 1], layer("Conv3D", { filters: 2, kernel_size: [2, 2, 2] }));
    const other = await compile(topology, { seed: 3, engine: "auto", tf });
    expect(other.engine).toBe("tfjs");
    expect(other.choice!.why).toContain("the engine has no Conv3D");
    const ghost = sequential([4], layer("Ghost"));
    const failing = compile(ghost, { seed: 3, engine: "auto", tf });
    await expect(failing).rejects.toThrow(code("UNSUPPORTED"));
    await expect(failing).rejects.toThrow(/no Ghost.*; and the tfjs engine can't read the topology/);
  });

  it("an engine or a measure that is not there is refused", async () => {
    await expect(compile(CLASSIFIER, { seed: 1, engine: "jax" as never })).rejects.toThrow(
      code("UNSUPPORTED"),
    );
    await expect(compile(CLASSIFIER, { seed: 1, engine: "auto", measure: "luck" as never })).rejects.toThrow(
      code("BAD_INPUT"),
    );
  });
});
