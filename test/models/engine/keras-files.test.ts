import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { unzipSync, zipSync } from "fflate";
import { describe, expect, it } from "vitest";
import { withHdf5 } from "../../../models/engine/files/hdf5.ts";
import { exportKeras, importKeras, loadKeras, saveKeras } from "../../../models/engine/files/index.ts";
import { kerasTensors } from "../../../models/engine/files/keras-groups.ts";
import { compile, type Model } from "../../../models/engine/index.ts";
import { sizeOf } from "../../../models/engine/shape.ts";
import { layer, randomFloats, relativeError, sequential } from "./support.ts";

const root = join(import.meta.dirname, "../../..");
const python = join(root, ".peers/keras/bin/python");
if (!existsSync(python))
  console.warn("skipped: to open our .keras files in Keras, run `node bench/peers/install.mjs engine` first");

const folder = join(import.meta.dirname, "../../fixtures/keras");
const expected: Record<string, { x: number[]; y: number[] }> = JSON.parse(
  readFileSync(join(folder, "expected.json"), "utf8"),
);

const seq = { return_sequences: true };
const nested = (class_name: string, config: object) => ({ class_name, config });
const placed = (class_name: string, name: string, config: object, from: readonly string[], call = {}) => ({
  class_name,
  name,
  config: { name, ...config },
  inbound_nodes: from.length === 0 ? [] : [from.map((source, i) => [source, 0, 0, i === 0 ? call : {}])],
});

/** Models in the words of tfjs, and some that came from Keras. */
const EXPORTED: [string, () => Promise<Model>][] = [
  [
    "recurrent, and layers inside layers",
    () =>
      fresh(
        sequential(
          [5, 3],
          layer("Bidirectional", {
            layer: nested("GRU", { name: "g", units: 3, recurrent_activation: "sigmoid", ...seq }),
          }),
          layer("BatchNormalization", {}),
          layer("SpatialDropout1D", { rate: 0.2 }),
          layer("TimeDistributed", { layer: nested("Dense", { units: 4, activation: "swish" }) }),
          layer("LSTM", { units: 4, implementation: 1, ...seq }),
          layer("RNN", { units: 3, cell: nested("GRUCell", { units: 3, recurrent_activation: "sigmoid" }) }),
          layer("PReLU", { alpha_initializer: { class_name: "Zeros", config: {} } }),
          layer("LeakyReLU", { alpha: 0.2 }),
          layer("Dense", {
            units: 2,
            activation: "softmax",
            kernel_regularizer: nested("L1L2", { l1: 0.1, l2: 0 }),
          }),
        ),
      ),
  ],
  [
    "convolutions over images",
    () =>
      fresh(
        sequential(
          [8, 7, 2],
          layer("Conv2D", { filters: 3, kernel_size: 3, padding: "same", activation: "elu" }),
          layer("DepthwiseConv2D", { kernel_size: [2, 2] }),
          layer("SeparableConv2D", { filters: 4, kernel_size: 3, padding: "same" }),
          layer("MaxPooling2D", { pool_size: [2, 2] }),
          layer("Conv2DTranspose", { filters: 2, kernel_size: 3, strides: [2, 2] }),
          layer("LayerNormalization", {}),
          layer("Flatten", {}),
          layer("Dense", { units: 2 }),
        ),
      ),
  ],
  [
    "a graph with attention",
    () =>
      fresh({
        class_name: "Model",
        config: {
          name: "graph",
          layers: [
            placed("InputLayer", "q", { batch_input_shape: [null, 4, 6] }, []),
            placed("MultiHeadAttention", "heads", { num_heads: 2, key_dim: 3 }, ["q", "q"], {
              use_causal_mask: true,
            }),
            placed("Attention", "plain", { use_scale: true }, ["q", "heads"]),
            placed("Add", "sum", {}, ["q", "heads", "plain"]),
            placed("Dense", "out", { units: 2 }, ["sum"]),
          ],
          input_layers: [["q", 0, 0]],
          output_layers: [["out", 0, 0]],
        },
      }),
  ],
  ...["wrapped.keras", "recurrent.keras", "nested.keras", "nested.h5", "nested-keras2.h5"].map(
    (name): [string, () => Promise<Model>] => [name, () => loadKeras(join(folder, name))],
  ),
];

async function fresh(topology: unknown): Promise<Model> {
  const model = await compile(topology, { seed: 7 });
  model.setWeights(randomFloats(model.parameters, 3, 0.4).map((value) => Math.abs(value) + 0.05));
  return model;
}

