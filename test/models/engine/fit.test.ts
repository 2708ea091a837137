import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { describe, expect, it } from "vitest";
import { compile, type EpochEvent, type FitOptions, type Samples } from "../../../models/engine/index.ts";
import { layer, randomFloats, relativeError, sequential } from "./support.ts";

const code = (value: string) => expect.objectContaining({ code: value });
const SGD = { name: "sgd", learningRate: 0.1 } as const;
const OPTIONS = { epochs: 1, batchSize: 32, optimizer: SGD, loss: "mse", seed: 1, shuffle: false } as const;

/** y = w x: one weight, so every step can be done by hand. */
const LINE = sequential([1], layer("Dense", { units: 1, use_bias: false }));
async function line(w: number) {
  const model = await compile(LINE, { seed: 1 });
  model.setWeights(Float32Array.of(w));
  return model;
}

describe("validation", () => {
  it("the split is taken from the end, before shuffling, and is not trained on", async () => {
    // The last two of five say w = -1, the others w = 1.
    const [x, y] = [Float32Array.of(1, 1, 1, 1, 1), Float32Array.of(1, 1, 1, -1, -1)];
    for (const shuffle of [false, true]) {
      const model = await line(0);
      const events: EpochEvent[] = [];
      const { losses, validationLosses, samples } = await model.fit(x, y, {
        ...OPTIONS,
        shuffle,
        epochs: 2,
        validationSplit: 0.4,
        onEpoch: (event) => events.push(event),
      });
      // w: 0, 0.2, 0.36; the loss of an epoch is that before its step, the validation loss that after it.
      expect(model.weights()[0]).toBeCloseTo(0.36, 6);
      expect(losses.map((v) => v.toFixed(4))).toEqual(["1.0000", "0.6400"]);
      expect(validationLosses.map((v) => v.toFixed(4))).toEqual(["1.4400", "1.8496"]);
      expect(samples).toBe(6);
      expect(events.map(({ validation }) => validation?.loss)).toEqual(validationLosses);
    }
  });

  it("data of its own works the same, as arrays and read on demand; both at once or none left are refused", async () => {
    const [x, y] = [Float32Array.of(1, 1, 1), Float32Array.of(1, 1, 1)];
    const [vx, vy] = [Float32Array.of(1, 1), Float32Array.of(-1, -1)];
    const read: Samples = {
      count: 2,
      read(indexes, toX, toY) {
        indexes.forEach((index, i) => {
          toX[i] = vx[index]!;
          toY[i] = vy[index]!;
        });
      },
    };
    for (const validationData of [[vx, vy] as const, read]) {
      const model = await line(0);
      const { validationLosses } = await model.fit(x, y, { ...OPTIONS, epochs: 2, validationData });
      expect(validationLosses.map((v) => v.toFixed(4))).toEqual(["1.4400", "1.8496"]);
    }
    const refused = async (change: Partial<FitOptions>, words: string) => {
      const fitting = (await line(0)).fit(x, y, { ...OPTIONS, ...change });
      await expect(fitting).rejects.toThrow(code("BAD_INPUT"));
      await expect(fitting).rejects.toThrow(words);
    };
    await refused({ validationSplit: 0.3, validationData: [vx, vy] }, "choose one");
    await refused({ validationSplit: 0.9 }, "leaves none");
    await refused({ earlyStopping: { patience: 1, monitor: "validationLoss" } }, "no validation data");
    await expect(
      (await line(0)).fit(x, y, { ...OPTIONS, validationData: [vx, new Float32Array(3)] }),
    ).rejects.toThrow(code("BAD_SHAPE"));
  });

  it("does not change what is trained: the weights are the bits of a fit on the first part alone", async () => {
    const topology = sequential(
      [4],
      layer("Dense", { units: 5, activation: "tanh" }),
      layer("Dense", { units: 2 }),
    );
    const [x, y] = [randomFloats(200, 1), randomFloats(100, 2)];
    const options = { ...OPTIONS, shuffle: true, epochs: 3, batchSize: 8 };
    const [whole, part] = [await compile(topology, { seed: 1 }), await compile(topology, { seed: 1 })];
    await whole.fit(x, y, { ...options, validationSplit: 0.2 });
    await part.fit(x.subarray(0, 160), y.subarray(0, 80), options);
    expect(whole.weights()).toEqual(part.weights());
    const { validationLosses } = await whole.fit(x, y, { ...options, validationSplit: 0.2 });
    expect(whole.evaluate(x.subarray(160), y.subarray(80)).loss).toBe(validationLosses.at(-1));
  });
});

