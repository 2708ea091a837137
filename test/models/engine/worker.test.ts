import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { afterEach, describe, expect, it } from "vitest";
import {
  compile,
  type EngineWorker,
  type EpochEvent,
  type FitOptions,
  openEngineWorker,
} from "../../../models/engine/index.ts";
import { layer, randomFloats, relativeError, sequential } from "./support.ts";

const script = new URL("../../../dist/models/engine/worker/thread.js", import.meta.url);
const isBuilt = existsSync(fileURLToPath(script));
if (!isBuilt) console.warn("skipped: the engine's thread needs dist/: run `npm run build` (npm test does)");

const code = (value: string) => expect.objectContaining({ code: value });
const TOPOLOGY = sequential([6, 3], layer("GRU", { units: 5 }), layer("Dense", { units: 2 }));
const OPTIONS = {
  epochs: 3,
  batchSize: 8,
  optimizer: { name: "adam", learningRate: 0.01 },
  loss: "mse",
  seed: 1,
} as const satisfies FitOptions;
const data = () => [randomFloats(50 * 18, 1), randomFloats(100, 2)] as const;

const open: EngineWorker[] = [];
afterEach(async () => {
  await Promise.all(open.splice(0).map((worker) => worker.close()));
});
function worker(from = script): EngineWorker {
  const opened = openEngineWorker({ script: from });
  open.push(opened);
  return opened;
}

describe.skipIf(!isBuilt)("the engine in a thread", () => {
  it("gives the bits that it gives without one: weights, fit, predict, evaluate, summary", async () => {
    const remote = await worker().compile(TOPOLOGY, { seed: 3, maxBatch: 16 });
    const local = await compile(TOPOLOGY, { seed: 3, maxBatch: 16 });
    const { layout, parameters, inputShape, outputShape, engine } = local;
    expect(remote).toMatchObject({ layout, parameters, inputShape, outputShape, engine });
    expect(await remote.weights()).toEqual(local.weights());
    const epochs: EpochEvent[] = [];
    let batches = 0;
    const result = await remote.fit(...data(), {
      ...OPTIONS,
      sampleWeights: new Float32Array(50).fill(2),
      onEpoch: (event) => epochs.push(event),
      onBatch: () => void batches++,
    });
    const expected = await local.fit(...data(), { ...OPTIONS, sampleWeights: new Float32Array(50).fill(2) });
    expect(result).toEqual(expected);
    expect(epochs.map(({ loss }) => loss)).toEqual(expected.losses);
    expect(batches).toBe(expected.batches);
    expect(await remote.weights()).toEqual(local.weights());
    const [x, y] = data();
    expect(await remote.predict(x)).toEqual(local.predict(data()[0]));
    expect(await remote.predictAll(data()[0])).toEqual(local.predictAll(data()[0]));
    expect(await remote.evaluate(data()[0], y, { loss: "mae" })).toEqual(
      local.evaluate(...data(), { loss: "mae" }),
    );
    expect(await remote.summary()).toBe(local.summary());
    const flat = randomFloats(parameters, 9);
    await remote.setWeights(flat);
    expect(await remote.weights()).toEqual(flat);
  });

  it("data is handed over without a copy; shared memory is shared, parts of a buffer stay", async () => {
    const model = await worker().compile(TOPOLOGY, { seed: 3 });
    const [x, y] = data();
    const [vx, vy] = data();
    const weights = new Float32Array(50).fill(1);
    await model.fit(x, y, { ...OPTIONS, sampleWeights: weights, validationData: [vx, vy] });
    for (const array of [x, y, vx, vy]) expect(array).toHaveLength(0);
    expect(weights).toHaveLength(50);
    const shared = new Float32Array(new SharedArrayBuffer(50 * 18 * 4));
    shared.set(data()[0]);
    const first = await model.predict(shared);
    expect(shared).toHaveLength(50 * 18);
    expect(await model.predict(shared)).toEqual(first);
    const [whole] = data();
    const part = await model.predict(whole.subarray(0, 36));
    expect(relativeError(part, first.subarray(0, 4))).toBeLessThan(1e-5);
    expect(whole).toHaveLength(50 * 18);
  });

  it("errors keep their codes, and what can't be posted is refused", async () => {
    const thread = worker();
    await expect(thread.compile({ class_name: "Ghost" }, { seed: 1 })).rejects.toThrow(code("UNSUPPORTED"));
    const model = await thread.compile(TOPOLOGY, { seed: 3 });
    await expect(model.predict(new Float32Array(7))).rejects.toThrow(code("BAD_SHAPE"));
    await expect(model.setWeights(new Float32Array(7))).rejects.toThrow(code("BAD_SHAPE"));
    const strange = { ...OPTIONS, validationData: { count: 1, read: () => undefined } };
    await expect(model.fit(...data(), strange)).rejects.toThrow(code("BAD_INPUT"));
    await expect(model.fit(...data(), { ...OPTIONS, batchSize: 99 })).rejects.toThrow(code("BAD_INPUT"));
    model.dispose();
    await expect(model.weights()).rejects.toThrow(code("UNAVAILABLE"));
    await expect(thread.compile(TOPOLOGY, { seed: 1 })).resolves.toBeDefined();
  });

  it("a signal ends the fit, not the thread", async () => {
    const model = await worker().compile(TOPOLOGY, { seed: 3 });
    const controller = new AbortController();
    const reason = new Error("enough");
    const endless = { ...OPTIONS, epochs: 1_000_000 };
    let epochs = 0;
    const fitting = model.fit(...data(), {
      ...endless,
      signal: controller.signal,
      onEpoch: () => {
        if (++epochs === 3) controller.abort(reason);
      },
    });
    await expect(fitting).rejects.toMatchObject({ code: "ABORTED", cause: reason });
    expect((await model.fit(...data(), OPTIONS)).losses).toHaveLength(3);
    const early = model.fit(...data(), { ...OPTIONS, signal: AbortSignal.abort(reason) });
    await expect(early).rejects.toMatchObject({ code: "ABORTED", cause: reason });
    const disposed = model.fit(...data(), { ...endless, onEpoch: () => model.dispose() });
    await expect(disposed).rejects.toThrow(code("ABORTED"));
  });

  it("closing rejects what is under way and what comes after", async () => {
    const thread = worker();
    const model = await thread.compile(TOPOLOGY, { seed: 3 });
    const fitting = model.fit(...data(), {
      ...OPTIONS,
      epochs: 1_000_000,
      onEpoch: () => void thread.close(),
    });
    await expect(fitting).rejects.toThrow(code("ABORTED"));
    await expect(model.weights()).rejects.toThrow(code("ABORTED"));
  });

  it("a thread that dies says so", async () => {
    const gone = worker(new URL("data:text/javascript,process.exit(3)"));
    await expect(gone.compile(TOPOLOGY, { seed: 1 })).rejects.toThrow(code("UNAVAILABLE"));
    const broken = worker(new URL("data:text/javascript,throw new Error('no disk')"));
    await expect(broken.compile(TOPOLOGY, { seed: 1 })).rejects.toThrow("no disk");
  });
});

