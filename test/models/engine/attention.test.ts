import { describe, expect, it } from "vitest";
import { compile } from "../../../models/engine/index.ts";
import { parseTopology } from "../../../models/engine/topology.ts";
import { attentionOutput } from "../../../models/kernels/reference/attention.ts";
import { backpropagate, machineFor, randomFloats, relativeError } from "./support.ts";

const QUERY = [4, 3];
const VALUE = [5, 2];
const KEY = [5, 3];

const inputLayer = (name: string, shape: readonly number[]) => ({
  class_name: "InputLayer",
  name,
  config: { name, batch_input_shape: [null, ...shape] },
  inbound_nodes: [],
});

/** A model of one layer "a" on the inputs q, v and k, called as `node` says. */
function model(className: string, config: object, node: unknown) {
  return {
    class_name: "Functional",
    config: {
      name: "m",
      layers: [
        inputLayer("q", QUERY),
        inputLayer("v", VALUE),
        inputLayer("k", KEY),
        { class_name: className, name: "a", config: { name: "a", ...config }, inbound_nodes: [node] },
      ],
      input_layers: [
        ["q", 0, 0],
        ["v", 0, 0],
        ["k", 0, 0],
      ],
      output_layers: [["a", 0, 0]],
    },
  };
}

const keras2 = (first: string, kwargs: object = {}) => [[first, 0, 0, kwargs]];
const tensor = (name: string) => ({
  class_name: "__keras_tensor__",
  config: { shape: [], dtype: "float32", keras_history: [name, 0, 0] },
});
const keras3 = (args: unknown[], kwargs: object = {}) => ({ args, kwargs });

/** Every way in which a file may say: query q, value v, key k. */
const CALLS: [string, unknown][] = [
  ["Keras 2, in order", keras2("q", { value: ["v", 0, 0], key: ["k", 0, 0] })],
  ["Keras 2, sorted by name", keras2("q", { key: ["k", 0, 0], training: null, value: ["v", 0, 0] })],
  [
    "Keras 2, a list",
    [
      ["q", 0, 0, {}],
      ["v", 0, 0, {}],
      ["k", 0, 0, {}],
    ],
  ],
  ["Keras 3, by place", keras3([tensor("q"), tensor("v"), tensor("k")])],
  ["Keras 3, key by name", keras3([tensor("q"), tensor("v")], { key: tensor("k") })],
  [
    "Keras 3, all by name, sorted",
    keras3([], { key: tensor("k"), query: tensor("q"), training: false, value: tensor("v") }),
  ],
  ["Keras 3, a list", keras3([[tensor("q"), tensor("v"), tensor("k")]])],
  ["Keras 3, a list by name", keras3([], { inputs: [tensor("q"), tensor("v"), tensor("k")] })],
];

describe("calls with several tensors", () => {
  it.each(CALLS)("query, value and key arrive in their places: %s", (_, node) => {
    const { calls } = parseTopology(model("Attention", {}, node));
    expect(calls[0]!.inputs).toEqual([0, 1, 2]);
    expect(Object.keys(calls[0]!.call).filter((key) => key !== "training")).toEqual([]);
  });

  it.each([
    ["a mask that a layer computes", keras2("q", { attention_mask: ["v", 0, 0] }), "attention_mask"],
    ["a mask that a layer computes (Keras 3)", keras3([tensor("q")], { mask: tensor("v") }), "mask"],
    ["a key without a value", keras2("q", { key: ["k", 0, 0] }), "with key and 1 tensors before it"],
    ["a query given twice", keras3([tensor("q")], { query: tensor("v") }), "with query and 1 tensors"],
  ])("%s is refused", async (_, node, words) => {
    await expect(machineFor(model("Attention", {}, node))).rejects.toThrow(words);
  });
});

