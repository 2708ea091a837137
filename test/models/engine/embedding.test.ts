import * as tf from "@tensorflow/tfjs";
import { beforeAll, describe, expect, it } from "vitest";
import { compile } from "../../../models/engine/index.ts";
import { createRandom } from "../../../models/engine/random.ts";
import { backpropagate, layer, machineFor, randomFloats, relativeError, sequential } from "./support.ts";
import { expectSameAsTfjs } from "./tfjs-peer.ts";

beforeAll(async () => {
  await tf.setBackend("cpu");
});

const TOKENS = 6;

function tokens(length: number, seed: number): Float32Array {
  const random = createRandom(seed);
  return Float32Array.from({ length }, () => Math.floor(TOKENS * random.uniform()));
}

describe("Embedding", () => {
  it.each([
    ["of a sequence, into a GRU", { inputLength: 5 }, [5], 7],
    ["of one channel", {}, [4], 1],
    ["of tokens in two axes", {}, [3, 2], 5],
  ] as const)("outputs and all gradients are those of tfjs: %s", async (_, options, shape, outputDim) => {
    const model = tf.sequential();
    model.add(tf.layers.embedding({ inputDim: TOKENS, outputDim, inputShape: [...shape], ...options }));
    if (shape.length === 1)
      model.add(tf.layers.gru({ units: 3, recurrentActivation: "sigmoid", returnSequences: true }));
    model.add(tf.layers.dense({ units: 2 }));
    await expectSameAsTfjs(model, { inputs: (size, i) => tokens(size, i + 1) });
  });

  it("mask_zero makes a mask of the tokens that are not 0", async () => {
    const topology = sequential(
      [4],
      layer("Embedding", { input_dim: TOKENS, output_dim: 3, mask_zero: true }),
      layer("LayerNormalization"),
    );
    const machine = await machineFor(topology);
    machine.inputs[0]!.at(2).set([0, 1, 2, 0, 5, 0, 0, 3]);
    machine.forward(2, false);
    const mask = new Float32Array(machine.kernels.memory.buffer, machine.outputs[0]!.mask, 8);
    expect([...mask]).toEqual([0, 1, 1, 0, 1, 0, 0, 1]);
  });

  it.each([
    ["one past the table", TOKENS],
    ["far past it", 1e9],
    ["below zero", -1],
    ["between two", 1.5],
  ])("a token %s is refused before any kernel reads the table", async (_, token) => {
    const model = await compile(sequential([3], layer("Embedding", { input_dim: TOKENS, output_dim: 2 })), {
      seed: 1,
    });
    const good = Float32Array.of(0, TOKENS - 1, -0);
    const bad = Float32Array.of(0, 1, 2, 3, token, 4);
    const refused = expect.objectContaining({
      code: "BAD_INPUT",
      message: expect.stringContaining("0 to 5"),
    });
    expect(model.predict(good)).toHaveLength(6);
    expect(() => model.predict(bad)).toThrow(refused);
    expect(() => model.evaluate(bad, new Float32Array(12))).toThrow(refused);
    const options = {
      epochs: 1,
      batchSize: 2,
      optimizer: { name: "sgd", learningRate: 0.1 },
      loss: "mse",
      seed: 1,
    } as const;
    await expect(model.fit(bad, new Float32Array(12), options)).rejects.toThrow(refused);
  });

  it("two tables on one input: the smaller one rules", async () => {
    const x = tf.input({ shape: [3] });
    const embed = (inputDim: number) =>
      tf.layers.embedding({ inputDim, outputDim: 2 }).apply(x) as tf.SymbolicTensor;
    const model = tf.model({ inputs: x, outputs: [embed(6), embed(4), embed(9)] });
    const machine = await machineFor(model.toJSON(null, false));
    expect(machine.plan.inputs[0]!.tokens).toBe(4);
  });

  it("tokens that another layer computes, a wrong input_length and masks over two axes are refused", async () => {
    const embed = (config: object) => layer("Embedding", { input_dim: TOKENS, output_dim: 2, ...config });
    await expect(machineFor(sequential([3], layer("Dense", { units: 3 }), embed({})))).rejects.toThrow(
      "straight from an input",
    );
    await expect(machineFor(sequential([3], embed({ input_length: 4 })))).rejects.toThrow("input_length 4");
    await expect(machineFor(sequential([3, 2], embed({ mask_zero: true })))).rejects.toThrow("mask_zero");
    await expect(machineFor(sequential([3], embed({ lora_rank: 4 })))).rejects.toThrow("lora_rank 4");
  });
});

describe("positions", () => {
  it("SinePositionEncoding is the formula of Vaswani et al., whatever comes in", async () => {
    const [T, C, wavelength] = [7, 5, 100];
    const model = await compile(
      sequential([T, C], layer("SinePositionEncoding", { max_wavelength: wavelength })),
      {
        seed: 1,
      },
    );
    const expected = Array.from({ length: T * C }, (_, i) => {
      const [pos, c] = [Math.floor(i / C), i % C];
      const pair = c - (c % 2); // 2i in the paper
      return (c % 2 === 0 ? Math.sin : Math.cos)(pos / wavelength ** (pair / C));
    });
    const got = model.predict(randomFloats(2 * T * C, 1));
    expect(relativeError(got, [...expected, ...expected])).toBeLessThan(1e-6);
  });

  it("PositionEmbedding gives each step its row, and each row the gradients of its steps", async () => {
    const machine = await machineFor(
      sequential(
        [3, 2],
        layer("Dense", { units: 5 }),
        layer("PositionEmbedding", { sequence_length: 4, initializer: "random_uniform" }),
      ),
    );
    expect(machine.plan.layout.at(-1)!.shape).toEqual([4, 5]);
    const start = machine.plan.parameters - 20;
    const y = randomFloats(2 * 15, 2);
    machine.weights.set(randomFloats(machine.plan.parameters, 1));
    const { output, gradients } = backpropagate(machine, 2, randomFloats(12, 3), y);
    const rows = [...machine.weights.subarray(start, start + 15)];
    expect([...output]).toEqual([...rows, ...rows]);
    const expected = rows.map((row, i) => (2 * (2 * row - y[i]! - y[i + 15]!)) / 30);
    expect(relativeError(gradients.subarray(start), [...expected, 0, 0, 0, 0, 0])).toBeLessThan(1e-5);
    // Nothing of the input is in the output.
    expect([...gradients.subarray(0, start)].every((gradient) => gradient === 0)).toBe(true);
  });

  it("a longer sequence than there are positions is refused", async () => {
    const topology = sequential([5, 2], layer("PositionEmbedding", { sequence_length: 4 }));
    await expect(machineFor(topology)).rejects.toThrow("4 positions, but gets 5 steps");
  });
});