describe("early stopping", () => {
  // w: 0, 0.2, 0.36, 0.488, 0.5904, 0.67232; the validation target 0.45 is nearest at epoch 2.
  const [x, y] = [Float32Array.of(1), Float32Array.of(1)];
  const validationData = [Float32Array.of(1), Float32Array.of(0.45)] as const;

  it("ends after so many epochs without a better validation loss, with the best weights", async () => {
    const model = await line(0);
    const options = { ...OPTIONS, epochs: 50, validationData, earlyStopping: { patience: 2 } };
    const { losses, validationLosses, bestEpoch } = await model.fit(x, y, options);
    expect(losses).toHaveLength(5);
    expect(bestEpoch).toBe(2);
    expect(Math.min(...validationLosses)).toBe(validationLosses[2]);
    expect(model.weights()[0]).toBeCloseTo(0.488, 6);
  });

  it("keeps the last weights where it is asked to", async () => {
    const model = await line(0);
    const earlyStopping = { patience: 1, restoreBest: false };
    const { losses } = await model.fit(x, y, { ...OPTIONS, epochs: 50, validationData, earlyStopping });
    expect(losses).toHaveLength(4);
    expect(model.weights()[0]).toBeCloseTo(0.5904, 6);
  });

  it("may watch the training loss, and wants as much better as minDelta says", async () => {
    const model = await line(0);
    const earlyStopping = { patience: 1, minDelta: 0.2, monitor: "loss" as const };
    const { losses, bestEpoch } = await model.fit(x, y, {
      ...OPTIONS,
      epochs: 50,
      validationData,
      earlyStopping,
    });
    // 1, 0.64, 0.4096, 0.262144: the last is no longer better by 0.2.
    expect(losses).toHaveLength(4);
    expect(bestEpoch).toBe(2);
    const without = await (await line(0)).fit(x, y, {
      ...OPTIONS,
      epochs: 20,
      earlyStopping: { patience: 1 },
    });
    expect(without.losses).toHaveLength(20);
  });
});

describe("weights of samples and classes", () => {
  const classifier = sequential([2], layer("Dense", { units: 3, activation: "softmax" }));
  const x = randomFloats(12, 1);
  const classes = Float32Array.of(0, 1, 2, 2, 1, 0);
  const oneHot = Float32Array.from({ length: 18 }, (_, i) => (classes[Math.floor(i / 3)] === i % 3 ? 1 : 0));
  const table = [1, 3, 0.5];

  it.each([
    ["sparseCategoricalCrossentropy", classes, table],
    ["sparseCategoricalCrossentropy", classes, { 1: 3, 2: 0.5 }],
    ["categoricalCrossentropy", oneHot, table],
  ] as const)(
    "%s: class weights are those weights on each sample of the class",
    async (loss, y, classWeights) => {
      const run = async (change: Partial<FitOptions>) => {
        const model = await compile(classifier, { seed: 1 });
        const { losses } = await model.fit(x, y, { ...OPTIONS, epochs: 3, loss, ...change });
        return { weights: model.weights(), losses };
      };
      const byClass = await run({ classWeights: classWeights as FitOptions["classWeights"] });
      const bySample = await run({ sampleWeights: classes.map((value) => table[value]!) });
      expect(byClass).toEqual(bySample);
      expect(byClass.weights).not.toEqual((await run({})).weights);
      const own = Float32Array.of(1, 2, 3, 4, 5, 6);
      const both = await run({ classWeights: [...table], sampleWeights: own });
      expect(both).toEqual(await run({ sampleWeights: classes.map((value, i) => table[value]! * own[i]!) }));
    },
  );

  it("of steps: each step of a sequence counts by its own class, and by its sample", async () => {
    const tagger = sequential([3, 2], layer("Dense", { units: 3, activation: "softmax" }));
    const loss = "sparseCategoricalCrossentropy";
    const y = Float32Array.of(0, 1, 2, 2, 1, 0); // two samples of three steps
    const step = async (topology: unknown, change: Partial<FitOptions>) => {
      const model = await compile(topology, { seed: 1 });
      model.setWeights(randomFloats(model.parameters, 4));
      await model.fit(x, y, { ...OPTIONS, loss, ...change });
      return model.weights();
    };
    const sampleWeights = Float32Array.of(2, 0.5);
    const got = await step(tagger, { classWeights: table, sampleWeights });
    const each = Float32Array.of(2, 6, 1, 0.25, 1.5, 0.5);
    expect(relativeError(got, await step(classifier, { sampleWeights: each }))).toBeLessThan(1e-6);
    const plain = await step(tagger, { sampleWeights });
    const spread = Float32Array.of(2, 2, 2, 0.5, 0.5, 0.5);
    expect(relativeError(plain, await step(classifier, { sampleWeights: spread }))).toBeLessThan(1e-6);
  });

  it("binary targets have classes 0 and 1", async () => {
    const binary = sequential([2], layer("Dense", { units: 1, activation: "sigmoid" }));
    const y = Float32Array.of(0, 1, 1, 0, 0, 1);
    const run = async (change: Partial<FitOptions>) => {
      const model = await compile(binary, { seed: 1 });
      await model.fit(x, y, { ...OPTIONS, loss: "binaryCrossentropy", ...change });
      return model.weights();
    };
    const sampleWeights = y.map((value) => (value === 1 ? 5 : 2));
    expect(await run({ classWeights: [2, 5] })).toEqual(await run({ sampleWeights }));
    await expect(run({ classWeights: { 2: 1 } })).rejects.toThrow("has a class 2");
    await expect(run({ sampleWeights: sampleWeights.fill(-1) })).rejects.toThrow(code("NOT_FINITE"));
  });

  it("sample weights go with the held-back samples, class weights do not", async () => {
    const run = async (change: Partial<FitOptions>) => {
      const model = await line(0);
      const [xs, ys] = [Float32Array.of(1, 1, 1, 1), Float32Array.of(1, 1, 1, -1)];
      return (await model.fit(xs, ys, { ...OPTIONS, validationSplit: 0.5, ...change })).validationLosses[0];
    };
    // After the step w = 0.2: squares 0.64 and 1.44.
    expect(await run({})).toBeCloseTo((0.64 + 1.44) / 2, 6);
    const sampleWeights = Float32Array.of(1, 1, 3, 0.5);
    expect(await run({ sampleWeights })).toBeCloseTo((3 * 0.64 + 0.5 * 1.44) / 2, 6);
  });
});