describe("Attention", () => {
  it.each([
    ["as a whole", {}, {}],
    ["to the past, by the call", {}, { use_causal_mask: true }],
    ["to the past, by the old option", { causal: true }, {}],
  ])("is softmax(q.k) over values: %s", async (_, config, kwargs) => {
    const call = keras2("q", { value: ["v", 0, 0], key: ["k", 0, 0], ...kwargs });
    const ours = await compile(model("Attention", config, call), { seed: 1, maxBatch: 2 });
    const [q, v, k] = [QUERY, VALUE, KEY].map(([time, C], i) => randomFloats(3 * time! * C!, i + 1, 2));
    const causal = "causal" in config || "use_causal_mask" in kwargs;
    const expected = [0, 1, 2].flatMap((b) => [
      ...attentionOutput({
        q: q!.subarray(12 * b, 12 * b + 12),
        v: v!.subarray(10 * b, 10 * b + 10),
        k: k!.subarray(15 * b, 15 * b + 15),
        ...{ T: 4, S: 5, K: 3, V: 2, scale: 1, causal },
      }),
    ]);
    expect(relativeError(ours.predict([q!, v!, k!]), expected)).toBeLessThan(1e-5);
  });

  it("starts with a scale of 1", async () => {
    const topology = model("Attention", { use_scale: true }, CALLS[0]![1]);
    const ours = await compile(topology, { seed: 1 });
    expect(ours.layout).toEqual([{ name: "a/scale", shape: [] }]);
    expect([...ours.weights()]).toEqual([1]);
  });
});

describe("dropout of attention's weights", () => {
  const RATE = 0.3;

  it("leaves weights out while training, scales the others up, and scores without", async () => {
    const [T, S, batch] = [40, 25, 2];
    const machine = await machineFor({
      class_name: "Functional",
      config: {
        layers: [
          inputLayer("q", [T, 3]),
          inputLayer("v", [S, S]),
          inputLayer("k", [S, 3]),
          {
            class_name: "Attention",
            name: "a",
            config: { name: "a", dropout: RATE },
            inbound_nodes: [CALLS[0]![1]],
          },
        ],
        input_layers: [
          ["q", 0, 0],
          ["v", 0, 0],
          ["k", 0, 0],
        ],
        output_layers: [["a", 0, 0]],
      },
    });
    // Queries of zeros weigh all keys alike; values of one 1 each let the weights through.
    const [q, v, k] = machine.inputs;
    q!.at(batch).fill(0);
    k!.at(batch).set(randomFloats(batch * S * 3, 1));
    v!.at(batch).forEach((_, i, all) => {
      all[i] = i % S === Math.floor(i / S) % S ? 1 : 0;
    });
    const weights = (training: boolean) => {
      machine.forward(batch, training);
      return machine.outputs[0]!.at(batch).slice();
    };
    machine.seed(1);
    const first = weights(true);
    const left = 1 / S / (1 - RATE);
    for (const weight of first) expect(Math.min(weight, Math.abs(weight - left))).toBeLessThan(1e-6);
    const share = first.filter((weight) => weight === 0).length / first.length;
    expect(Math.abs(share - RATE)).toBeLessThan(0.04);
    expect(weights(true)).not.toEqual(first);
    machine.seed(1);
    expect(weights(true)).toEqual(first);
    for (const weight of weights(false)) expect(weight).toBeCloseTo(1 / S, 6);
  });

  it.each([
    ["MultiHeadAttention", { num_heads: 2, key_dim: 3 }, {}],
    ["MultiHeadAttention", { num_heads: 3, key_dim: 2, value_dim: 4 }, { use_causal_mask: true }],
    ["Attention", { use_scale: true }, {}],
    ["Attention", { use_scale: true }, { use_causal_mask: true }],
    ["AdditiveAttention", {}, {}],
    ["AdditiveAttention", { use_scale: false, causal: true }, {}],
  ])(
    "gradients agree with finite differences under the same draw: %s %j %j",
    async (className, config, kwargs) => {
      const dense = { class_name: "Dense", name: "d", config: { name: "d", units: 4, activation: "tanh" } };
      const machine = await machineFor({
        class_name: "Functional",
        config: {
          layers: [
            inputLayer("x", [5, 3]),
            { ...dense, inbound_nodes: [keras2("x")] },
            {
              class_name: className,
              name: "a",
              config: { name: "a", dropout: RATE, ...config },
              inbound_nodes: [keras2("d", { value: ["d", 0, 0], ...kwargs })],
            },
          ],
          input_layers: [["x", 0, 0]],
          output_layers: [["a", 0, 0]],
        },
      });
      machine.weights.set(randomFloats(machine.plan.parameters, 4, 0.8));
      const x = randomFloats(3 * 15, 5);
      const y = randomFloats(3 * 20, 6);
      const { gradients, output } = backpropagate(machine, 3, x, y);
      machine.forward(3, false);
      expect(relativeError(output, machine.outputs[0]!.at(3))).toBeGreaterThan(0.05);
      const h = 1e-2;
      const numeric = machine.weights.map((weight, i) => {
        const [up, down] = [weight + h, weight - h].map((shifted) => {
          machine.weights[i] = shifted;
          return backpropagate(machine, 3, x, y).loss;
        });
        machine.weights[i] = weight;
        return (up! - down!) / (2 * h);
      });
      expect(relativeError(gradients, numeric)).toBeLessThan(2e-3);
    },
  );
});