it.skipIf(!isBuilt)("from dist/ the thread's script is found without being told", async () => {
  const models = new URL("../../../dist/models/index.js", import.meta.url).href;
  const source = `import(${JSON.stringify(models)}).then(async ({ openEngineWorker }) => {
    const model = await openEngineWorker().compile(${JSON.stringify(TOPOLOGY)}, { seed: 3 });
    console.log(model.parameters);
  });`;
  // The open thread, idle, does not keep the process from ending.
  const { parameters } = await compile(TOPOLOGY, { seed: 3 });
  expect(await outputOf("--eval", source)).toBe(`${parameters}\n`);
});

/** What Node prints when it is run so. */
function outputOf(...args: string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    execFile(process.execPath, args, (error, stdout) => (error ? reject(error) : resolve(stdout)));
  });
}

it("a bundle of one file is its own thread", async () => {
  const folder = await mkdtemp(join(tmpdir(), "starling-bundle-"));
  try {
    const outfile = join(folder, "bundle.mjs");
    const models = JSON.stringify(fileURLToPath(new URL("../../../models/engine/index.ts", import.meta.url)));
    await build({
      stdin: {
        resolveDir: fileURLToPath(new URL(".", import.meta.url)),
        contents: `
          import { isEngineThread, openEngineWorker, runEngineThread } from ${models};
          if (isEngineThread()) runEngineThread();
          else {
            const worker = openEngineWorker({ script: new URL(import.meta.url) });
            const model = await worker.compile(${JSON.stringify(TOPOLOGY)}, { seed: 3 });
            const { losses } = await model.fit(new Float32Array(36).fill(0.5), new Float32Array(4).fill(1), ${JSON.stringify(OPTIONS)});
            console.log(JSON.stringify(losses));
          }`,
      },
      bundle: true,
      platform: "node",
      format: "esm",
      outfile,
      logLevel: "silent",
      external: ["@tensorflow/tfjs-node"],
      banner: {
        js: 'import{createRequire as __createRequire}from"node:module";const require=__createRequire(import.meta.url);',
      },
    });
    const printed = await outputOf(outfile);
    const local = await compile(TOPOLOGY, { seed: 3 });
    const { losses } = await local.fit(new Float32Array(36).fill(0.5), new Float32Array(4).fill(1), OPTIONS);
    expect(JSON.parse(printed)).toEqual(losses);
  } finally {
    await rm(folder, { recursive: true });
  }
});
