import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { build } from "esbuild";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { networks } from "../../../bench/engine/networks.ts";
import {
  compile,
  type EpochEvent,
  type FitOptions,
  type FitResult,
  type Model,
  type MultiSamples,
  openEngineWorker,
  sizeOf,
} from "../../../models/engine/index.ts";
import { layer, randomFloats, relativeError, sequential } from "./support.ts";

const root = fileURLToPath(new URL("../../../", import.meta.url));
const code = (value: string) => expect.objectContaining({ code: value });

let folder: string;
/** The threads' script, bundled from the sources as they are now. */
let threadScript: URL;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "starling-threads-"));
  const outfile = join(folder, "thread.mjs");
  await build({
    entryPoints: [join(root, "models/engine/worker/thread.ts")],
    outfile,
    bundle: true,
    platform: "node",
    format: "esm",
    logLevel: "silent",
    external: ["@tensorflow/tfjs-node"],
    banner: {
      js: 'import{createRequire as __createRequire}from"node:module";const require=__createRequire(import.meta.url);',
    },
  });
  threadScript = pathToFileURL(outfile);
});
afterAll(() => rm(folder, { recursive: true }));

const open: Model[] = [];
afterEach(() => {
  for (const model of open.splice(0)) model.dispose();
});
async function compiled(topology: unknown, script = threadScript): Promise<Model> {
  const model = await compile(topology, { seed: 5, maxBatch: 16, threadScript: script });
  open.push(model);
  return model;
}

const OPTIONS = {
  epochs: 3,
  batchSize: 8,
  optimizer: { name: "sgd", learningRate: 0.05 },
  loss: "mse",
  seed: 1,
} as const satisfies FitOptions;

/** Functional JSON from lines of [class, name, inputs, config]. */
function functional(
  outputs: readonly string[],
  ...lines: readonly (readonly [string, string, readonly string[], object])[]
) {
  const layers = lines.map(([class_name, name, inputs, config]) => ({
    class_name,
    name,
    config: { name, ...config },
    inbound_nodes: inputs.length === 0 ? [] : [inputs.map((input) => [input, 0, 0, {}])],
  }));
  const inputs = lines.filter(([kind]) => kind === "InputLayer").map(([, name]) => [name, 0, 0]);
  const config = { name: "f", layers, input_layers: inputs, output_layers: outputs.map((o) => [o, 0, 0]) };
  return { class_name: "Functional", config };
}
const input = (...shape: number[]) => ({ batch_input_shape: [null, ...shape] });

const GRU = sequential([7, 3], layer("GRU", { units: 5 }), layer("Dense", { units: 2 }));
const AUTOENCODER = sequential(
  [12, 3],
  layer("Conv1D", { filters: 8, kernel_size: [5], strides: [2], padding: "same", activation: "tanh" }),
  layer("Conv1DTranspose", { filters: 3, kernel_size: [5], strides: [2], padding: "same" }),
);
const IMAGES = sequential(
  [8, 8, 1],
  layer("Conv2D", { filters: 6, kernel_size: [3, 3], activation: "tanh" }),
  layer("MaxPooling2D", { pool_size: [2, 2], strides: [2, 2] }),
  layer("Flatten"),
  layer("Dense", { units: 4, activation: "softmax" }),
);
const TWO_ENDED = functional(
  ["a", "b"],
  ["InputLayer", "x", [], input(6, 3)],
  ["InputLayer", "z", [], input(4)],
  ["GRU", "h", ["x"], { units: 5, recurrent_activation: "sigmoid" }],
  ["Dense", "d", ["z"], { units: 5, activation: "tanh" }],
  ["Add", "s", ["h", "d"], {}],
  ["Dense", "a", ["s"], { units: 3, activation: "softmax" }],
  ["Dense", "b", ["h"], { units: 2 }],
);
const MASKED = sequential(
  [7, 3],
  layer("Masking", { mask_value: 0 }),
  layer("LSTM", { units: 4, return_sequences: true }),
  layer("Dense", { units: 2 }),
);

