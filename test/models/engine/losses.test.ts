import * as tf from "@tensorflow/tfjs";
import { beforeAll, describe, expect, it } from "vitest";
import { compile, type FitOptions } from "../../../models/engine/index.ts";
import { type Loss, Losses } from "../../../models/engine/loss-spec.ts";
import { createLoss } from "../../../models/engine/losses.ts";
import { createMachine, type Machine } from "../../../models/engine/machine.ts";
import { type Plan, planOf } from "../../../models/engine/plan.ts";
import { parseTopology } from "../../../models/engine/topology.ts";
import { layer, machineFor, randomFloats, relativeError, sequential } from "./support.ts";

const N = 7;
const code = (value: string) => expect.objectContaining({ code: value });

beforeAll(async () => {
  await tf.setBackend("cpu");
});

type Activation = "linear" | "softmax" | "sigmoid";
type TheirLoss = (y: tf.Tensor, p: tf.Tensor) => tf.Tensor;

/** A loss of tfjs by the name that its `compile` takes: what its own training would use. */
function named(name: string): TheirLoss {
  const input = tf.input({ shape: [1] });
  const outputs = tf.layers.dense({ units: 1 }).apply(input) as tf.SymbolicTensor;
  const probe = tf.model({ inputs: input, outputs });
  probe.compile({ optimizer: "sgd", loss: name });
  return (probe as unknown as { lossFunctions: TheirLoss[] }).lossFunctions[0]!;
}
const afterSoftmax = (name: string): TheirLoss => {
  const loss = named(name);
  return (y, p) => loss(y, tf.softmax(p));
};

const CASES: [string, FitOptions["loss"], Activation, () => TheirLoss][] = [
  ["mse", "mse", "linear", () => named("meanSquaredError")],
  ["mae", "mae", "linear", () => named("meanAbsoluteError")],
  [
    "huber",
    { name: "huber", delta: 0.4 },
    "linear",
    () => (y, p) => tf.losses.huberLoss(y, p, undefined, 0.4, tf.Reduction.NONE),
  ],
  ["logCosh", "logCosh", "linear", () => named("logcosh")],
  ["poisson", "poisson", "sigmoid", () => named("poisson")],
  ["kld", "kld", "softmax", () => named("kullbackLeiblerDivergence")],
  ["cosineSimilarity", "cosineSimilarity", "linear", () => named("cosineProximity")],
  ["binary crossentropy", "binaryCrossentropy", "sigmoid", () => named("binaryCrossentropy")],
  [
    "binary crossentropy from logits",
    { name: "binaryCrossentropy", fromLogits: true },
    "linear",
    () => (y, p) =>
      tf.losses.sigmoidCrossEntropy(y as tf.Tensor2D, p as tf.Tensor2D, undefined, 0, tf.Reduction.NONE),
  ],
  ["categorical crossentropy", "categoricalCrossentropy", "softmax", () => named("categoricalCrossentropy")],
  [
    "categorical crossentropy of outputs that do not sum to one",
    "categoricalCrossentropy",
    "sigmoid",
    () => named("categoricalCrossentropy"),
  ],
  [
    "categorical crossentropy from logits",
    { name: "categoricalCrossentropy", fromLogits: true },
    "linear",
    () => afterSoftmax("categoricalCrossentropy"),
  ],
  [
    "sparse categorical crossentropy",
    "sparseCategoricalCrossentropy",
    "softmax",
    () => named("sparseCategoricalCrossentropy"),
  ],
  [
    "sparse categorical crossentropy from logits",
    { name: "sparseCategoricalCrossentropy", fromLogits: true },
    "linear",
    () => afterSoftmax("sparseCategoricalCrossentropy"),
  ],
];

/** (3, 5) or (5) in, the same with 4 channels out. */
const network = (shape: readonly number[], activation: Activation, units = 4) =>
  sequential(shape, layer("Dense", { units: 6, activation: "tanh" }), layer("Dense", { units, activation }));

function targetsOf(loss: Loss, rows: number, cols: number): Float32Array {
  const raw = randomFloats(rows * cols, 5);
  if (loss.name === "sparseCategoricalCrossentropy")
    return Float32Array.from({ length: rows }, (_, i) => (i * 7) % cols);
  const shares = raw.map((value) => (value + 1) / 2);
  if (loss.name === "binaryCrossentropy" || loss.name === "poisson") return shares;
  if (loss.name !== "categoricalCrossentropy" && loss.name !== "kld") return raw;
  return shares.map((value, i) => {
    const row = Math.floor(i / cols) * cols;
    return value / shares.subarray(row, row + cols).reduce((sum, share) => sum + share, 0);
  });
}

