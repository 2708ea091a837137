import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as tf from "@tensorflow/tfjs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { exportTfjs, importTfjs, loadKeras, loadTfjs, saveTfjs } from "../../../models/engine/files/index.ts";
import { TFJS_LAYERS } from "../../../models/engine/files/tfjs-topology.ts";
import { compile } from "../../../models/engine/index.ts";
import { layerNames } from "../../../models/engine/layers/registry.ts";
import { layer, randomFloats, relativeError, sequential } from "./support.ts";

let folder: string;
beforeAll(async () => {
  await tf.setBackend("cpu");
  folder = await mkdtemp(join(tmpdir(), "starling-files-"));
});
afterAll(() => rm(folder, { recursive: true }));

const { dense, gru, lstm } = tf.layers;
const MODELS: [string, () => tf.LayersModel][] = [
  [
    "sequential",
    () =>
      tf.sequential({
        layers: [
          gru({ units: 4, inputShape: [5, 3], returnSequences: true }),
          lstm({ units: 3 }),
          tf.layers.dropout({ rate: 0.5 }),
          tf.layers.prelu(),
          dense({ units: 2, activation: "hardSigmoid", kernelRegularizer: "l1l2" }),
        ],
      }),
  ],
  [
    "convolutional",
    () =>
      tf.sequential({
        layers: [
          tf.layers.conv2d({ filters: 3, kernelSize: 3, padding: "same", inputShape: [8, 7, 2] }),
          tf.layers.batchNormalization(),
          tf.layers.reLU({ maxValue: 6 }),
          tf.layers.depthwiseConv2d({ kernelSize: 2 }),
          tf.layers.separableConv2d({ filters: 4, kernelSize: 3, padding: "same" }),
          tf.layers.maxPooling2d({ poolSize: 2 }),
          tf.layers.upSampling2d({ size: [2, 2], interpolation: "bilinear" }),
          tf.layers.conv2dTranspose({ filters: 2, kernelSize: 3, strides: 2 }),
          tf.layers.zeroPadding2d(),
          tf.layers.layerNormalization(),
          tf.layers.flatten(),
          dense({ units: 6 }),
          tf.layers.reshape({ targetShape: [3, 2] }),
          tf.layers.bidirectional({ layer: gru({ units: 2 }), mergeMode: "sum" }),
        ],
      }),
  ],
  [
    "functional, with a model inside and two outputs",
    () => {
      const inner = tf.sequential({ layers: [dense({ units: 4, inputShape: [3] }), dense({ units: 3 })] });
      const x = tf.input({ shape: [3] });
      const h = inner.apply(inner.apply(x)) as tf.SymbolicTensor;
      const y = dense({ units: 2, activation: "softmax" }).apply(h) as tf.SymbolicTensor;
      return tf.model({ inputs: x, outputs: [y, h] });
    },
  ],
];

/** What tfjs gives to whoever saves. */
async function saved(model: tf.LayersModel): Promise<tf.io.ModelArtifacts> {
  const taken: tf.io.ModelArtifacts[] = [];
  await model.save(
    tf.io.withSaveHandler(async (artifacts) => {
      taken.push(artifacts);
      return { modelArtifactsInfo: { dateSaved: new Date(), modelTopologyType: "JSON" } };
    }),
  );
  return taken[0]!;
}

/** As tfjs lays it out in files. */
function filesOf({ modelTopology, weightSpecs, weightData }: tf.io.ModelArtifacts) {
  const weightsManifest = [{ paths: ["weights.bin"], weights: weightSpecs! }];
  return {
    modelJson: { modelTopology, format: "layers-model", weightsManifest },
    weightData: weightData as ArrayBuffer,
  };
}

const list = <T>(value: T | T[]): T[] => (Array.isArray(value) ? value : [value]);
function predictions(model: tf.LayersModel, x: Float32Array): Float32Array[] {
  const shape = model.inputs[0]!.shape.slice(1) as number[];
  const outputs = model.predict(
    tf.tensor(
      x,
      [-1, ...shape].map((n) => (n < 0 ? 6 : n)),
    ),
  ) as tf.Tensor;
  return list<tf.Tensor>(outputs).map((tensor) => tensor.dataSync() as Float32Array);
}
const inputOf = (model: { inputShape: readonly number[] }) =>
  randomFloats(6 * model.inputShape.reduce((a, b) => a * b, 1), 1, 2);