type Data = readonly [x: Float32Array[], y: Float32Array[]];
/** `classes`: of an output whose targets are numbers of classes. */
function dataFor(model: Model, samples: number, classes: readonly (number | undefined)[] = []): Data {
  const xs = model.inputShapes.map((shape, i) => randomFloats(samples * sizeOf(shape), 11 + i));
  const ys = model.outputShapes.map((shape, i) => {
    const count = classes[i];
    if (count === undefined) return randomFloats(samples * sizeOf(shape), 21 + i);
    return randomFloats(samples, 21 + i).map((value) => Math.floor(((value + 1) / 2) * count));
  });
  return [xs, ys];
}

/** Whole samples of zeros, as a mask wants them, and other steps at random. */
function withPauses([xs, ys]: Data, steps: number, width: number): Data {
  const x = xs[0]!;
  const coin = randomFloats(x.length / width, 31);
  coin.forEach((value, step) => {
    const sample = Math.floor(step / steps);
    if (sample % 5 === 0 || value < -0.3) x.fill(0, step * width, (step + 1) * width);
  });
  return [xs, ys];
}

/** Some targets are missing, all of a sample's too. */
function withGaps([xs, ys]: Data): Data {
  for (const y of ys) for (let i = 0; i < y.length; i++) if (i % 3 === 0 || i < 9) y[i] = Number.NaN;
  return [xs, ys];
}

interface Case {
  readonly topology: unknown;
  readonly options?: Partial<FitOptions>;
  readonly classes?: readonly (number | undefined)[];
  change?(data: Data): Data;
}
const sampleWeights = (n: number) => randomFloats(n, 41).map((value) => value + 1);
const SAMPLES = 23; // in batches of 8, the last has 7
const CASES: Readonly<Record<string, Case>> = {
  GRU: { topology: GRU },
  "a convolutional autoencoder": { topology: AUTOENCODER },
  "an image network with class weights": {
    topology: IMAGES,
    options: { loss: "sparseCategoricalCrossentropy", classWeights: [1, 3, 0.5, 2] },
    classes: [4],
  },
  "a transformer": { topology: networks["mini-transformer"].topology },
  "two inputs and outputs with losses, weights and gaps of their own": {
    topology: TWO_ENDED,
    options: {
      loss: ["sparseCategoricalCrossentropy", "mae"],
      lossWeights: [0.3, 2],
      sampleWeights: sampleWeights(SAMPLES),
    },
    classes: [3],
    change: withGaps,
  },
  "masked steps with sample weights": {
    topology: MASKED,
    options: { sampleWeights: sampleWeights(SAMPLES) },
    change: (data) => withPauses(data, 7, 3),
  },
};

async function trained(
  { topology, options, classes, change = (data) => data }: Case,
  more: Partial<FitOptions>,
  samples = SAMPLES,
): Promise<{ before: Float32Array; after: Float32Array; result: FitResult }> {
  const model = await compiled(topology);
  const before = model.weights();
  const [x, y] = change(dataFor(model, samples, classes));
  const result = await model.fit(x, y, { ...OPTIONS, ...options, ...more });
  return { before, after: model.weights(), result };
}
const change = ({ before, after }: { before: Float32Array; after: Float32Array }) =>
  after.map((value, i) => value - before[i]!);