function run(machine: Machine, losses: readonly Loss[], x: Float32Array, weights?: Float32Array) {
  machine.inputs[0]!.at(N).set(x);
  if (weights) machine.sampleWeights.set(weights);
  machine.forward(N, true);
  const value = createLoss(machine, losses)(N, { gradient: true, weighted: weights !== undefined });
  machine.backward(N);
  return value;
}

async function peer(topology: object, flat: Float32Array): Promise<tf.LayersModel> {
  const model = await tf.models.modelFromJSON({ modelTopology: topology } as never);
  let offset = 0;
  const tensors = model.getWeights().map(({ shape, size }) => {
    offset += size;
    return tf.tensor(flat.slice(offset - size, offset), shape);
  });
  model.setWeights(tensors);
  return model;
}

describe("losses against tfjs", () => {
  it.each(CASES)("value and gradients agree: %s", async (_, given, activation, theirs) => {
    const losses = Losses.parse(given);
    const theirLoss = theirs();
    for (const shape of [[5], [3, 5]]) {
      for (const weighted of [false, true]) {
        const topology = network(shape, activation);
        const machine = await machineFor(topology);
        machine.weights.set(randomFloats(machine.plan.parameters, 3, 0.9));
        const x = randomFloats(N * machine.inputs[0]!.size, 1, 2);
        const rows = shape.slice(0, -1);
        const sparse = losses[0]!.name === "sparseCategoricalCrossentropy";
        const y = targetsOf(losses[0]!, N * (rows[0] ?? 1), 4);
        machine.outputs[0]![sparse ? "classesAt" : "targetsAt"](N).set(y);
        const weights = weighted ? randomFloats(N, 9).map((value) => value + 1.2) : undefined;
        const { loss } = run(machine, losses, x, weights);

        const model = await peer(topology, machine.weights);
        const xs = tf.tensor(x, [N, ...shape]);
        const ys = tf.tensor(y, [N, ...rows, sparse ? 1 : 4]);
        const { value, grads } = tf.variableGrads(() => {
          const each = theirLoss(ys, model.apply(xs, { training: true }) as tf.Tensor);
          if (!weights) return tf.mean(each) as tf.Scalar;
          const perSample = tf.mean(tf.reshape(each, [N, -1]), -1);
          return tf.mean(tf.mul(perSample, tf.tensor1d(weights))) as tf.Scalar;
        });
        expect(relativeError([loss], value.dataSync())).toBeLessThan(1e-4);
        const expected = model.trainableWeights.flatMap((weight) => [
          ...grads[(weight as unknown as { val: tf.Variable }).val.name]!.dataSync(),
        ]);
        expect(relativeError(machine.gradients, expected), `${shape} ${weighted}`).toBeLessThan(1e-4);
        expect(Math.max(...expected.map(Math.abs))).toBeGreaterThan(1e-3);
      }
    }
  });

  it("several outputs, each with a loss and a weight, give the sum that tfjs trains on", async () => {
    const input = tf.input({ shape: [5] });
    const hidden = tf.layers.dense({ units: 4, activation: "tanh" }).apply(input);
    const a = tf.layers.dense({ units: 3, activation: "softmax" }).apply(hidden) as tf.SymbolicTensor;
    const b = tf.layers.dense({ units: 2 }).apply(hidden) as tf.SymbolicTensor;
    const model = tf.model({ inputs: input, outputs: [a, b] });
    const machine = await machineFor(model.toJSON(null, false));
    machine.weights.set(Float32Array.from(model.getWeights().flatMap((weight) => [...weight.dataSync()])));
    const x = randomFloats(N * 5, 1);
    const [ya, yb] = [Float32Array.from([0, 1, 2, 0, 1, 2, 0]), randomFloats(N * 2, 2)];
    machine.inputs[0]!.at(N).set(x);
    machine.outputs[0]!.classesAt(N).set(ya);
    machine.outputs[1]!.targetsAt(N).set(yb);
    machine.forward(N, true);
    const losses = Losses.parse(["sparseCategoricalCrossentropy", "mae"]);
    const run = createLoss(machine, losses, { lossWeights: [0.3, 2] });
    const { loss } = run(N, { gradient: true, weighted: false });
    machine.backward(N);
    const [crossentropy, mae] = [named("sparseCategoricalCrossentropy"), named("meanAbsoluteError")];
    const { value, grads } = tf.variableGrads(() => {
      const [pa, pb] = model.apply(tf.tensor2d(x, [N, 5]), { training: true }) as tf.Tensor[];
      const one = tf.mean(crossentropy(tf.tensor2d(ya, [N, 1]), pa!));
      const two = tf.mean(mae(tf.tensor2d(yb, [N, 2]), pb!));
      return tf.add(tf.mul(one, 0.3), tf.mul(two, 2)) as tf.Scalar;
    });
    expect(relativeError([loss], value.dataSync())).toBeLessThan(1e-4);
    const expected = model.trainableWeights.flatMap((weight) => [
      ...grads[(weight as unknown as { val: tf.Variable }).val.name]!.dataSync(),
    ]);
    expect(relativeError(machine.gradients, expected)).toBeLessThan(1e-4);
  });
});

