import * as tf from "@tensorflow/tfjs";
import { beforeAll, describe, expect, it } from "vitest";
import { compile } from "../../../models/engine/index.ts";
import * as keras from "./keras-layers.ts";
import { backpropagate, layer, machineFor, randomFloats, relativeError, sequential } from "./support.ts";
import { expectSameAsTfjs } from "./tfjs-peer.ts";

beforeAll(async () => {
  await tf.setBackend("cpu");
});

const { maxPooling1d, maxPooling2d, averagePooling1d, averagePooling2d } = tf.layers;
const same = "same" as const;

/** Between two dense layers, so that the pool's input gradient is seen in the first one's weights. */
function between(inputShape: number[], channels: number, middle: tf.layers.Layer): tf.LayersModel {
  return tf.sequential({
    layers: [
      tf.layers.dense({ units: channels, inputShape }),
      middle,
      tf.layers.dense({ units: 2, activation: "tanh" }),
    ],
  });
}

const SERIES: [string, () => tf.layers.Layer][] = [
  ["max, 2", () => maxPooling1d({ poolSize: 2, strides: 2 })],
  ["max, 2, same", () => maxPooling1d({ poolSize: 2, padding: same })],
  ["max, 3, overlapping", () => maxPooling1d({ poolSize: 3, strides: 1 })],
  ["max, 3 at strides of 2, same", () => maxPooling1d({ poolSize: 3, strides: 2, padding: same })],
  ["max, 2 at strides of 3: some steps in no window", () => maxPooling1d({ poolSize: 2, strides: 3 })],
  ["max, 1 at strides of 2", () => maxPooling1d({ poolSize: 1, strides: 2 })],
  ["average, 2", () => averagePooling1d({ poolSize: 2, strides: 2 })],
  ["average, 3, overlapping", () => averagePooling1d({ poolSize: 3, strides: 2 })],
  ["average, 3, same", () => keras.averagePooling1d({ pool_size: 3, strides: 2, padding: same })],
  ["global max", () => tf.layers.globalMaxPooling1d({})],
  ["global average", () => tf.layers.globalAveragePooling1d({})],
  ["global max, axis kept", () => keras.globalMaxPooling1d({ keepdims: true })],
  ["global average, axis kept", () => keras.globalAveragePooling1d({ keepdims: true })],
];

const IMAGES: [string, () => tf.layers.Layer][] = [
  ["max, 2x2", () => maxPooling2d({ poolSize: 2, strides: 2 })],
  ["max, 2x2, same", () => maxPooling2d({ poolSize: 2, padding: same })],
  ["max, 3x2 at strides of 1", () => maxPooling2d({ poolSize: [3, 2], strides: 1 })],
  ["max, 3x3 at strides of 2, same", () => maxPooling2d({ poolSize: 3, strides: 2, padding: same })],
  ["max, 2x2 at strides of 2x1", () => maxPooling2d({ poolSize: 2, strides: [2, 1] })],
  ["max, 1x2", () => maxPooling2d({ poolSize: [1, 2], strides: [1, 2] })],
  ["average, 2x2", () => averagePooling2d({ poolSize: 2, strides: 2 })],
  ["average, 3x2 at strides of 1x2", () => averagePooling2d({ poolSize: [3, 2], strides: [1, 2] })],
  ["average, 3x2, same", () => keras.averagePooling2d({ pool_size: [3, 2], strides: [2, 2], padding: same })],
  ["global max", () => tf.layers.globalMaxPooling2d({ dataFormat: "channelsLast" })],
  ["global average", () => tf.layers.globalAveragePooling2d({ dataFormat: "channelsLast" })],
  ["global max, axes kept", () => keras.globalMaxPooling2d({ keepdims: true })],
  ["global average, axes kept", () => keras.globalAveragePooling2d({ keepdims: true })],
];

