import * as tf from "@tensorflow/tfjs";
import { beforeAll, describe, expect, it } from "vitest";
import { compile } from "../../../models/engine/index.ts";
import { layer, machineFor, randomFloats, relativeError, sequential } from "./support.ts";
import { expectSameAsTfjs, topologyOf } from "./tfjs-peer.ts";

beforeAll(async () => {
  await tf.setBackend("cpu");
});

type Recurrent = Parameters<typeof tf.layers.bidirectional>[0]["layer"];
type Options = { units: number } & Record<string, unknown>;
const L = tf.layers;
const RECURRENT = {
  SimpleRNN: (options: Options) => L.simpleRNN(options as never) as Recurrent,
  GRU: (options: Options) => L.gru({ recurrentActivation: "sigmoid", ...options } as never) as Recurrent,
  LSTM: (options: Options) => L.lstm({ recurrentActivation: "sigmoid", ...options } as never) as Recurrent,
};
const NAMES = Object.keys(RECURRENT) as (keyof typeof RECURRENT)[];
const each = (...flags: boolean[]) => NAMES.flatMap((name) => flags.map((all) => [name, all] as const));

describe("go_backwards", () => {
  it.each(each(false, true))(
    "%s from the end of the sequence is that of tfjs, behind a Dense (all steps: %s)",
    async (name, all) => {
      const make = RECURRENT[name];
      await expectSameAsTfjs(
        tf.sequential({
          layers: [
            L.dense({ units: 5, inputShape: [6, 3] }),
            make({ units: 7, goBackwards: true, returnSequences: true }),
            make({ units: 5, goBackwards: true, returnSequences: all }),
          ],
        }),
      );
    },
  );

  it("can't be stepped, as it begins with the last row", async () => {
    const model = await compile(sequential([4, 3], layer("GRU", { units: 5, go_backwards: true })), {
      seed: 1,
    });
    expect(() => model.stepper()).toThrow(expect.objectContaining({ code: "UNSUPPORTED" }));
  });
});

describe("Bidirectional", () => {
  it.each(["concat", "sum", "mul", "ave"] as const)(
    "%s of every recurrent layer, all steps and the last one, is that of tfjs",
    async (mergeMode) => {
      for (const name of NAMES) {
        const wrap = (options: Options) =>
          L.bidirectional({ layer: RECURRENT[name](options), mergeMode } as never);
        await expectSameAsTfjs(
          tf.sequential({
            layers: [
              L.dense({ units: 5, inputShape: [5, 3] }),
              wrap({ units: 7, returnSequences: true }),
              wrap({ units: 5, returnSequences: true, goBackwards: true }),
              wrap({ units: 3, useBias: false }),
              L.dense({ units: 2 }),
            ],
          }),
        );
      }
    },
  );

  it("as the first layer it is told the model's input shape", async () => {
    const layer = RECURRENT.LSTM({ units: 6 });
    await expectSameAsTfjs(
      tf.sequential({ layers: [L.bidirectional({ layer, mergeMode: "concat", inputShape: [4, 3] })] }),
    );
  });

  // tfjs can't make one: it does not write the cell as it reads it.
  it("of an RNN of a cell is that of the cell's own layer", async () => {
    const x = randomFloats(24, 1);
    const [own, ofCell] = await Promise.all(
      [
        layer("LSTM", { units: 5, recurrent_activation: "sigmoid", return_sequences: true }),
        layer("RNN", {
          cell: { class_name: "LSTMCell", config: { units: 5, recurrent_activation: "sigmoid" } },
          return_sequences: true,
        }),
      ].map(async (inner) => {
        const model = await compile(sequential([4, 3], layer("Bidirectional", { layer: inner })), {
          seed: 1,
        });
        model.setWeights(randomFloats(model.parameters, 2));
        return model.predict(x);
      }),
    );
    expect(ofCell).toEqual(own);
    expect(relativeError(own!.subarray(0, 40), new Float32Array(40))).toBeGreaterThan(1e-3);
  });

  it("reads what Keras writes: both layers, named with their prefix already", async () => {
    const inner = (name: string, go_backwards: boolean) => ({
      module: "keras.layers",
      class_name: "GRU",
      config: { name, units: 3, recurrent_activation: "sigmoid", reset_after: true, go_backwards },
      registered_name: null,
    });
    const topology = sequential(
      [4, 2],
      layer("Bidirectional", {
        name: "both",
        layer: inner("forward_gru", false),
        backward_layer: inner("backward_gru", true),
      }),
    );
    const { plan } = await machineFor(topology);
    expect(plan.layout.map(({ name }) => name)).toEqual(
      ["forward_gru", "backward_gru"].flatMap((direction) =>
        ["kernel", "recurrent_kernel", "bias"].map((weight) => `both/${direction}/${weight}`),
      ),
    );
    expect(plan.outputShape).toEqual([6]);
  });

  it.each([
    ["merge_mode null", { merge_mode: null, layer: layer("GRU", { units: 3 }) }, "merge_mode"],
    ["a Dense inside", { layer: layer("Dense", { units: 3 }) }, "Dense"],
    [
      "two layers that go the same way",
      { layer: layer("GRU", { units: 3 }), backward_layer: layer("GRU", { units: 3 }) },
      "same way",
    ],
    [
      "directions of two sizes",
      { layer: layer("GRU", { units: 3 }), backward_layer: layer("GRU", { units: 4, go_backwards: true }) },
      "give",
    ],
    ["a state to return", { layer: layer("LSTM", { units: 3, return_state: true }) }, "return_state"],
    ["a frozen layer inside", { layer: layer("LSTM", { units: 3, trainable: false }) }, "frozen"],
  ])("refuses %s in one sentence", async (_, config, words) => {
    await expect(machineFor(sequential([4, 2], layer("Bidirectional", config)))).rejects.toThrow(words);
  });
});