describe("missing targets and masks", () => {
  it.each(["mse", "categoricalCrossentropy", "sparseCategoricalCrossentropy"] as const)(
    "%s: a NaN leaves its target out of sum, mean and gradient",
    async (name) => {
      const losses = Losses.parse(name);
      const machine = await machineFor(network([5], "softmax"));
      machine.weights.set(randomFloats(machine.plan.parameters, 3, 0.9));
      const x = randomFloats(N * 5, 1);
      const sparse = name === "sparseCategoricalCrossentropy";
      const at = sparse ? "classesAt" : "targetsAt";
      const y = targetsOf(losses[0]!, N, 4);
      const cols = sparse ? 1 : 4;
      const set = (batch: number, values: Float32Array) => machine.outputs[0]![at](batch).set(values);
      set(N, y);
      machine.outputs[0]![at](N).fill(Number.NaN, cols, 2 * cols); // all of sample 1
      const { loss, present } = run(machine, losses, x);
      expect(present).toBe(name === "mse" ? 24 : 6);
      const gradients = machine.gradients.slice();
      // The same without that sample.
      const without = (values: Float32Array, size: number) =>
        Float32Array.from([...values.subarray(0, size), ...values.subarray(2 * size)]);
      machine.inputs[0]!.at(N - 1).set(without(x, 5));
      set(N - 1, without(y, cols));
      machine.forward(N - 1, true);
      const expected = createLoss(machine, losses)(N - 1, { gradient: true, weighted: false });
      machine.backward(N - 1);
      expect(relativeError([loss], [expected.loss])).toBeLessThan(1e-5);
      expect(relativeError(gradients, machine.gradients)).toBeLessThan(1e-5);
    },
  );

  it("one NaN in a row of classes makes the whole row a missing target", async () => {
    const machine = await machineFor(network([5], "softmax"));
    machine.weights.set(randomFloats(machine.plan.parameters, 3));
    const losses = Losses.parse("categoricalCrossentropy");
    machine.outputs[0]!.targetsAt(N).set(targetsOf(losses[0]!, N, 4));
    machine.outputs[0]!.targetsAt(N)[6] = Number.NaN;
    expect(run(machine, losses, randomFloats(N * 5, 1)).present).toBe(N - 1);
  });

  it.each(["mse", "sparseCategoricalCrossentropy"] as const)(
    "%s: masked steps count as missing",
    async (name) => {
      const losses = Losses.parse(name);
      const topology = network([3, 5], "softmax");
      const plan = await planOf(parseTopology(topology));
      // Steps 1 of sample 0 and 2 of sample 4.
      const masked = [1, 14];
      const machine = await createMachine(withMask(plan, masked), { maxBatch: N });
      const open = await machineFor(topology);
      const flat = randomFloats(plan.parameters, 3, 0.9);
      machine.weights.set(flat);
      open.weights.set(flat);
      const x = randomFloats(N * 15, 1);
      const sparse = name === "sparseCategoricalCrossentropy";
      const at = sparse ? "classesAt" : "targetsAt";
      const y = targetsOf(losses[0]!, N * 3, 4);
      machine.outputs[0]![at](N).set(y);
      const got = run(machine, losses, x);
      expect(got.present).toBe(sparse ? 19 : 76);
      const cols = sparse ? 1 : 4;
      open.outputs[0]![at](N).set(y);
      for (const step of masked) open.outputs[0]![at](N).fill(Number.NaN, step * cols, (step + 1) * cols);
      const expected = run(open, losses, x);
      expect(got).toEqual(expected);
      expect(machine.gradients).toEqual(open.gradients);
    },
  );

  it("a Masking layer's steps are not trained for: their targets might as well be missing", async () => {
    const topology = sequential(
      [4, 2],
      layer("Masking", { mask_value: -9 }),
      layer("GRU", { units: 5, return_sequences: true }),
      layer("Dense", { units: 3, activation: "softmax" }),
    );
    const x = randomFloats(N * 8, 1);
    const y = Float32Array.from({ length: N * 4 }, (_, i) => i % 3);
    const masked = [0, 5, 6, 27];
    for (const step of masked) x.fill(-9, step * 2, step * 2 + 2);
    const run = async (targets: Float32Array) => {
      const model = await compile(topology, { seed: 1 });
      const optimizer = { name: "sgd", learningRate: 0.1 } as const;
      const loss = "sparseCategoricalCrossentropy";
      const { losses } = await model.fit(x, targets, { epochs: 3, batchSize: N, optimizer, loss, seed: 1 });
      const { accuracy } = model.evaluate(x, targets, { loss, metrics: ["accuracy"] });
      return { losses, accuracy, weights: model.weights() };
    };
    const got = await run(y);
    expect(got).toEqual(await run(y.map((value, i) => (masked.includes(i) ? Number.NaN : value))));
    expect(got.weights).not.toEqual((await run(y.map((value) => (value + 1) % 3))).weights);
  });

  /** The plan with a first layer that also writes a mask. */
  function withMask(plan: Plan, masked: readonly number[]): Plan {
    const [first, ...rest] = plan.steps;
    const time = plan.tensors[first!.output]!.shape[0]!;
    const tensors = plan.tensors.map((tensor, i) =>
      i < first!.output ? tensor : { ...tensor, mask: first!.output },
    );
    const step = {
      ...first!,
      layer: {
        ...first!.layer,
        mask: "make" as const,
        bind: (site: Parameters<Plan["steps"][number]["layer"]["bind"]>[0]) => {
          const bound = first!.layer.bind(site);
          return {
            ...bound,
            forward(batch: number, training: boolean) {
              bound.forward(batch, training);
              const mask = new Float32Array(site.kernels.memory.buffer, site.output.mask, batch * time);
              mask.fill(1);
              for (const at of masked) mask[at] = 0;
            },
          };
        },
      },
    };
    return { ...plan, tensors, steps: [step, ...rest] };
  }
});