describe("pooling", () => {
  it.each(SERIES)("over a series gives the outputs and gradients of tfjs: %s", async (_, make) => {
    for (const [time, channels] of [
      [9, 3],
      [8, 13],
      [7, 4],
    ] as const)
      await expectSameAsTfjs(between([time, 2], channels, make()));
  });

  it.each(IMAGES)("over an image gives the outputs and gradients of tfjs: %s", async (_, make) => {
    for (const [height, width, channels] of [
      [5, 7, 3],
      [6, 4, 13],
      [4, 5, 8],
    ] as const)
      await expectSameAsTfjs(between([height, width, 2], channels, make()));
  });

  it("tfjs's own average with padding is the same going forward", async () => {
    const pool = averagePooling2d({ inputShape: [5, 4, 3], poolSize: 3, strides: 2, padding: same });
    await expectSameAsTfjs(tf.sequential({ layers: [pool, tf.layers.dense({ units: 2 })] }));
  });

  it("of equal values the first is the winner, as in tfjs", async () => {
    // Whole weights and inputs: sums are exact, so that there are ties at all. Each place has a weight of its own.
    const whole = (size: number) => randomFloats(size, size).map((value) => Math.round(value));
    for (const config of [
      { poolSize: 2, strides: 2 },
      { poolSize: 3, strides: 1 },
    ]) {
      const layers = [
        tf.layers.dense({ units: 180, inputShape: [4] }),
        tf.layers.reshape({ targetShape: [6, 6, 5] }),
        maxPooling2d(config),
      ];
      await expectSameAsTfjs(tf.sequential({ layers }), { inputs: whole, weights: whole });
    }
  });

  it("places in no window have no gradient from it, whatever the buffer held before", async () => {
    const x = tf.input({ shape: [5, 7, 2] });
    const h = tf.layers.dense({ units: 5 }).apply(x) as tf.SymbolicTensor;
    // The pool's input gradient is the buffer in which that of the other consumer is added up.
    const outputs = [maxPooling2d({ poolSize: 2 }), tf.layers.dense({ units: 3 })].map(
      (consumer) => consumer.apply(h) as tf.SymbolicTensor,
    );
    await expectSameAsTfjs(tf.model({ inputs: x, outputs }));
  });

  it("a layer that only scores keeps no winners and gives the same", async () => {
    const topology = sequential([6, 6, 5], layer("MaxPooling2D"), layer("MaxPooling2D", { strides: [1, 1] }));
    const machine = await machineFor(topology);
    const x = randomFloats(3 * 180, 1);
    machine.inputs[0]!.at(3).set(x);
    machine.forward(3, true);
    const training = machine.outputs[0]!.at(3).slice();
    machine.forward(3, false);
    expect(machine.outputs[0]!.at(3)).toEqual(training);
  });

  it.each([
    ["GlobalMaxPooling1D", 5],
    ["GlobalAveragePooling1D", 7],
  ])("%s steps row by row to what it gives for the whole series", async (className, channels) => {
    const model = await compile(
      sequential([9, channels], layer("GRU", { units: channels, return_sequences: true }), layer(className)),
      { seed: 1 },
    );
    const x = randomFloats(9 * channels, 1);
    const stepper = model.stepper();
    let last = new Float32Array();
    for (let t = 0; t < 9; t++) last = stepper.step(x.subarray(t * channels, (t + 1) * channels)).slice();
    expect(relativeError(last, model.predict(x))).toBeLessThan(1e-5);
  });

  it("windows of a series can't be stepped", async () => {
    const model = await compile(sequential([8, 2], layer("MaxPooling1D")), { seed: 1 });
    expect(() => model.stepper()).toThrow(expect.objectContaining({ code: "UNSUPPORTED" }));
  });

  it("the short names of Keras are the same layers", async () => {
    const x = randomFloats(2 * 48, 1);
    for (const [axes, shape] of [
      [1, [12, 4]],
      [2, [4, 3, 4]],
    ] as const) {
      for (const [short, long] of [
        ["MaxPool", "MaxPooling"],
        ["AvgPool", "AveragePooling"],
        ["GlobalMaxPool", "GlobalMaxPooling"],
        ["GlobalAvgPool", "GlobalAveragePooling"],
      ] as const) {
        const [a, b] = await Promise.all(
          [short, long].map((name) => compile(sequential(shape, layer(`${name}${axes}D`)), { seed: 1 })),
        );
        expect(a!.predict(x)).toEqual(b!.predict(x));
      }
    }
  });

  it("reads the config that Keras 3 writes", async () => {
    const config = {
      trainable: true,
      dtype: { module: "keras", class_name: "DTypePolicy", config: { name: "float32" } },
      pool_size: [2, 2],
      padding: "valid",
      strides: [2, 2],
      data_format: "channels_last",
    };
    const machine = await machineFor(sequential([4, 4, 2], layer("MaxPooling2D", config)));
    expect(machine.plan.outputShape).toEqual([2, 2, 2]);
  });

  it.each([
    ["another data format", [4, 4, 2], "MaxPooling2D", { data_format: "channels_first" }, "UNSUPPORTED"],
    ["another padding", [4, 2], "AveragePooling1D", { padding: "causal" }, "UNSUPPORTED"],
    ["an unknown option", [4, 2], "GlobalMaxPooling1D", { axis: 2 }, "UNSUPPORTED"],
    ["a window larger than its input", [3, 2], "MaxPooling1D", { pool_size: 4 }, "BAD_INPUT"],
    ["an input of other axes", [3], "MaxPooling1D", {}, "BAD_INPUT"],
    ["a series for an image", [3, 4], "GlobalAveragePooling2D", {}, "BAD_INPUT"],
  ] as const)("%s is refused", async (_, shape, className, config, code) => {
    await expect(machineFor(sequential(shape, layer(className, config)))).rejects.toMatchObject({ code });
  });

  it("no gradient is lost or made where windows do not overlap", async () => {
    const topology = sequential(
      [7, 5, 3],
      layer("Dense", { units: 6 }),
      layer("MaxPooling2D"),
      layer("Flatten"),
    );
    const machine = await machineFor(topology);
    machine.weights.set(randomFloats(machine.plan.parameters, 1));
    backpropagate(machine, 3, randomFloats(3 * 105, 1), randomFloats(3 * 36, 2));
    const { gradients } = machine;
    // The bias' gradient is the sum over all places: that of the pool's output.
    const output = new Float32Array(machine.kernels.memory.buffer, machine.outputs[0]!.gradient, 3 * 36);
    const sums = Float32Array.from({ length: 6 }, (_, c) =>
      output.reduce((sum, g, i) => sum + (i % 6 === c ? g : 0), 0),
    );
    expect(relativeError(gradients.subarray(18), sums)).toBeLessThan(1e-5);
  });
});
