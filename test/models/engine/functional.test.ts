import * as tf from "@tensorflow/tfjs";
import { beforeAll, describe, expect, it } from "vitest";
import { compile } from "../../../models/engine/index.ts";
import { machineFor, randomFloats } from "./support.ts";
import { expectSameAsTfjs } from "./tfjs-peer.ts";

beforeAll(async () => {
  await tf.setBackend("cpu");
});

const { dense, gru, activation } = tf.layers;
const input = (...shape: number[]) => tf.input({ shape });
const gruOptions = { recurrentActivation: "sigmoid", returnSequences: true } as const;

/** Models that tfjs writes as LayersModel JSON, so that the reader is tested on the real thing. */
const GRAPHS: [string, () => tf.LayersModel][] = [
  [
    "one tensor used twice, once as an output",
    () => {
      const x = input(5);
      const h = dense({ units: 4, activation: "tanh" }).apply(x) as tf.SymbolicTensor;
      const a = dense({ units: 3 }).apply(h) as tf.SymbolicTensor;
      const b = dense({ units: 2, activation: "sigmoid" }).apply(h) as tf.SymbolicTensor;
      return tf.model({ inputs: x, outputs: [a, b, h] });
    },
  ],
  [
    "a layer that is called twice has its weights once",
    () => {
      const x = input(5);
      const shared = dense({ units: 5, activation: "tanh" });
      const h = shared.apply(x) as tf.SymbolicTensor;
      return tf.model({
        inputs: x,
        outputs: dense({ units: 2 }).apply(shared.apply(h)) as tf.SymbolicTensor,
      });
    },
  ],
  [
    "two inputs, two outputs, recurrent layers on one tensor in both orders",
    () => {
      const [x, z] = [input(6, 3), input(4)];
      const h = gru({ units: 5, ...gruOptions }).apply(x) as tf.SymbolicTensor;
      const a = gru({ units: 4, ...gruOptions }).apply(h) as tf.SymbolicTensor;
      const b = dense({ units: 3, activation: "softmax" }).apply(h) as tf.SymbolicTensor;
      const c = activation({ activation: "softmax" }).apply(
        dense({ units: 7 }).apply(z),
      ) as tf.SymbolicTensor;
      return tf.model({ inputs: [x, z], outputs: [a, b, c, h] });
    },
  ],
  [
    "a model inside a model, called twice",
    () => {
      const inner = tf.sequential({ layers: [dense({ units: 4, inputShape: [3] }), dense({ units: 3 })] });
      const x = input(3);
      const once = inner.apply(dense({ units: 3, activation: "relu" }).apply(x));
      const h = inner.apply(once) as tf.SymbolicTensor;
      return tf.model({ inputs: x, outputs: dense({ units: 2 }).apply(h) as tf.SymbolicTensor });
    },
  ],
];

describe("functional models", () => {
  it.each(GRAPHS)("outputs and all gradients are those of tfjs: %s", async (_, make) => {
    await expectSameAsTfjs(make());
  });

  it("reads the form of Keras 3, with tensors among the arguments", async () => {
    const tensor = (name: string) => ({
      class_name: "__keras_tensor__",
      config: { shape: [null, 3], dtype: "float32", keras_history: [name, 0, 0] },
    });
    const node = (...names: string[]) => [{ args: names.map(tensor), kwargs: { training: false } }];
    const topology = {
      class_name: "Functional",
      config: {
        name: "k3",
        layers: [
          {
            class_name: "InputLayer",
            name: "in",
            config: { name: "in", batch_shape: [null, 3] },
            inbound_nodes: [],
          },
          { class_name: "Dense", name: "d", config: { name: "d", units: 2 }, inbound_nodes: node("in") },
        ],
        input_layers: [["in", 0, 0]],
        output_layers: [["d", 0, 0]],
      },
    };
    const model = await compile(topology, { seed: 1 });
    model.setWeights(Float32Array.of(1, 2, 3, 4, 5, 6, 0.5, -0.5));
    expect([...model.predict(Float32Array.of(1, 10, 100))]).toEqual([531.5, 641.5]);
  });

  it("a model of several inputs and outputs trains, predicts and refuses what does not fit", async () => {
    const topology = GRAPHS[2]![1]().toJSON(null, false);
    const model = await compile(topology, { seed: 1 });
    const n = 12;
    const xs = [randomFloats(n * 18, 1), randomFloats(n * 4, 2)];
    const ys = model.predictAll(xs).map((y, i) => y.map((value, k) => value + Math.sin(k + i)));
    const { losses } = await model.fit(xs, ys, {
      epochs: 8,
      batchSize: 4,
      optimizer: { name: "adam", learningRate: 0.01 },
      loss: "mse",
      seed: 1,
    });
    expect(losses.at(-1)).toBeLessThan(losses[0]!);
    expect(() => model.predict(xs[0]!)).toThrow(expect.objectContaining({ code: "BAD_SHAPE" }));
    expect(() => model.predict([xs[0]!, xs[1]!.subarray(4)])).toThrow(
      expect.objectContaining({ code: "BAD_SHAPE" }),
    );
    expect(() => model.stepper()).toThrow(expect.objectContaining({ code: "UNSUPPORTED" }));
  });

  it.each([
    [
      "a circle",
      [
        ["a", [["b", 0, 0]]],
        ["b", [["a", 0, 0]]],
      ],
      "circle",
    ],
    ["a layer that is not there", [["a", [["ghost", 0, 0]]]], "ghost"],
    [
      "a second output",
      [
        ["a", [["in", 0, 0]]],
        ["b", [["a", 0, 1]]],
      ],
      "output 1",
    ],
  ] as const)("%s is refused", async (_, nodes, words) => {
    const layers = nodes.map(([name, inbound]) => ({
      class_name: "Dense",
      name,
      config: { name, units: 2 },
      inbound_nodes: [inbound],
    }));
    const first = {
      class_name: "InputLayer",
      name: "in",
      config: { name: "in", batch_input_shape: [null, 2] },
      inbound_nodes: [],
    };
    const topology = {
      class_name: "Model",
      config: {
        layers: [first, ...layers],
        input_layers: [["in", 0, 0]],
        output_layers: [[nodes.at(-1)![0], 0, 0]],
      },
    };
    await expect(machineFor(topology)).rejects.toThrow(words);
  });
});

