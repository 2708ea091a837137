import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { readTopology, withTopology } from "../../cli/config/topology-file.ts";
import { chooseDetectors } from "../../cli/evaluate/detector-specs.ts";
import { writePlant } from "../../models/data/plant.ts";
import { blueprintFor } from "../../models/detectors/catalog.ts";
import { compile } from "../../models/engine/compile.ts";
import { exportKeras } from "../../models/engine/files/keras.ts";
import { DetectorSpec } from "../../protocol/task.ts";
import { isBuilt, starling } from "./starling.ts";

let folder: string;
let network: unknown;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "starling-topology-"));
  network = await blueprintFor(DetectorSpec.parse({ name: "cnn-autoencoder", window: 16 }), 6);
});
afterAll(() => rm(folder, { recursive: true, force: true }));

async function written(name: string, content: string | Uint8Array): Promise<string> {
  const file = join(folder, name);
  await writeFile(file, content);
  return file;
}

describe("--topology", () => {
  it("takes the network of LayersModel JSON, tfjs' model.json and Keras' .keras, each to the same weights", async () => {
    const model = await compile(network, { seed: 1 });
    const files = [
      await written("network.json", JSON.stringify(network, undefined, 2)),
      await written(
        "model.json",
        JSON.stringify({ format: "layers-model", modelTopology: network, weightsManifest: [] }),
      ),
      await written("model.keras", await exportKeras(model)),
    ];
    const shapes = model.layout.map(({ shape }) => shape);
    model.dispose();
    for (const file of files) {
      const text = await readTopology(file);
      expect(text).not.toMatch(/\n/);
      const again = await compile(JSON.parse(text), { seed: 1 });
      expect(again.layout.map(({ shape }) => shape)).toEqual(shapes);
      again.dispose();
    }
    const spec = await withTopology(DetectorSpec.parse({ name: "layers-model" }), files[0]!);
    expect(spec.topology).toBe(await readTopology(files[0]!));
  });

  it("refuses what is no network, one that a task can't carry and a detector that takes none, in one sentence", async () => {
    const refusals = [
      [join(folder, "none.json"), /--topology .*none\.json: can't be read .*check the path/],
      [await written("text.json", "hello"), /text\.json: the topology is not JSON/],
      [await written("zip.keras", Uint8Array.of(0x50, 0x4b, 3, 4)), /zip\.keras: this is neither a \.keras/],
      [await written("empty.json", "{}"), /empty\.json: /],
    ] as const;
    for (const [file, message] of refusals)
      await expect(readTopology(file)).rejects.toMatchObject({
        code: "BAD_INPUT",
        message: expect.stringMatching(message),
      });
    const wide = JSON.parse(JSON.stringify(network)) as { config: { name: string } };
    wide.config.name = "n".repeat(12_000);
    await expect(readTopology(await written("wide.json", JSON.stringify(wide)))).rejects.toThrow(
      /takes \d+ characters of JSON and a task carries 12000; give a smaller one/,
    );
    await expect(withTopology(DetectorSpec.parse({}), "any.json")).rejects.toThrow(
      /--topology is for the detector layers-model, and this is cnn-forecaster/,
    );
    const of = { kind: "series", classes: 0 } as const;
    const choose = (names: string[]) =>
      chooseDetectors(DetectorSpec.parse({}), { names, options: [], of, topology: "{}" });
    await expect(choose(["var"])).rejects.toThrow(/which --detector does not name/);
    const [own, other] = await choose(["layers-model", "var"]);
    expect([own!.spec.topology, other!.spec.topology]).toEqual(["{}", undefined]);
  });

  it.skipIf(!isBuilt)("a network of one's own is judged by starling evaluate", async () => {
    const data = join(folder, "plant");
    await writePlant(data, { seed: 1, stations: 1, trainRows: 800, testRows: 800 });
    const file = await written("own.json", JSON.stringify(network));
    const args = ["evaluate", "--data", data, "--detector", "layers-model", "--window", "16"];
    const more = ["--seeds", "1", "--rounds", "1", "--epochs", "1", "--arms", "local"];
    const done = await starling([...args, ...more, "--topology", file]);
    expect(done).toMatchObject({ code: 0 });
    expect(done.stdout).toMatch(/^layers-model +local +0\.\d{3} /m);
    const wrong = await starling([...args, ...more, "--topology", join(folder, "none.json")]);
    expect(wrong).toMatchObject({ code: 2, stderr: expect.stringMatching(/can't be read/) });
  });
});