describe("TimeDistributed", () => {
  it("a Dense on each step is that of tfjs, before and after a recurrent layer", async () => {
    await expectSameAsTfjs(
      tf.sequential({
        layers: [
          L.timeDistributed({ layer: L.dense({ units: 5, activation: "tanh" }), inputShape: [6, 3] }),
          L.gru({ units: 7, returnSequences: true, recurrentActivation: "sigmoid" }),
          L.timeDistributed({ layer: L.dense({ units: 3, activation: "softmax" }) }),
        ],
      }),
    );
  });

  it("a recurrent layer on each step's own sequence is that of tfjs", async () => {
    for (const name of NAMES) {
      const make = RECURRENT[name];
      await expectSameAsTfjs(
        tf.sequential({
          layers: [
            L.timeDistributed({ layer: L.dense({ units: 3 }), inputShape: [3, 4, 2] }),
            L.timeDistributed({ layer: make({ units: 5, returnSequences: true }) }),
            L.timeDistributed({ layer: make({ units: 3 }) }),
            make({ units: 2 }),
          ],
        }),
      );
    }
  });

  it("stands in a TimeDistributed too", async () => {
    const inner = L.timeDistributed({ layer: L.dense({ units: 3 }) });
    await expectSameAsTfjs(
      tf.sequential({ layers: [L.timeDistributed({ layer: inner, inputShape: [2, 3, 4] })] }),
    );
  });

  it("row by row, the stepper gives what predict gives for the whole sequence", async () => {
    const topology = sequential(
      [5, 3],
      layer("TimeDistributed", { layer: layer("Dense", { units: 4, activation: "softmax" }) }),
      layer("LSTM", { units: 3, return_sequences: true }),
    );
    const model = await compile(topology, { seed: 2 });
    const x = randomFloats(15, 1, 2);
    const expected = model.predict(x);
    const stepper = model.stepper();
    const got = [0, 1, 2, 3, 4].flatMap((t) => [...stepper.step(x.subarray(3 * t, 3 * t + 3))]);
    expect(relativeError(got, expected)).toBeLessThan(1e-5);
  });

  it.each([
    ["an input without time", [4], layer("Dense", { units: 3 }), "time"],
    ["a model", [4, 3], { class_name: "Sequential", config: { layers: [] } }, "Sequential"],
    ["a frozen layer inside", [4, 3], layer("Dense", { units: 3, trainable: false }), "frozen"],
  ])("refuses %s in one sentence", async (_, shape, inner, words) => {
    await expect(machineFor(sequential(shape, layer("TimeDistributed", { layer: inner })))).rejects.toThrow(
      words,
    );
  });
});

describe("RNN", () => {
  it.each(each(false, true))(
    "of a %s cell is that of tfjs (all steps: %s)",
    async (name, returnSequences) => {
      const cells = {
        SimpleRNN: () => L.simpleRNNCell({ units: 5 }),
        GRU: () => L.gruCell({ units: 5, recurrentActivation: "sigmoid" }),
        LSTM: () => L.lstmCell({ units: 5, recurrentActivation: "sigmoid" }),
      };
      await expectSameAsTfjs(
        tf.sequential({ layers: [L.rnn({ cell: cells[name](), returnSequences, inputShape: [4, 3] })] }),
      );
    },
  );

  it("refuses several cells in one, in one sentence", async () => {
    const cell = L.stackedRNNCells({ cells: [L.gruCell({ units: 2 }), L.gruCell({ units: 3 })] });
    const model = tf.sequential({ layers: [L.rnn({ cell, inputShape: [4, 3] })] });
    await expect(machineFor(topologyOf(model))).rejects.toThrow("StackedRNNCells");
  });
});

it.each(["GRU", "LSTM", "SimpleRNN"])(
  "%s - stateful is refused with where to go instead, other options by name",
  async (name) => {
    const refused = (config: object) => machineFor(sequential([4, 3], layer(name, { units: 2, ...config })));
    await expect(refused({ stateful: true })).rejects.toThrow("model.stepper()");
    await expect(refused({ recurrent_dropout: 1 })).rejects.toThrow("recurrent_dropout");
    await expect(refused({ return_state: true })).rejects.toThrow("return_state");
    await expect(refused({ dropout: 1 })).rejects.toThrow("dropout");
  },
);