describe("evaluate", () => {
  /** Gives its input. */
  const identity = async (units: number, activation = "linear", shape = [units]) => {
    const model = await compile(sequential(shape, layer("Dense", { units, activation, use_bias: false })), {
      seed: 1,
      maxBatch: 2,
    });
    model.setWeights(Float32Array.from({ length: units * units }, (_, i) => (i % (units + 1) === 0 ? 1 : 0)));
    return model;
  };

  it("accuracy - counts the rows whose largest output is the class, and leaves missing rows out", async () => {
    const model = await identity(3);
    const p = Float32Array.of(1, 2, 3, 3, 2, 1, 0, 1, 0, 5, 5, 5, 9, 0, 0);
    const classes = Float32Array.of(2, 1, 1, 0, Number.NaN);
    const sparse = { loss: "sparseCategoricalCrossentropy", metrics: ["accuracy"] } as const;
    const logits = { name: "sparseCategoricalCrossentropy", fromLogits: true } as const;
    const result = model.evaluate(p, classes, { loss: logits, metrics: ["accuracy"] });
    expect(result).toEqual({ loss: expect.any(Number), samples: 5, accuracy: 0.75 });
    expect(model.evaluate(p, classes, { ...sparse, metrics: ["accuracy"] }).accuracy).toBe(0.75);
    const oneHot = Float32Array.from({ length: 15 }, (_, i) =>
      Number.isNaN(classes[Math.floor(i / 3)]) ? Number.NaN : +(classes[Math.floor(i / 3)] === i % 3),
    );
    const categorical = { loss: "categoricalCrossentropy", metrics: ["accuracy"] } as const;
    expect(model.evaluate(p, oneHot, categorical).accuracy).toBe(0.75);
  });

  it("binary accuracy - judges each output at one half, or at zero where outputs are logits", async () => {
    const model = await identity(1);
    const y = Float32Array.of(1, 0, 1, 0, Number.NaN);
    const metrics = ["accuracy", "binaryAccuracy"] as const;
    const judge = (p: Float32Array, fromLogits: boolean) =>
      model.evaluate(p, y, { loss: { name: "binaryCrossentropy", fromLogits }, metrics: [...metrics] });
    expect(judge(Float32Array.of(0.9, 0.4, 0.3, 0.6, 0.1), false)).toMatchObject({
      accuracy: 0.5,
      binaryAccuracy: 0.5,
    });
    expect(judge(Float32Array.of(0.3, -0.4, -0.3, 0.1, 7), true)).toMatchObject({
      accuracy: 0.5,
      binaryAccuracy: 0.5,
    });
    expect(judge(Float32Array.of(0.3, -0.4, 0.3, -0.1, 7), true).accuracy).toBe(1);
    expect(
      model.evaluate(Float32Array.of(0.3), Float32Array.of(Number.NaN), { metrics: ["accuracy"] }),
    ).toEqual({
      loss: 0,
      samples: 1,
      accuracy: Number.NaN,
    });
  });

  it("auc - is the share of pairs in the right order, ties counting half", async () => {
    const scores = [0.1, 0.4, 0.35, 0.8, 0.4];
    const labels = [0, 0, 1, 1, 1];
    // Of 6 pairs: 0.35 > 0.1; 0.8 > 0.1, 0.4; 0.4 > 0.1 and equals 0.4.
    const area = 4.5 / 6;
    const single = await identity(1);
    const auc = { metrics: ["auc"] } as const;
    const y = Float32Array.from(labels);
    const options = { ...auc, loss: "binaryCrossentropy", metrics: ["auc" as const] } as const;
    expect(single.evaluate(Float32Array.from(scores), y, options).auc).toBeCloseTo(area, 10);
    const two = await identity(2);
    const rows = Float32Array.from(scores.flatMap((score) => [1 - score, score]));
    const sparse = { ...auc, metrics: ["auc" as const], loss: "sparseCategoricalCrossentropy" } as const;
    expect(two.evaluate(rows, y, sparse).auc).toBeCloseTo(area, 10);
    const oneHot = Float32Array.from(labels.flatMap((label) => [1 - label, label]));
    const categorical = { ...sparse, loss: "categoricalCrossentropy" } as const;
    expect(two.evaluate(rows, oneHot, categorical).auc).toBeCloseTo(area, 10);
    const three = await identity(3);
    const refused = () => three.evaluate(new Float32Array(3), Float32Array.of(1), sparse);
    expect(refused).toThrow("one output or two classes");
  });

  it("takes any loss, weights, and reports each of several outputs; an unknown option is refused", async () => {
    const model = await identity(1);
    const [p, y] = [Float32Array.of(1, 2, 3), Float32Array.of(0, 0, 0)];
    expect(model.evaluate(p, y)).toEqual({ loss: (1 + 4 + 9) / 3, samples: 3 });
    expect(model.evaluate(p, y, { loss: "mae" }).loss).toBe(2);
    const sampleWeights = Float32Array.of(1, 0, 2);
    expect(model.evaluate(p, y, { loss: "mae", sampleWeights }).loss).toBeCloseTo(7 / 3, 6);
    expect(() => model.evaluate(p, y, { sparkle: 1 } as never)).toThrow(code("UNSUPPORTED"));
    expect(() => model.evaluate(p, y, { loss: "hinge" as never })).toThrow(code("UNSUPPORTED"));
    const node = (name: string) => [[[name, 0, 0, {}]]];
    const dense = (name: string) => ({
      class_name: "Dense",
      name,
      config: { name, units: 1, use_bias: false, kernel_initializer: "ones" },
      inbound_nodes: node("in"),
    });
    const input = {
      class_name: "InputLayer",
      name: "in",
      config: { name: "in", batch_input_shape: [null, 1] },
      inbound_nodes: [],
    };
    const topology = {
      class_name: "Model",
      config: {
        name: "two",
        layers: [input, dense("a"), dense("b")],
        input_layers: [["in", 0, 0]],
        output_layers: [
          ["a", 0, 0],
          ["b", 0, 0],
        ],
      },
    };
    const two = await compile(topology, { seed: 1 });
    const result = two.evaluate(p, [y, Float32Array.of(1, 2, 4)], {
      loss: ["mae", "mse"],
      lossWeights: [1, 3],
      metrics: ["accuracy"],
    });
    expect(result.outputs!.map(({ loss }) => loss)).toEqual([2, expect.closeTo(1 / 3, 6)]);
    expect(result.loss).toBeCloseTo(3, 6);
  });
});

