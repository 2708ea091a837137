import { readFileSync } from "node:fs";
import { join } from "node:path";
import { unzipSync, zipSync } from "fflate";
import { describe, expect, it } from "vitest";
import { withHdf5 } from "../../../models/engine/files/hdf5.ts";
import { importKeras, loadKeras } from "../../../models/engine/files/index.ts";
import { kerasTensors } from "../../../models/engine/files/keras-groups.ts";
import { relativeError } from "./support.ts";

const folder = join(import.meta.dirname, "../../fixtures/keras");
const expected: Record<string, { x: number[]; y: number[] }> = JSON.parse(
  readFileSync(join(folder, "expected.json"), "utf8"),
);

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