describe("training that threads share", () => {
  it.each(Object.entries(CASES))("%s - one batch's gradient is that of one thread", async (_, one) => {
    // The change of the weights is the gradient.
    const step = {
      optimizer: { name: "sgd", learningRate: 1 },
      batchSize: 15,
      maxBatches: 1,
      epochs: 1,
    } as const;
    const alone = await trained(one, step);
    for (const threads of [2, 3, 4]) {
      const shared = await trained(one, { ...step, threads });
      expect(relativeError(change(shared), change(alone))).toBeLessThan(1e-5);
      expect(relativeError(shared.result.losses, alone.result.losses)).toBeLessThan(1e-6);
    }
  });

  it.each(Object.entries(CASES))(
    "%s - after several steps, with a short last batch, the weights are those of one thread",
    async (_, one) => {
      const alone = await trained(one, {});
      const shared = await trained(one, { threads: 2 });
      expect(relativeError(shared.after, alone.after)).toBeLessThan(1e-5);
      expect(relativeError(change(shared), change(alone))).toBeLessThan(1e-4);
      expect(relativeError(shared.result.losses, alone.result.losses)).toBeLessThan(1e-5);
      expect(shared.result.batches).toBe(9);
    },
  );

  it("a batch may be smaller than the number of threads, and threads more than a batch has samples", async () => {
    for (const [batchSize, threads] of [
      [5, 4], // the last batch has 1 sample
      [4, 4], // the last batch has 3
      [2, 5],
      [1, 2],
    ] as const) {
      const alone = await trained({ topology: GRU }, { batchSize }, 11);
      const shared = await trained({ topology: GRU }, { batchSize, threads }, 11);
      expect(relativeError(shared.after, alone.after)).toBeLessThan(1e-5);
    }
  });

  it("a batch without a single target moves no weight, and the next batches go on", async () => {
    const model = await compiled(GRU);
    const [x, y] = dataFor(model, 16);
    y[0]!.fill(Number.NaN, 0, 16);
    const before = model.weights();
    const options = { ...OPTIONS, threads: 2, shuffle: false, epochs: 1 };
    await model.fit(x, y, { ...options, maxBatches: 1 });
    expect(model.weights()).toEqual(before);
    await model.fit(x, y, options);
    expect(model.weights()).not.toEqual(before);
  });

  it("the same seed gives the same bits, with dropout too, in a fresh model and on threads that are kept", async () => {
    const noisy = sequential(
      [7, 3],
      layer("GRU", { units: 5, return_sequences: true }),
      layer("Dropout", { rate: 0.4 }),
      layer("GaussianNoise", { stddev: 0.1 }),
      layer("LSTM", { units: 4 }),
      layer("Dense", { units: 2 }),
    );
    const options = { ...OPTIONS, optimizer: { name: "adam", learningRate: 0.01 }, epochs: 6 } as const;
    const model = await compiled(noisy);
    const start = model.weights();
    const [x, y] = dataFor(model, SAMPLES);
    const train = async (by: Model, threads: number, seed = 1) => {
      by.setWeights(start);
      const { losses } = await by.fit(x, y, { ...options, threads, seed });
      return { losses, weights: by.weights() };
    };
    const first = await train(model, 2);
    expect(await train(model, 2)).toEqual(first);
    expect(await train(await compiled(noisy), 2)).toEqual(first);
    // Each thread draws its own masks, and others with another seed or number of threads.
    expect(await train(model, 2, 2)).not.toEqual(first);
    expect((await train(model, 3)).losses[0]).not.toBeCloseTo(first.losses[0]!, 4);
    expect(await train(model, 2)).toEqual(first);
  });

  it("the parts of a batch draw different masks", async () => {
    // One weight behind dropout, and every sample the same: its gradient tells how many were kept.
    const one = sequential(
      [64],
      layer("Dropout", { rate: 0.5 }),
      layer("Dense", { units: 1, use_bias: false, kernel_initializer: "zeros" }),
    );
    const model = await compiled(one);
    const step = {
      ...OPTIONS,
      optimizer: { name: "sgd", learningRate: 1 },
      batchSize: 2,
      epochs: 1,
    } as const;
    await model.fit(new Float32Array(128).fill(1), Float32Array.of(1, 1), { ...step, threads: 2 });
    const kept = new Set(model.weights().map((value) => Math.round(value * 4) / 4));
    // Of 0, 1 or 2 samples; the same mask in both would never give 1.
    expect(kept.size).toBe(3);
  });

  it("frozen layers stay, a frozen BatchNormalization too, and the others train as on one thread", async () => {
    const topology = sequential(
      [7, 3],
      layer("Dense", { units: 4, name: "still" }),
      layer("BatchNormalization", { name: "norm" }),
      layer("GRU", { units: 5 }),
      layer("Dense", { units: 3, name: "middle" }),
      layer("Dense", { units: 2 }),
    );
    const options = { freeze: ["still", "norm", "middle"] };
    const alone = await trained({ topology }, options);
    const shared = await trained({ topology }, { ...options, threads: 2 });
    expect(relativeError(change(shared), change(alone))).toBeLessThan(1e-4);
    expect(change(shared).subarray(0, 16)).toEqual(new Float32Array(16));
  });

  it("penalties, constraints, clipping, proximal term and control variate act as on one thread", async () => {
    const topology = sequential(
      [7, 3],
      layer("GRU", {
        units: 5,
        kernel_regularizer: { class_name: "L1L2", config: { l1: 0.01, l2: 0.02 } },
        kernel_constraint: { class_name: "MaxNorm", config: { max_value: 0.8, axis: 0 } },
      }),
      layer("Dense", { units: 2 }),
    );
    const parameters = (await compiled(topology)).parameters;
    const options = {
      clipNorm: 0.5,
      clipValue: 0.2,
      proximal: { mu: 0.3 },
      controlVariate: {
        server: randomFloats(parameters, 51, 0.01),
        client: randomFloats(parameters, 52, 0.01),
      },
      optimizer: { name: "rmsprop", learningRate: 0.01, momentum: 0.5 },
    } as const;
    const alone = await trained({ topology }, options);
    const shared = await trained({ topology }, { ...options, threads: 2 });
    expect(relativeError(shared.after, alone.after)).toBeLessThan(1e-5);
    expect(relativeError(shared.result.losses, alone.result.losses)).toBeLessThan(1e-5);
  });

  it("metrics, validation and early stopping are those of one thread; steps masked out are not judged", async () => {
    const masked = sequential(
      [7, 3],
      layer("Masking", { mask_value: 0 }),
      layer("LSTM", { units: 4, return_sequences: true }),
      layer("Dense", { units: 1, activation: "sigmoid" }),
    );
    const run = async (threads: number) => {
      const model = await compiled(masked);
      const [x, y] = withPauses(dataFor(model, 40), 7, 3);
      y[0]!.set(y[0]!.map((value) => (value > 0 ? 1 : 0)));
      const events: EpochEvent[] = [];
      const { bestEpoch } = await model.fit(x, y, {
        ...OPTIONS,
        threads,
        epochs: 12,
        loss: "binaryCrossentropy",
        metrics: ["accuracy", "auc"],
        validationSplit: 0.3,
        earlyStopping: { patience: 3 },
        onEpoch: (event) => events.push(event),
      });
      return { events, bestEpoch, weights: model.weights() };
    };
    const [alone, shared] = [await run(1), await run(2)];
    expect(shared.bestEpoch).toBe(alone.bestEpoch);
    expect(shared.events).toHaveLength(alone.events.length);
    shared.events.forEach((event, i) => {
      const expected = alone.events[i]!;
      expect(event.accuracy).toBeCloseTo(expected.accuracy!, 10);
      expect(event.auc).toBeCloseTo(expected.auc!, 3);
      expect(event.loss).toBeCloseTo(expected.loss, 5);
      expect(event.validation!.loss).toBeCloseTo(expected.validation!.loss, 5);
    });
    expect(relativeError(shared.weights, alone.weights)).toBeLessThan(1e-5);
  });

  it("what needs the whole batch in one place is refused", async () => {
    const topology = sequential(
      [3],
      layer("BatchNormalization", { name: "norm" }),
      layer("Dense", { units: 2 }),
    );
    const model = await compiled(topology);
    const [x, y] = dataFor(model, 8);
    const norm = model.fit(x, y, { ...OPTIONS, threads: 2 });
    await expect(norm).rejects.toThrow(code("UNSUPPORTED"));
    await expect(norm).rejects.toThrow('layer "norm" takes averages over the whole batch');
    const secret = { ...OPTIONS, freeze: ["norm"], threads: 2, differentialPrivacy: { clipNorm: 1 } };
    const fitting = model.fit(x, y, secret);
    await expect(fitting).rejects.toThrow(code("UNSUPPORTED"));
    await expect(fitting).rejects.toThrow("differentialPrivacy");
    for (const threads of [0, 1.5, 65])
      await expect(model.fit(x, y, { ...OPTIONS, threads })).rejects.toThrow(code("BAD_INPUT"));
  });

  it("bad data is refused and divergence undone as on one thread, and the threads are there for the next fit", async () => {
    const model = await compiled(GRU);
    const [x, y] = dataFor(model, SAMPLES);
    const bad = x[0]!.slice();
    bad[300] = Number.NaN;
    const options = { ...OPTIONS, threads: 2 };
    await expect(model.fit(bad, y, options)).rejects.toThrow(code("NOT_FINITE"));
    // Refused once the threads are there, before they have heard of the fit.
    await expect(model.fit(x, y, { ...options, lossWeights: [1, 2] })).rejects.toThrow(code("BAD_INPUT"));
    const before = model.weights();
    const wild = { ...options, optimizer: { name: "sgd", learningRate: 1e30 }, epochs: 50 } as const;
    await expect(model.fit(x, y, wild)).rejects.toThrow(code("NOT_FINITE"));
    expect(model.weights()).toEqual(before);
    expect((await model.fit(x, y, options)).losses).toHaveLength(3);
  });

  it("a signal ends it after a whole batch, dispose at once, and neither leaves a fit hanging", async () => {
    const model = await compiled(GRU);
    const [x, y] = dataFor(model, SAMPLES);
    const endless = { ...OPTIONS, threads: 2, epochs: 1_000_000 };
    const controller = new AbortController();
    const onBatch = ({ batch }: { batch: number }) => {
      if (batch === 4) controller.abort();
    };
    const start = model.weights();
    await expect(model.fit(x, y, { ...endless, signal: controller.signal, onBatch })).rejects.toThrow(
      code("ABORTED"),
    );
    const stopped = model.weights();
    model.setWeights(start);
    await model.fit(x, y, { ...endless, maxBatches: 5 });
    expect(stopped).toEqual(model.weights());
    const early = { ...endless, signal: AbortSignal.abort() };
    await expect(model.fit(x, y, early)).rejects.toThrow(code("ABORTED"));
    const disposed = model.fit(x, y, { ...endless, onEpoch: () => model.dispose() });
    await expect(disposed).rejects.toThrow(code("ABORTED"));
    const other = await compiled(GRU);
    const starting = other.fit(x, y, endless);
    other.dispose();
    await expect(starting).rejects.toThrow(code("ABORTED"));
  });

  it.each([
    ["before it has done its part", "add", "process.exit(3)", "ended with exit code 3"],
    ["behind its part", "notify", "process.exit(3)", "ended with exit code 3"],
    ["by an error", "add", "throw new Error('no disk')", "no disk"],
  ])("a thread that dies %s is one clear error, after a whole batch", async (where, call, death, words) => {
    // Two calls a batch: the seventh is in the fourth batch.
    const script = join(folder, `dies-${where.length}.mjs`);
    await writeFile(
      script,
      `const kept = Atomics.${call};
      let calls = 0;
      Atomics.${call} = (...args) => {
        if (++calls === 7) ${death};
        return kept(...args);
      };
      await import(${JSON.stringify(threadScript.href)});`,
    );
    const model = await compiled(GRU, pathToFileURL(script));
    const [x, y] = dataFor(model, SAMPLES);
    const fitting = model.fit(x, y, { ...OPTIONS, threads: 2 });
    await expect(fitting).rejects.toThrow(code("UNAVAILABLE"));
    await expect(fitting).rejects.toThrow(words);
    const whole = await trained({ topology: GRU }, { threads: 2, maxBatches: 3 });
    expect(model.weights()).toEqual(whole.after);
    // New threads, as many batches as they live for; then on one.
    expect((await model.fit(x, y, { ...OPTIONS, threads: 2, maxBatches: 2 })).batches).toBe(2);
    expect((await model.fit(x, y, OPTIONS)).losses).toHaveLength(3);
  });

  it("while it waits for a thread that is late, the event loop goes on and the model is not to be used", async () => {
    const script = join(folder, "late.mjs");
    await writeFile(
      script,
      `const add = Atomics.add;
      let calls = 0;
      Atomics.add = (...args) => {
        if (++calls === 7) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1500);
        return add(...args);
      };
      await import(${JSON.stringify(threadScript.href)});`,
    );
    const model = await compiled(GRU, pathToFileURL(script));
    const data = dataFor(model, SAMPLES);
    let refused: unknown;
    const watch = setInterval(() => {
      try {
        model.predict(data[0]);
      } catch (error) {
        refused = error;
      }
    }, 5);
    await model.fit(...data, { ...OPTIONS, threads: 2 });
    clearInterval(watch);
    expect(refused).toEqual(code("UNAVAILABLE"));
    expect(model.weights()).toEqual((await trained({ topology: GRU }, { threads: 2 })).after);
    expect(model.predict(data[0])).toHaveLength(2 * SAMPLES);
  });

  it("threads that don't start say so", async () => {
    for (const [source, words] of [
      ["process.exit(3)", "exit code 3"],
      ["throw new Error('no disk')", "no disk"],
    ] as const) {
      const model = await compiled(GRU, new URL(`data:text/javascript,${source}`));
      const fitting = model.fit(...dataFor(model, 8), { ...OPTIONS, threads: 2 });
      await expect(fitting).rejects.toThrow(code("UNAVAILABLE"));
      await expect(fitting).rejects.toThrow(words);
    }
  });

  it("over many batches the heap does not grow", async () => {
    setFlagsFromString("--expose-gc");
    const freeMemory = runInNewContext("gc") as () => void;
    const model = await compiled(GRU);
    const [x, y] = dataFor(model, SAMPLES);
    const data: MultiSamples = {
      count: SAMPLES,
      readAll(indexes, [toX], [toY]) {
        for (let i = 0; i < indexes.length; i++) {
          for (let j = 0; j < 21; j++) toX![i * 21 + j] = x[0]![indexes[i]! * 21 + j]!;
          for (let j = 0; j < 2; j++) toY![i * 2 + j] = y[0]![indexes[i]! * 2 + j]!;
        }
      },
    };
    const options = { ...OPTIONS, batchSize: 2, threads: 2 }; // twelve batches an epoch
    await model.fit(data, { ...options, epochs: 100 });
    const heap = () => {
      freeMemory();
      return process.memoryUsage().heapUsed;
    };
    const before = heap();
    const { batches } = await model.fit(data, { ...options, epochs: 850 });
    expect(batches).toBe(10_200);
    expect(heap() - before).toBeLessThan(10_200 * 16); // 16 bytes are the smallest object
  }, 120_000); // where there is no free core, the threads wait for each other
});