describe("progress", () => {
  it("reports metrics of training and validation, and how many batches there will be", async () => {
    const model = await compile(sequential([2], layer("Dense", { units: 2, activation: "softmax" })), {
      seed: 1,
    });
    const x = randomFloats(40, 1);
    const y = Float32Array.from({ length: 20 }, (_, i) => +(x[2 * i]! > x[2 * i + 1]!));
    const events: EpochEvent[] = [];
    const seen: [number, number][] = [];
    await model.fit(x, y, {
      ...OPTIONS,
      epochs: 40,
      batchSize: 4,
      optimizer: { name: "adam", learningRate: 0.05 },
      loss: "sparseCategoricalCrossentropy",
      metrics: ["accuracy", "auc"],
      validationSplit: 0.2,
      onEpoch: (event) => events.push(event),
      onBatch: ({ batch, batches }) => seen.push([batch, batches]),
    });
    expect(seen).toHaveLength(160);
    expect(seen.every(([batch, batches], i) => batch === i && batches === 160)).toBe(true);
    const [first, last] = [events[0]!, events.at(-1)!];
    expect(last.accuracy!).toBeGreaterThan(Math.max(0.9, first.accuracy!));
    expect(last.auc!).toBeGreaterThan(0.9);
    const after = model.evaluate(x.subarray(32), y.subarray(16), {
      loss: "sparseCategoricalCrossentropy",
      metrics: ["accuracy", "auc"],
    });
    expect(last.validation).toEqual(after);
  });

  it("a long validation lets others have a turn, and can be aborted", async () => {
    const model = await compile(sequential([64, 8], layer("LSTM", { units: 32 })), { seed: 1 });
    const count = 40_000;
    const validationData: Samples = { count, read: (_, x, y) => void y.fill(x.fill(0.1).length) };
    const controller = new AbortController();
    setTimeout(() => controller.abort(), 20);
    const fitting = model.fit(new Float32Array(512), new Float32Array(32), {
      ...OPTIONS,
      validationData,
      signal: controller.signal,
    });
    const start = performance.now();
    await expect(fitting).rejects.toThrow(code("ABORTED"));
    expect(performance.now() - start).toBeLessThan(1_500);
  });

  it("an option that is not there is refused by name", async () => {
    const fitting = (await line(0)).fit(Float32Array.of(1), Float32Array.of(1), {
      ...OPTIONS,
      warmth: 1,
    } as never);
    await expect(fitting).rejects.toThrow(code("UNSUPPORTED"));
    await expect(fitting).rejects.toThrow('no option "warmth"');
  });

  it.each([
    ["plain", {}, 1],
    ["one by one", { differentialPrivacy: { clipNorm: 1 } }, 4],
  ])(
    "%s: losses, weights, penalties and constraints allocate nothing per batch",
    async (_, change, passes) => {
      const topology = sequential(
        [3],
        layer("Dense", {
          units: 4,
          kernel_regularizer: { class_name: "L1L2", config: { l1: 0.01, l2: 0.01 } },
          kernel_constraint: { class_name: "MaxNorm", config: { max_value: 3, axis: 0 } },
        }),
        layer("Dense", { units: 5, activation: "softmax" }),
      );
      const model = await compile(topology, { seed: 1 });
      const x = randomFloats(300, 1);
      const y = Float32Array.from({ length: 100 }, (_, i) => i % 5);
      const options: FitOptions = {
        ...OPTIONS,
        batchSize: 4,
        loss: "sparseCategoricalCrossentropy",
        optimizer: { name: "rmsprop", momentum: 0.5, learningRate: { name: "constant", rate: 1e-3 } },
        clipNorm: 1,
        clipValue: 1,
        classWeights: [1, 2, 1, 1, 1],
        sampleWeights: new Float32Array(100).fill(1),
        metrics: ["accuracy"],
        ...change,
      };
      await model.fit(x, y, { ...options, epochs: 40 });
      setFlagsFromString("--expose-gc");
      const collect = runInNewContext("gc") as () => void;
      collect();
      const before = process.memoryUsage();
      const { batches } = await model.fit(x, y, { ...options, epochs: 400 });
      // Numbers that are handed to a kernel are boxed; nothing larger is made, and nothing is kept.
      const garbage = process.memoryUsage().heapUsed - before.heapUsed;
      collect();
      const after = process.memoryUsage();
      expect(batches).toBe(10_000);
      expect(garbage).toBeLessThan(10_000 * passes * 800);
      expect(after.heapUsed - before.heapUsed).toBeLessThan(300_000);
      expect(after.arrayBuffers - before.arrayBuffers).toBeLessThan(100_000);
    },
  );
});