describe("what attention lacks is refused by name", () => {
  const mha = { num_heads: 2, key_dim: 3 };
  it.each([
    ["dropout", "MultiHeadAttention", { ...mha, dropout: 1 }, {}, "no dropout 1"],
    [
      "several attention axes",
      "MultiHeadAttention",
      { ...mha, attention_axes: [1, 2] },
      {},
      "attention_axes",
    ],
    ["an output of several axes", "MultiHeadAttention", { ...mha, output_shape: [2, 3] }, {}, "output_shape"],
    ["a gate", "MultiHeadAttention", { ...mha, use_gate: true }, {}, "use_gate true"],
    ["a window", "MultiHeadAttention", { ...mha, sliding_window: 3 }, {}, "sliding_window 3"],
    [
      "scores as an output",
      "MultiHeadAttention",
      mha,
      { return_attention_scores: true },
      "return_attention_scores",
    ],
    ["a mask of constants", "MultiHeadAttention", mha, { attention_mask: [[1]] }, "attention_mask"],
    ["another score", "Attention", { score_mode: "concat" }, {}, 'score_mode "concat"'],
    ["a score of additive attention", "AdditiveAttention", { score_mode: "dot" }, {}, "score_mode"],
    ["dropout of weights", "Attention", { dropout: -0.5 }, {}, "no dropout -0.5"],
  ])("%s", async (_, className, config, kwargs, words) => {
    const node = keras2("q", { value: ["v", 0, 0], key: ["k", 0, 0], ...kwargs });
    await expect(machineFor(model(className, config, node))).rejects.toThrow(
      expect.objectContaining({ code: "UNSUPPORTED", message: expect.stringContaining(words) }),
    );
  });

  it("a call without a value, keys that are not as many as values, and keys unlike queries", async () => {
    const attention = (node: unknown) => machineFor(model("Attention", {}, node));
    await expect(attention(keras2("q"))).rejects.toThrow("called with 1 inputs");
    await expect(attention(keras2("q", { value: ["v", 0, 0] }))).rejects.toThrow(
      "queries have 3 channels, keys 2",
    );
    const uneven = keras2("v", { value: ["q", 0, 0], key: ["k", 0, 0] });
    await expect(attention(uneven)).rejects.toThrow("5 keys, but 4 values");
  });

  it("attention cannot be stepped", async () => {
    const ours = await compile(
      {
        class_name: "Model",
        config: {
          layers: [
            inputLayer("x", [3, 2]),
            {
              class_name: "MultiHeadAttention",
              name: "a",
              config: { name: "a", ...mha },
              inbound_nodes: [keras2("x", { value: ["x", 0, 0] })],
            },
          ],
          input_layers: [["x", 0, 0]],
          output_layers: [["a", 0, 0]],
        },
      },
      { seed: 1 },
    );
    expect(() => ours.stepper()).toThrow('layer "a" (MultiHeadAttention) cannot be stepped');
  });
});
