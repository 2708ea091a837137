import * as tf from "@tensorflow/tfjs";
import { beforeAll, describe, expect, it } from "vitest";
import { compile } from "../../../models/engine/index.ts";
import * as keras from "./keras-layers.ts";
import { layer, machineFor, randomFloats, sequential } from "./support.ts";
import { expectSameAsTfjs } from "./tfjs-peer.ts";

beforeAll(async () => {
  await tf.setBackend("cpu");
});

/** Between two dense layers, so that the layer's input gradient is seen in the first one's weights. */
function between(inputShape: number[], channels: number, middle: tf.layers.Layer): tf.LayersModel {
  return tf.sequential({
    layers: [
      // tfjs has no bias of so many axes.
      tf.layers.dense({ units: channels, inputShape, useBias: inputShape.length < 5 }),
      middle,
      tf.layers.dense({ units: 2, activation: "tanh", useBias: inputShape.length < 5 }),
    ],
  });
}

const l = tf.layers;
const CASES: [string, number[], () => tf.layers.Layer][] = [
  ["flatten a series", [5, 2], () => l.flatten()],
  ["flatten an image", [3, 4, 2], () => l.flatten()],
  ["reshape a series to an image", [6, 2], () => l.reshape({ targetShape: [2, 3, 5] })],
  ["reshape a row", [3], () => l.reshape({ targetShape: [5, 1] })],
  ["permute a series", [6, 2], () => l.permute({ dims: [2, 1] })],
  ["permute nothing", [6, 2], () => l.permute({ dims: [1, 2] })],
  ["permute an image, rows and columns", [3, 4, 2], () => l.permute({ dims: [2, 1, 3] })],
  ["permute an image, channels first", [3, 4, 2], () => l.permute({ dims: [3, 1, 2] })],
  ["permute an image, back to front", [3, 4, 2], () => l.permute({ dims: [3, 2, 1] })],
  ["permute four axes", [2, 3, 4, 2], () => l.permute({ dims: [3, 1, 4, 2] })],
  ["permute five axes of which two go together", [2, 3, 2, 2, 2], () => l.permute({ dims: [5, 3, 1, 2, 4] })],
  ["repeat a vector", [3], () => l.repeatVector({ n: 4 })],
  ["upsample an image", [3, 4, 2], () => keras.upSampling2d({ size: [2, 3] })],
  [
    "upsample an image, linear",
    [3, 4, 2],
    () => keras.upSampling2d({ size: [2, 3], interpolation: "bilinear" }),
  ],
  ["upsample a square, linear", [3, 3, 2], () => l.upSampling2d({ size: [3, 3], interpolation: "bilinear" })],
  ["upsample one pixel, linear", [1, 1, 2], () => l.upSampling2d({ interpolation: "bilinear" })],
  [
    "upsample an image, linear as in Keras",
    [3, 4, 2],
    () => keras.upSampling2d({ size: [2, 3], interpolation: "bilinear", dtype: "float32" }),
  ],
  ["upsample a series", [5, 2], () => keras.upSampling1d({ size: 3 })],
  ["pad an image", [3, 4, 2], () => l.zeroPadding2d({ padding: 2 })],
  ["pad an image, rows and columns", [3, 4, 2], () => l.zeroPadding2d({ padding: [1, 2] })],
  [
    "pad an image, each side",
    [3, 4, 2],
    () =>
      l.zeroPadding2d({
        padding: [
          [1, 0],
          [2, 3],
        ],
      }),
  ],
  ["pad a series", [5, 2], () => keras.zeroPadding1d({ padding: 2 })],
  ["pad a series before it", [5, 2], () => keras.zeroPadding1d({ padding: [3, 0] })],
  [
    "crop an image",
    [4, 5, 2],
    () =>
      l.cropping2D({
        cropping: [
          [1, 0],
          [0, 2],
        ],
      }),
  ],
  ["crop a series", [7, 2], () => keras.cropping1d({ cropping: 2 })],
  ["crop a series behind it", [7, 2], () => keras.cropping1d({ cropping: [0, 3] })],
];