describe("Keras files", () => {
  it.each([
    "recurrent.keras",
    "recurrent-keras2.keras",
    "nested.keras",
    "nested.h5",
    "nested-keras2.keras",
    "nested-keras2.h5",
    "wrapped.keras",
  ])("%s gives the predictions that Keras gave", async (name) => {
    const model = await loadKeras(join(folder, name));
    const { x, y } = expected[name]!;
    expect(relativeError(model.predict(Float32Array.from(x)), y)).toBeLessThan(1e-5);
  });

  it("weights of layers inside layers come in the order in which the layers have them", async () => {
    const parts = unzipSync(readFileSync(join(folder, "wrapped.keras")));
    const topology = JSON.parse(new TextDecoder().decode(parts["config.json"]));
    const tensors = await withHdf5(parts["model.weights.h5"]!, (file) => kerasTensors(topology, file));
    const names = [...tensors].flatMap(([layer, list]) => list.map(({ name }) => `${layer}: ${name}`));
    expect(names).toEqual([
      "conv1d: layers/conv1d/vars/0",
      "conv1d: layers/conv1d/vars/1",
      ...[0, 1, 2, 3].map((i) => `batch_normalization: layers/batch_normalization/vars/${i}`),
      ...["forward", "backward"].flatMap((side) =>
        [0, 1, 2].map((i) => `bidirectional: layers/bidirectional/${side}_layer/cell/vars/${i}`),
      ),
      ...["query", "key", "value", "output"].flatMap((part) =>
        [0, 1].map((i) => `multi_head_attention: layers/multi_head_attention/${part}_dense/vars/${i}`),
      ),
      ...[0, 1].map((i) => `layer_normalization: layers/layer_normalization/vars/${i}`),
      ...[0, 1].map((i) => `time_distributed: layers/time_distributed/layer/vars/${i}`),
      ...[0, 1].map((i) => `dense_6: layers/dense/vars/${i}`),
    ]);
  });

  it.each(EXPORTED)("a .keras file of our own is read back bit by bit: %s", async (_, make) => {
    const model = await make();
    const again = await importKeras(await exportKeras(model));
    expect(again.layout).toEqual(model.layout);
    expect(again.weights()).toEqual(model.weights());
    const x = randomFloats(2 * sizeOf(model.inputShape), 1);
    expect(again.predict(x)).toEqual(model.predict(x));
  });

  it.skipIf(!existsSync(python))(
    "Keras opens our .keras files and predicts the same",
    { timeout: 120_000 },
    async () => {
      const files = mkdtempSync(join(tmpdir(), "starling-keras-"));
      const predictions: Float32Array[] = [];
      const jobs: object[] = [];
      for (const [i, [, make]] of EXPORTED.entries()) {
        const model = await make();
        const x = randomFloats(3 * sizeOf(model.inputShape), 1);
        predictions.push(model.predict(x));
        jobs.push({ path: join(files, `${i}.keras`), x: [...x], shape: [3, ...model.inputShape] });
        await saveKeras(model, join(files, `${i}.keras`));
      }
      const output = execFileSync(python, [join(folder, "predict.py")], {
        input: JSON.stringify(jobs),
        encoding: "utf8",
        stdio: ["pipe", "pipe", "ignore"],
      });
      rmSync(files, { recursive: true });
      const theirs: number[][] = JSON.parse(output.trim().split("\n").at(-1)!);
      EXPORTED.forEach(([name], i) => {
        expect(relativeError(predictions[i]!, theirs[i]!), name).toBeLessThan(1e-5);
      });
    },
  );

  it.each([
    ["ThresholdedReLU", sequential([2], layer("ThresholdedReLU", {}))],
    [
      "hard_sigmoid as Keras 2 has it",
      sequential([2], layer("Dense", { units: 1, activation: "hard_sigmoid" })),
    ],
  ])("what Keras 3 lacks is not exported: %s", async (words, topology) => {
    const model = await compile(topology, { seed: 1 });
    await expect(exportKeras(model)).rejects.toThrow(
      expect.objectContaining({ code: "UNSUPPORTED", message: expect.stringContaining(words) }),
    );
  });

  it("what is no Keras file is refused in a sentence", async () => {
    const bytes = (text: string) => new TextEncoder().encode(text);
    const parts = unzipSync(readFileSync(join(folder, "nested.keras")));
    for (const [file, words] of [
      [new Uint8Array(0), "neither"],
      [bytes("PK nonsense"), "neither"],
      [zipSync({ "config.json": parts["config.json"]! }), "neither"],
      [zipSync({ "config.json": parts["config.json"]!, "model.weights.h5": bytes("nothing") }), "HDF5"],
      [parts["model.weights.h5"]!, "weights only"],
    ] as const)
      await expect(importKeras(file)).rejects.toThrow(
        expect.objectContaining({ code: "BAD_INPUT", message: expect.stringContaining(words) }),
      );
  });

  it("weights of another model are refused", async () => {
    const own = unzipSync(readFileSync(join(folder, "nested.keras")));
    const other = unzipSync(readFileSync(join(folder, "recurrent.keras")));
    await expect(
      importKeras(
        zipSync({ "config.json": own["config.json"]!, "model.weights.h5": other["model.weights.h5"]! }),
      ),
    ).rejects.toThrow(/has shape|no weight for|weights for layer/);
  });
});
