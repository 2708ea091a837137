import * as tf from "@tensorflow/tfjs";
import { beforeAll, describe, expect, it } from "vitest";
import { compile } from "../../../models/engine/index.ts";
import { initialWeights } from "../../../models/engine/plan.ts";
import { sizeOf } from "../../../models/engine/shape.ts";
import { backpropagate, layer, machineFor, randomFloats, relativeError, sequential } from "./support.ts";

// Odd sizes throughout: every vector loop has a tail, and the batch is no multiple of a register block.
const CASES: [string, ReturnType<typeof sequential>][] = [
  ["SimpleRNN, last step", sequential([5, 3], layer("SimpleRNN", { units: 7 }))],
  [
    "two SimpleRNN, relu and sigmoid, all steps",
    sequential(
      [6, 2],
      layer("SimpleRNN", { units: 5, activation: "relu", return_sequences: true }),
      layer("SimpleRNN", { units: 9, activation: "sigmoid", return_sequences: true }),
    ),
  ],
  ["GRU, last step, reset before", sequential([5, 3], layer("GRU", { units: 7, reset_after: false }))],
  [
    "GRU with hard sigmoid, all steps, then Dense on each",
    sequential(
      [4, 5],
      layer("GRU", { units: 6, recurrent_activation: "hard_sigmoid", return_sequences: true }),
      layer("Dense", { units: 3, activation: "tanh" }),
    ),
  ],
  ["GRU without bias", sequential([3, 4], layer("GRU", { units: 5, use_bias: false }))],
  ["LSTM, last step", sequential([5, 3], layer("LSTM", { units: 7 }))],
  [
    "LSTM with hard sigmoid and relu, all steps",
    sequential(
      [4, 3],
      layer("LSTM", {
        units: 5,
        recurrent_activation: "hard_sigmoid",
        activation: "relu",
        return_sequences: true,
      }),
    ),
  ],
  [
    "LSTM on LSTM on GRU, then Dense",
    sequential(
      [6, 3],
      layer("LSTM", { units: 9, return_sequences: true }),
      layer("GRU", { units: 6, return_sequences: true }),
      layer("LSTM", { units: 4, use_bias: false }),
      layer("Dense", { units: 3 }),
    ),
  ],
  ["LSTM wider than a block of the matrix product", sequential([2, 9], layer("LSTM", { units: 37 }))],
  ["a recurrent layer over one step", sequential([1, 3], layer("GRU", { units: 4 }))],
  [
    "Dense stack with every activation",
    sequential(
      [13],
      layer("Dense", { units: 11, activation: "relu" }),
      layer("Dense", { units: 6, activation: "sigmoid", use_bias: false }),
      layer("Activation", { activation: "tanh" }),
      layer("Dense", { units: 5, activation: "hard_sigmoid" }),
      layer("Dense", { units: 2 }),
    ),
  ],
  [
    "Dense before and after a recurrent layer",
    sequential(
      [5, 4],
      layer("Dense", { units: 6, activation: "tanh" }),
      layer("GRU", { units: 5, return_sequences: true }),
      layer("Activation", { activation: "sigmoid" }),
      layer("LSTM", { units: 3 }),
    ),
  ],
];

const BATCH = 7;

beforeAll(async () => {
  await tf.setBackend("cpu");
});

/** The same topology in tfjs, with `flat` as its weights. */
async function peer(topology: object, flat: Float32Array): Promise<tf.LayersModel> {
  const model = await tf.models.modelFromJSON({ modelTopology: topology } as never);
  let offset = 0;
  model.setWeights(
    model.getWeights().map((weight) => {
      const size = sizeOf(weight.shape);
      offset += size;
      return tf.tensor(flat.slice(offset - size, offset), weight.shape);
    }),
  );
  return model;
}

const flatten = (tensors: tf.Tensor[]) => tensors.flatMap((tensor) => [...tensor.dataSync()]);