describe("layers that change shape", () => {
  it.each(CASES)("%s: outputs and gradients of tfjs", async (name, inputShape, make) => {
    // Reshaping fixes the number of values.
    for (const channels of name.startsWith("reshape") ? [5] : [5, 4, 1])
      await expectSameAsTfjs(between(inputShape, channels, make()));
  });

  it("the open size of a reshape follows from the others", async () => {
    // tfjs leaves it open, so that no other layer can be behind it; its file then has null.
    const layers = [l.dense({ units: 5, inputShape: [6, 2] }), l.reshape({ targetShape: [3, -1] })];
    await expectSameAsTfjs(tf.sequential({ layers }));
    const { plan } = await machineFor(sequential([6, 2], layer("Reshape", { target_shape: [-1, 4, 1] })));
    expect(plan.outputShape).toEqual([3, 4, 1]);
  });

  it("tfjs's own upsampling of an oblong is the same going forward", async () => {
    for (const interpolation of ["nearest", "bilinear"] as const) {
      const upsampling = l.upSampling2d({ size: [2, 3], interpolation, inputShape: [3, 4, 2] });
      await expectSameAsTfjs(tf.sequential({ layers: [upsampling, l.dense({ units: 2 })] }));
    }
  });

  it("a long row is copied whole", async () => {
    await expectSameAsTfjs(between([2, 3, 1], 83, l.zeroPadding2d({ padding: 1 })));
    await expectSameAsTfjs(between([2, 3, 1], 83, l.permute({ dims: [2, 1, 3] })));
  });

  it("works on what a recurrent layer leaves in time order, and before one", async () => {
    const recurrent = (units: number) =>
      l.gru({ units, returnSequences: true, recurrentActivation: "sigmoid" });
    for (const middle of [
      [l.flatten(), l.reshape({ targetShape: [4, 9] })],
      [l.permute({ dims: [2, 1] })],
      [keras.zeroPadding1d({ padding: 1 }), keras.cropping1d({ cropping: [0, 1] })],
    ]) {
      const layers = [
        l.gru({ units: 6, returnSequences: true, recurrentActivation: "sigmoid", inputShape: [6, 2] }),
        ...middle,
        recurrent(5),
        l.flatten(),
        l.repeatVector({ n: 3 }),
        recurrent(4),
      ];
      await expectSameAsTfjs(tf.sequential({ layers }));
    }
  });

  it("one flattened tensor and its source are both used", async () => {
    const x = tf.input({ shape: [4, 3] });
    const h = l.dense({ units: 5, activation: "tanh" }).apply(x) as tf.SymbolicTensor;
    const flat = l.flatten().apply(h) as tf.SymbolicTensor;
    const outputs = [
      l.dense({ units: 3 }).apply(flat) as tf.SymbolicTensor,
      l.dense({ units: 2 }).apply(h) as tf.SymbolicTensor,
      flat,
      l.reshape({ targetShape: [10, 2] }).apply(flat) as tf.SymbolicTensor,
      h,
    ];
    await expectSameAsTfjs(tf.model({ inputs: x, outputs }));
  });

  it("flattening costs no memory", async () => {
    const arena = async (...layers: ReturnType<typeof layer>[]) => {
      const machine = await machineFor(sequential([9, 7], layer("Dense", { units: 1000 }), ...layers));
      return machine.arenaBytes;
    };
    const values = 32 * 9 * 1000 * 4;
    const row = 9 * 1000 * 4; // of stepping
    expect((await arena(layer("Flatten"))) - (await arena())).toBeLessThan(values + row);
    expect((await arena(layer("UpSampling1D", { size: 1 }))) - (await arena())).toBeGreaterThan(
      2 * values - 1,
    );
  });

  it("a flat row can be stepped through", async () => {
    const model = await compile(
      sequential([4, 3], layer("GRU", { units: 5 }), layer("Flatten"), layer("Dense", { units: 2 })),
      { seed: 1 },
    );
    const x = randomFloats(12, 1);
    const stepper = model.stepper();
    let last = new Float32Array();
    for (let t = 0; t < 4; t++) last = stepper.step(x.subarray(t * 3, t * 3 + 3)).slice();
    const expected = model.predict(x);
    expect([...last].map((value, i) => Math.abs(value - expected[i]!) < 1e-5)).toEqual([true, true]);
  });

  it.each([
    ["values that do not fill a shape", [4, 3], "Reshape", { target_shape: [5, -1] }, "BAD_INPUT"],
    ["two open sizes", [4, 3], "Reshape", { target_shape: [-1, -1] }, "BAD_INPUT"],
    ["a permutation with an axis twice", [4, 3], "Permute", { dims: [1, 1] }, "BAD_INPUT"],
    ["a permutation of other axes", [4, 3], "Permute", { dims: [3, 2, 1] }, "BAD_INPUT"],
    ["a permutation of many axes", [2, 2, 2, 2, 2], "Permute", { dims: [5, 4, 3, 2, 1] }, "UNSUPPORTED"],
    ["a repeated series", [4, 3], "RepeatVector", { n: 2 }, "BAD_INPUT"],
    ["cropping all", [4, 3], "Cropping1D", { cropping: 2 }, "BAD_INPUT"],
    ["another data format", [4, 3, 2], "UpSampling2D", { data_format: "channels_first" }, "UNSUPPORTED"],
    ["another interpolation", [4, 3, 2], "UpSampling2D", { interpolation: "bicubic" }, "UNSUPPORTED"],
    ["a negative padding", [4, 3], "ZeroPadding1D", { padding: -1 }, "UNSUPPORTED"],
    ["an unknown option", [4, 3], "Flatten", { order: "F" }, "UNSUPPORTED"],
  ] as const)("%s is refused", async (_, shape, className, config, code) => {
    await expect(machineFor(sequential(shape, layer(className, config)))).rejects.toMatchObject({ code });
  });
});