describe("topologies that are made to harm", () => {
  const dense = { class_name: "Dense", config: { name: "d", units: 2, batch_input_shape: [null, 2] } };
  const entry = (name: string) => ({
    class_name: "InputLayer",
    name,
    config: { name, batch_input_shape: [null, 2] },
    inbound_nodes: [],
  });
  const called = (layer: { class_name: string; config: { name: string } }, ...nodes: string[][]) => ({
    ...layer,
    name: layer.config.name,
    inbound_nodes: nodes.map((from) => from.map((source) => [source, 0, 0, {}])),
  });

  it("nested twenty thousand deep are refused", async () => {
    let model: { class_name: string; config: object } = dense;
    for (let i = 0; i < 20_000; i++)
      model = { class_name: "Sequential", config: { name: `s${i}`, layers: [model] } };
    await expect(machineFor(model)).rejects.toMatchObject({ code: "TOO_LARGE" });
  });

  it("that call a model twice which calls one twice, and so on, end at a bound", async () => {
    let inner: { class_name: string; config: { name: string } & Record<string, unknown> } = {
      class_name: "Sequential",
      config: { name: "s0", layers: [dense] },
    };
    for (let i = 1; i <= 30; i++) {
      const within = inner.config.name;
      const layers = [entry(`in${i}`), called(inner, [`in${i}`], [within])];
      const ends = { input_layers: [[`in${i}`, 0, 0]], output_layers: [[within, 1, 0]] };
      inner = { class_name: "Functional", config: { name: `f${i}`, layers, ...ends } };
    }
    await expect(machineFor(inner)).rejects.toMatchObject({ code: "TOO_LARGE" });
  });

  it("of the longest chain that is allowed compile", async () => {
    const layers = [entry("in0")];
    for (let i = 1; i <= 999; i++)
      layers.push(
        called({ class_name: "Activation", config: { name: `in${i}`, activation: "relu" } as never }, [
          `in${i - 1}`,
        ]) as never,
      );
    const ends = { input_layers: [["in0", 0, 0]], output_layers: [["in999", 0, 0]] };
    const topology = { class_name: "Functional", config: { name: "long", layers, ...ends } };
    expect((await machineFor(topology)).plan.steps).toHaveLength(999);
  });

  it("that call a layer of one input with two, such as an initial state, are refused by name", async () => {
    const layers = [entry("a"), entry("b"), called(dense, ["a", "b"])];
    const ends = {
      input_layers: [
        ["a", 0, 0],
        ["b", 0, 0],
      ],
      output_layers: [["d", 0, 0]],
    };
    const topology = { class_name: "Functional", config: { name: "two", layers, ...ends } };
    await expect(machineFor(topology)).rejects.toMatchObject({
      code: "UNSUPPORTED",
      message: expect.stringContaining('"d" (Dense)'),
    });
  });
});