describe("threads in a thread", () => {
  it("the engine's thread has threads that help it, with the bits that they give without it", async () => {
    const engine = openEngineWorker({ script: threadScript });
    try {
      const remote = await engine.compile(GRU, { seed: 5, maxBatch: 16 });
      const local = await compiled(GRU);
      const options = { ...OPTIONS, threads: 2 };
      const result = await local.fit(...dataFor(local, SAMPLES), options);
      expect(await remote.fit(...dataFor(local, SAMPLES), options)).toEqual(result);
      expect(await remote.weights()).toEqual(local.weights());
      const endless = { ...options, epochs: 1_000_000 };
      const closed = remote.fit(...dataFor(local, SAMPLES), {
        ...endless,
        onEpoch: () => void engine.close(),
      });
      await expect(closed).rejects.toThrow(code("ABORTED"));
    } finally {
      await engine.close();
    }
  });

  it.skipIf(!existsSync(join(root, "dist/models/engine/threads/helper.js")))(
    "from dist/ the threads' script is found, and threads at rest do not keep the process",
    async () => {
      const models = new URL("../../../dist/models/index.js", import.meta.url).href;
      const source = `import(${JSON.stringify(models)}).then(async ({ compile }) => {
        const model = await compile(${JSON.stringify(GRU)}, { seed: 3 });
        const options = ${JSON.stringify({ ...OPTIONS, threads: 2 })};
        const { losses } = await model.fit(new Float32Array(210).fill(0.5), new Float32Array(20).fill(1), options);
        console.log(losses.length);
      });`;
      const printed = await new Promise((resolve, reject) => {
        execFile(process.execPath, ["--eval", source], (error, stdout) =>
          error ? reject(error) : resolve(stdout),
        );
      });
      expect(printed).toBe("3\n");
    },
  );
});
