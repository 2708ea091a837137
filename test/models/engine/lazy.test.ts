import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { describe, expect, it } from "vitest";
import { layerNames, loadLayerKinds } from "../../../models/engine/layers/registry.ts";
import { layer, sequential } from "./support.ts";

const dist = new URL("../../../dist/", import.meta.url);

/** A hook of Node's loader, which says what it loads. */
const hook = `
  import { writeSync } from "node:fs";
  export function load(url, context, next) {
    writeSync(1, url + "\\n");
    return next(url, context);
  }`;
const dataUrl = (code: string) => `data:text/javascript,${encodeURIComponent(code)}`;
const registering = dataUrl(
  `import { register } from "node:module"; register(${JSON.stringify(dataUrl(hook))});`,
);

/** Our files, from dist/, that a fresh process loads for this code. */
async function loaded(code: string): Promise<string[]> {
  const args = ["--import", registering, "--input-type=module", "--eval", code];
  const { stdout } = await promisify(execFile)(process.execPath, args, { cwd: fileURLToPath(dist) });
  return stdout
    .split("\n")
    .filter((url) => url.startsWith(dist.href))
    .map((url) => url.slice(dist.href.length));
}

const layerFiles = /^models\/engine\/layers\/(?!layer|registry|config|reorder)/;

describe("what is not asked for is not loaded", () => {
  it("the engine comes without a single layer, and without the tfjs engine", async () => {
    const files = await loaded(`await import("./models/engine/index.js")`);
    expect(files).toContain("models/engine/compile.js");
    expect(files.filter((file) => layerFiles.test(file) || file.startsWith("models/engine/tfjs/"))).toEqual(
      [],
    );
  });

  it("a network brings its own layers, and what those are made of", async () => {
    const network = sequential([5, 3], layer("GRU", { units: 4 }), layer("Dense", { units: 2 }));
    const files = await loaded(`
      const { compile } = await import("./models/engine/index.js");
      await compile(${JSON.stringify(network)}, { seed: 1 });`);
    expect(files).toContain("models/engine/layers/gru.js");
    expect(files).toContain("models/engine/layers/dense.js");
    expect(
      files.filter((file) => /layers\/(lstm|conv|attention|multi-head-attention)\.js$/.test(file)),
    ).toEqual([]);
  });

  it("an agent and its training thread come without readers of model files, quantizer and tfjs engine", async () => {
    const files = await loaded(`
      await import("./agent/index.js");
      await import("./agent/trainer-worker.js");`);
    expect(files).toContain("models/detectors/open.js");
    expect(files.filter((file) => /engine\/(files|tfjs|quantize|worker)/.test(file))).toEqual([]);
  });
});

describe("the registry", () => {
  it("each of its names loads a layer, and a name that the engine lacks loads none", async () => {
    const kinds = await loadLayerKinds([...layerNames, "NoSuchLayer", "constructor"]);
    expect([...kinds.keys()].sort()).toEqual([...layerNames].sort());
    expect([...kinds.values()].every((kind) => typeof kind === "function")).toBe(true);
  });
});