describe("engine against tfjs", () => {
  it.each(CASES)("outputs and all gradients agree: %s", async (_, topology) => {
    const machine = await machineFor(topology);
    const { plan, inputs, outputs } = machine;
    // Biases too must be other than zero, and the weights large enough to reach the bends of the activations.
    machine.weights.set(randomFloats(plan.parameters, 3, 0.9));
    const x = randomFloats(BATCH * inputs[0]!.size, 1, 2);
    const y = randomFloats(BATCH * outputs[0]!.size, 2);
    const got = backpropagate(machine, BATCH, x, y);

    const model = await peer(topology, machine.weights);
    const xs = tf.tensor(x, [BATCH, ...plan.inputShape]);
    const ys = tf.tensor(y, [BATCH, ...plan.outputShape]);
    expect(relativeError(got.output, (model.predict(xs) as tf.Tensor).dataSync())).toBeLessThan(1e-4);
    const loss = () =>
      tf.losses.meanSquaredError(ys, model.apply(xs, { training: true }) as tf.Tensor) as tf.Scalar;
    const { grads, value } = tf.variableGrads(loss);
    expect(got.loss).toBeCloseTo(value.dataSync()[0]!, 4);
    let offset = 0;
    for (const weight of model.trainableWeights) {
      const expected =
        grads[weight.read().id] ?? grads[(weight as unknown as { val: tf.Variable }).val.name]!;
      const part = got.gradients.subarray(offset, offset + expected.size);
      expect(relativeError(part, expected.dataSync()), weight.name).toBeLessThan(1e-4);
      offset += expected.size;
    }
    expect(offset).toBe(plan.parameters);
  });

  it("names and shapes of the weights are those of tfjs, in its order", async () => {
    for (const [, topology] of CASES) {
      const { plan } = await machineFor(topology);
      const model = await peer(topology, initialWeights(plan, 1));
      expect(plan.layout).toEqual(model.weights.map(({ originalName: name, shape }) => ({ name, shape })));
    }
  });

  it.each([
    ["sgd", { name: "sgd", learningRate: 0.1 }, () => tf.train.sgd(0.1)],
    ["momentum", { name: "sgd", learningRate: 0.05, momentum: 0.9 }, () => tf.train.momentum(0.05, 0.9)],
    ["adam", { name: "adam", learningRate: 0.01 }, () => tf.train.adam(0.01)],
  ] as const)("several steps of %s lead to the same weights and losses", async (_, optimizer, theirs) => {
    const topology = sequential(
      [6, 3],
      layer("LSTM", { units: 6, return_sequences: true }),
      layer("GRU", { units: 5 }),
      layer("Dense", { units: 2 }),
    );
    const model = await compile(topology, { seed: 5 });
    const start = model.weights();
    const samples = 21; // batches of 8, 8 and 5
    const x = randomFloats(samples * 18, 1);
    const y = randomFloats(samples * 2, 2);
    const options = { epochs: 3, batchSize: 8, optimizer, loss: "mse", seed: 1, shuffle: false } as const;
    const { losses } = await model.fit(x, y, options);

    const other = await peer(topology, start);
    other.compile({ optimizer: theirs(), loss: "meanSquaredError" });
    const history = await other.fit(tf.tensor(x, [samples, 6, 3]), tf.tensor(y, [samples, 2]), {
      epochs: 3,
      batchSize: 8,
      shuffle: false,
      verbose: 0,
    });
    expect(relativeError(model.weights(), flatten(other.getWeights()))).toBeLessThan(1e-3);
    expect(relativeError(losses, history.history.loss as number[])).toBeLessThan(1e-3);
    expect(relativeError(model.weights(), start)).toBeGreaterThan(1e-2);
  });

  it("reads what tfjs's own toJSON writes, as an object, as text and wrapped", async () => {
    const model = tf.sequential({
      layers: [
        tf.layers.gru({ units: 4, inputShape: [5, 3], returnSequences: true }),
        tf.layers.lstm({ units: 4, unitForgetBias: true }),
        tf.layers.dense({ units: 2, activation: "tanh" }),
        tf.layers.activation({ activation: "hardSigmoid" }),
      ],
    });
    const json = model.toJSON(null, false);
    const x = randomFloats(10 * 15, 4);
    const expected = (model.predict(tf.tensor(x, [10, 5, 3])) as tf.Tensor).dataSync();
    for (const topology of [json, model.toJSON(), { modelTopology: json }, { model_config: json }]) {
      const ours = await compile(topology, { seed: 1 });
      ours.setWeights(Float32Array.from(flatten(model.getWeights())));
      expect(relativeError(ours.predict(x), expected)).toBeLessThan(1e-4);
    }
  });
});