describe("tfjs files", () => {
  it.each(MODELS)("a %s model that tfjs saved gives the same predictions in the engine", async (_, make) => {
    const theirs = make();
    const files = filesOf(await saved(theirs));
    for (const modelJson of [files.modelJson, JSON.stringify(files.modelJson)]) {
      const ours = await importTfjs({ ...files, modelJson });
      const x = inputOf(ours);
      const expected = predictions(theirs, x);
      ours.predictAll(x).forEach((output, i) => {
        expect(relativeError(output, expected[i]!)).toBeLessThan(1e-5);
      });
      expect(ours.weights().length).toBe(theirs.countParams());
    }
  });

  it.each(MODELS)(
    "a %s model that the engine exports opens in tfjs with the same predictions",
    async (_, make) => {
      const ours = await compile(make().toJSON(null, false), { seed: 5 });
      const { modelJson, weightData } = exportTfjs(ours);
      const { modelTopology, weightsManifest } = modelJson as tf.io.ModelJSON;
      const theirs = await tf.loadLayersModel(
        tf.io.fromMemory({
          modelTopology: modelTopology as object,
          weightSpecs: weightsManifest[0]!.weights,
          weightData: weightData.buffer as ArrayBuffer,
        }),
      );
      const x = inputOf(ours);
      const got = ours.predictAll(x);
      predictions(theirs, x).forEach((output, i) => {
        expect(relativeError(got[i]!, output)).toBeLessThan(1e-5);
      });
    },
  );

  it("the list of layers that tfjs has is that of tfjs", () => {
    const theirs = Object.keys(tf.serialization.SerializationMap.getMap().classNameMap);
    const cells = ["GRUCell", "LSTMCell", "SimpleRNNCell"];
    const both = [...layerNames, ...cells].filter((name) => theirs.includes(name));
    expect(both.filter((name) => !TFJS_LAYERS.has(name))).toEqual([]);
    expect([...TFJS_LAYERS].filter((name) => !both.includes(name))).toEqual([]);
  });

  it("a topology in the words of Keras 3 is put into those of tfjs", async () => {
    const policy = { module: "keras", class_name: "DTypePolicy", config: { name: "float32" } };
    const tensor = (name: string) => ({
      class_name: "__keras_tensor__",
      config: { shape: [null, 3], dtype: "float32", keras_history: [name, 0, 0] },
    });
    const placed = (class_name: string, name: string, config: object, from: string[]) => ({
      module: "keras.layers",
      class_name,
      registered_name: null,
      name,
      config: { name, ...config },
      inbound_nodes: from.length === 0 ? [] : [{ args: from.map(tensor), kwargs: {} }],
    });
    const topology = {
      module: "keras",
      class_name: "Functional",
      config: {
        name: "k3",
        layers: [
          placed("InputLayer", "in", { batch_shape: [null, 3], dtype: "float32", sparse: false }, []),
          placed("Dense", "d", { units: 2, activation: "silu", dtype: policy }, ["in"]),
          placed("LeakyReLU", "l", { negative_slope: 0.2, dtype: policy }, ["d"]),
        ],
        input_layers: ["in", 0, 0],
        output_layers: ["l", 0, 0],
      },
    };
    const ours = await compile(topology, { seed: 3 });
    const { modelJson, weightData } = exportTfjs(ours);
    const { modelTopology, weightsManifest } = modelJson as tf.io.ModelJSON;
    const theirs = await tf.loadLayersModel(
      tf.io.fromMemory({
        modelTopology: modelTopology as object,
        weightSpecs: weightsManifest[0]!.weights,
        weightData: weightData.buffer as ArrayBuffer,
      }),
    );
    const x = inputOf(ours);
    expect(relativeError(ours.predict(x), predictions(theirs, x)[0]!)).toBeLessThan(1e-5);
  });

  it("a model of Keras 3 with a model inside, called twice, goes through the engine to tfjs", async () => {
    const name = "nested.keras";
    const fixtures = join(import.meta.dirname, "../../fixtures/keras");
    const expected = JSON.parse(await readFile(join(fixtures, "expected.json"), "utf8"))[name];
    const ours = await loadKeras(join(fixtures, name));
    const { modelJson, weightData } = exportTfjs(ours);
    const { modelTopology, weightsManifest } = modelJson as tf.io.ModelJSON;
    const theirs = await tf.loadLayersModel(
      tf.io.fromMemory({
        modelTopology: modelTopology as object,
        weightSpecs: weightsManifest[0]!.weights,
        weightData: weightData.buffer as ArrayBuffer,
      }),
    );
    const y = theirs.predict(tf.tensor(expected.x, [3, 5])) as tf.Tensor;
    expect(relativeError(y.dataSync(), expected.y)).toBeLessThan(1e-5);
  });

  it("a folder that was saved is loaded again bit by bit, from several shards too", async () => {
    const ours = await compile(MODELS[0]![1]().toJSON(null, false), { seed: 9 });
    const path = join(folder, "saved");
    await saveTfjs(ours, path);
    expect((await loadTfjs(path)).weights()).toEqual(ours.weights());

    const bytes = await readFile(join(path, "weights.bin"));
    const json = JSON.parse(await readFile(join(path, "model.json"), "utf8"));
    json.weightsManifest[0].paths = ["a.bin", "b.bin"];
    await writeFile(join(path, "model.json"), JSON.stringify(json));
    await writeFile(join(path, "a.bin"), bytes.subarray(0, 101)); // inside a float
    await writeFile(join(path, "b.bin"), bytes.subarray(101));
    expect((await loadTfjs(join(path, "model.json"))).weights()).toEqual(ours.weights());
  });

  it("quantised weights are what scale, minimum and half precision make of them", async () => {
    const topology = sequential(
      [2],
      layer("Dense", { name: "d", units: 2 }),
      layer("Dense", { name: "e", units: 1 }),
    );
    const weights = [
      {
        name: "d/kernel",
        shape: [2, 2],
        dtype: "float32",
        quantization: { dtype: "uint8", scale: 0.5, min: -10 },
      },
      {
        name: "d/bias",
        shape: [2],
        dtype: "float32",
        quantization: { dtype: "uint16", scale: 0.001, min: 1 },
      },
      { name: "e/kernel", shape: [2, 1], dtype: "float32", quantization: { dtype: "float16" } },
      { name: "e/bias", shape: [1], dtype: "float32" },
    ];
    const bytes = Buffer.alloc(4 + 4 + 4 + 4);
    bytes.set([0, 1, 20, 255], 0);
    bytes.writeUInt16LE(0, 4);
    bytes.writeUInt16LE(50_000, 6);
    bytes.writeUInt16LE(0xc100, 8); // -2.5
    bytes.writeUInt16LE(0x0001, 10); // the smallest of all, 2^-24
    bytes.writeFloatLE(7.25, 12);
    const modelJson = { modelTopology: topology, weightsManifest: [{ paths: ["w"], weights }] };
    const model = await importTfjs({ modelJson, weightData: bytes });
    expect(relativeError(model.weights(), [-10, -9.5, 0, 117.5, 1, 51, -2.5, 2 ** -24, 7.25])).toBeLessThan(
      1e-7,
    );
    expect(model.weights()[7]).toBe(2 ** -24);
  });

  it("weights are found by name, in any order, under the names of Keras' converter too", async () => {
    const topology = sequential([3, 2], layer("GRU", { name: "g", units: 1 }));
    const weights = [
      { name: "g/gru_cell/bias", shape: [3], dtype: "float32" },
      { name: "g/gru_cell/recurrent_kernel", shape: [1, 3], dtype: "float32" },
      { name: "g/gru_cell/kernel", shape: [2, 3], dtype: "float32" },
      { name: "training/Adam/m", shape: [2], dtype: "float32", group: "optimizer" },
    ];
    const modelJson = { modelTopology: topology, weightsManifest: [{ paths: ["w"], weights }] };
    const weightData = Float32Array.from({ length: 14 }, (_, i) => i).buffer;
    const model = await importTfjs({ modelJson, weightData });
    expect([...model.weights()]).toEqual([6, 7, 8, 9, 10, 11, 3, 4, 5, 0, 1, 2]);
  });

  const simple = sequential([2], layer("Dense", { name: "d", units: 1 }));
  const spec = (name: string, shape: number[], dtype = "float32") => ({ name, shape, dtype });
  it.each([
    ["a weight is missing", [spec("d/kernel", [2, 1])], 2, "BAD_INPUT", "d/bias"],
    [
      "a weight is one too many",
      [spec("d/kernel", [2, 1]), spec("d/bias", [1]), spec("q/r/s", [1])],
      4,
      "BAD_INPUT",
      "q/r/s",
    ],
    ["a shape is another", [spec("d/kernel", [1, 2]), spec("d/bias", [1])], 3, "BAD_SHAPE", "(1, 2)"],
    [
      "the weights are cut short",
      [spec("d/kernel", [2, 1]), spec("d/bias", [1])],
      2,
      "BAD_INPUT",
      "cut short",
    ],
    [
      "there are too many bytes",
      [spec("d/kernel", [2, 1]), spec("d/bias", [1])],
      5,
      "BAD_INPUT",
      "not of one model",
    ],
    [
      "a weight is no float",
      [spec("d/kernel", [2, 1], "int32"), spec("d/bias", [1])],
      3,
      "UNSUPPORTED",
      "int32",
    ],
  ])("where %s, the file is refused", async (_, weights, floats, code, words) => {
    const modelJson = { modelTopology: simple, weightsManifest: [{ paths: ["w"], weights }] };
    await expect(importTfjs({ modelJson, weightData: new ArrayBuffer(4 * floats) })).rejects.toThrow(
      expect.objectContaining({ code, message: expect.stringContaining(words) }),
    );
  });

  it("a shard outside the folder is refused", async () => {
    const path = join(folder, "model.json");
    for (const shard of ["../secret", "/etc/passwd", "a/../../b"]) {
      const weightsManifest = [{ paths: [shard], weights: [] }];
      await writeFile(path, JSON.stringify({ modelTopology: simple, weightsManifest }));
      await expect(loadTfjs(path)).rejects.toThrow("not beside it");
    }
  });

  it.each([
    ["SpatialDropout2D", sequential([2, 2, 1], layer("SpatialDropout2D", { rate: 0.1 }))],
    ["reset_after", sequential([2, 2], layer("GRU", { units: 1, reset_after: true }))],
    ["exponential", sequential([2], layer("Dense", { units: 1, activation: "exponential" }))],
  ])("what tfjs lacks is not exported: %s", async (words, topology) => {
    const model = await compile(topology, { seed: 1 });
    expect(() => exportTfjs(model)).toThrow(
      expect.objectContaining({ code: "UNSUPPORTED", message: expect.stringContaining(words) }),
    );
  });
});