describe("what does not fit is refused", () => {
  const OPTIONS = {
    epochs: 1,
    batchSize: 4,
    optimizer: { name: "sgd", learningRate: 0.1 },
    seed: 1,
  } as const;
  const train = async (topology: unknown, y: Float32Array, options: Partial<FitOptions>) => {
    const model = await compile(topology, { seed: 1 });
    return model.fit(randomFloats(20, 1), y, { ...OPTIONS, loss: "mse", ...options });
  };
  const classes = Float32Array.of(0, 1, 2, 3);

  it.each([
    ["categoricalCrossentropy", "softmax"],
    ["sparseCategoricalCrossentropy", "softmax"],
    ["binaryCrossentropy", "sigmoid"],
  ] as const)("%s from logits on a model that ends in %s", async (name, ending) => {
    const y = name === "sparseCategoricalCrossentropy" ? classes : new Float32Array(16);
    const told = train(network([5], ending), y, { loss: { name, fromLogits: true } });
    await expect(told).rejects.toThrow(`fromLogits, but layer "dense_1`);
    await expect(told).rejects.toThrow(`ends in ${ending}`);
    await expect(told).rejects.toThrow(code("BAD_INPUT"));
  });

  it.each([
    ["an unknown loss", { loss: "hinge" }, "UNSUPPORTED", 'no loss "hinge"'],
    ["an unknown option of a loss", { loss: { name: "mse", gamma: 1 } }, "BAD_INPUT", "gamma"],
    ["a delta of zero", { loss: { name: "huber", delta: 0 } }, "BAD_INPUT", "delta"],
    ["two losses for one output", { loss: ["mse", "mae"] }, "BAD_INPUT", "2 losses for 1 outputs"],
    ["two weights for one output", { lossWeights: [1, 2] }, "BAD_INPUT", "2 lossWeights"],
    ["class weights without classes", { classWeights: [1, 2] }, "BAD_INPUT", "classes"],
  ])("%s", async (_, options, expected, words) => {
    const told = train(network([5], "linear"), new Float32Array(16), options as Partial<FitOptions>);
    await expect(told).rejects.toThrow(code(expected));
    await expect(told).rejects.toThrow(words);
  });

  it("numbers that are no class, and arrays of the wrong size", async () => {
    const loss = "sparseCategoricalCrossentropy" as const;
    const topology = network([5], "softmax");
    for (const stray of [4, -1, 1.5]) {
      const told = train(topology, Float32Array.of(0, 1, stray, 3), { loss });
      await expect(told).rejects.toThrow(code("BAD_INPUT"));
      await expect(told).rejects.toThrow("whole numbers from 0 to 3");
    }
    await expect(train(topology, new Float32Array(16), { loss })).rejects.toThrow(
      "4 samples of a class need 4",
    );
    await expect(train(topology, classes, { loss: "categoricalCrossentropy" })).rejects.toThrow(
      code("BAD_SHAPE"),
    );
    await expect(train(topology, Float32Array.of(0, 1, Number.NaN, 3), { loss })).resolves.toBeDefined();
  });
});
