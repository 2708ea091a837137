import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { brotliDecompressSync } from "node:zlib";
import binaryen from "assemblyscript/binaryen";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { train } from "../../../models/engine/fit.ts";
import type { FitOptions } from "../../../models/engine/fit-options.ts";
import { compile } from "../../../models/engine/index.ts";
import { packInt8, quantizeChannels, rangeOf } from "../../../models/engine/int8.ts";
import type { LayerPlan } from "../../../models/engine/layers/layer.ts";
import { createMachine } from "../../../models/engine/machine.ts";
import { initialWeights, planOf } from "../../../models/engine/plan.ts";
import { inferencePlan } from "../../../models/engine/quantize.ts";
import { sizeOf } from "../../../models/engine/shape.ts";
import { parseTopology } from "../../../models/engine/topology.ts";
import { type Kernels, kernelModule } from "../../../models/kernels/load.ts";
import { brotli as plainBrotli } from "../../../models/kernels/wasm-plain.ts";
import { brotli as scalarBrotli } from "../../../models/kernels/wasm-scalar.ts";
import { layer, randomFloats, sequential } from "../engine/support.ts";
import { build, OWN_JOINS, OWN_LINES, recipes, TOKENS } from "../engine/topologies.ts";
import { mirrored } from "./mirror.ts";

const SEED = Number(process.env.STARLING_TEST_SEED ?? 1);
const RUNS = Number(process.env.STARLING_TEST_RUNS ?? 200);

const LOSSES = [
  "mse",
  "mae",
  "huber",
  "logCosh",
  "poisson",
  "kld",
  "cosineSimilarity",
  "categoricalCrossentropy",
  "binaryCrossentropy",
] as const;
const OPTIMIZERS = [
  { name: "sgd", learningRate: 0.01, momentum: 0.9, nesterov: true },
  { name: "adam", learningRate: 0.01 },
  { name: "rmsprop", learningRate: 0.01, momentum: 0.5, centered: true },
  { name: "adagrad", learningRate: 0.01 },
] as const satisfies readonly FitOptions["optimizer"][];

interface Work extends Partial<Pick<FitOptions, "sampleWeights" | "classWeights" | "differentialPrivacy">> {
  readonly topology: object;
  /** Of each input: whether it holds tokens. */
  readonly tokens?: readonly boolean[];
  /** Targets are the numbers of that many classes. */
  readonly classes?: number;
  readonly loss: FitOptions["loss"];
  readonly optimizer: FitOptions["optimizer"];
}

const adam = { name: "adam", learningRate: 0.01 } as const;
/** A layer of a functional model, called once. */
const node = (
  className: string,
  config: { readonly name: string; readonly [option: string]: unknown },
  ...inputs: string[]
) => ({
  ...layer(className, config),
  name: config.name,
  inbound_nodes: inputs.length === 0 ? [] : [inputs.map((input) => [input, 0, 0, {}])],
});
const functional = (...layers: ReturnType<typeof node>[]) => ({
  class_name: "Functional",
  config: {
    name: "functional",
    layers,
    input_layers: [[layers[0]!.name, 0, 0]],
    output_layers: [[layers.at(-1)!.name, 0, 0]],
  },
});

/** What the random ones, which are small and have no options of training, do not reach. */
const WORKS: Readonly<Record<string, Work>> = {
  "an image network past the blocks, with class and sample weights": {
    topology: sequential(
      [17, 14, 1],
      layer("Conv2D", { filters: 32, kernel_size: 3, activation: "relu" }),
      layer("MaxPooling2D"),
      layer("Conv2D", { filters: 61, kernel_size: 3, activation: "relu" }),
      layer("Conv2DTranspose", { filters: 17, kernel_size: 3, strides: 2 }),
      layer("MaxPooling2D"),
      layer("Flatten"),
      layer("Dense", { units: 64, activation: "relu", kernel_constraint: { class_name: "NonNeg" } }),
      layer("Dense", { units: 10, activation: "softmax" }),
    ),
    classes: 10,
    loss: "sparseCategoricalCrossentropy",
    optimizer: adam,
    classWeights: { 3: 2, 7: 0.5 },
    sampleWeights: Float32Array.of(1, 2, 0.5, 1, 3, 1, 0.25, 1),
  },
  "an autoencoder of series in the minimal form": {
    topology: sequential(
      [67, 38],
      layer("Conv1D", { filters: 33, kernel_size: 5, padding: "same", activation: "relu" }),
      layer("MaxPooling1D"),
      layer("Conv1D", { filters: 18, kernel_size: 3, padding: "causal" }),
      layer("UpSampling1D"),
      layer("Conv1DTranspose", { filters: 38, kernel_size: 7, padding: "same" }),
    ),
    loss: "mse",
    optimizer: { name: "sgd", learningRate: 0.01 },
    differentialPrivacy: { clipNorm: 1, noiseMultiplier: 0.1 },
  },
  "a product deeper and wider than a block, with penalties and constraints": {
    topology: sequential(
      [301],
      layer("Dense", { units: 135, activation: "tanh", kernel_regularizer: "l2" }),
      layer("Dense", {
        units: 259,
        activation: "log_softmax",
        kernel_constraint: { class_name: "MaxNorm", config: { max_value: 0.9, axis: 0 } },
      }),
    ),
    loss: { name: "binaryCrossentropy", fromLogits: true },
    optimizer: adam,
  },
  "recurrent layers step by step": {
    topology: sequential(
      [9, 38],
      layer("Conv1D", { filters: 19, kernel_size: 3, padding: "causal", dilation_rate: 2 }),
      layer("GRU", { units: 37, return_sequences: true, reset_after: true }),
      layer("GRU", { units: 21, return_sequences: true, reset_after: false }),
      layer("LSTM", { units: 33, return_sequences: true }),
      layer("SimpleRNN", { units: 34, return_sequences: true }),
      layer("GlobalMaxPooling1D"),
    ),
    loss: { name: "categoricalCrossentropy", fromLogits: true },
    optimizer: { name: "rmsprop", learningRate: 0.01 },
  },
  "the mean of a series step by step": {
    topology: sequential([9, 7], layer("Dense", { units: 5 }), layer("GlobalAveragePooling1D")),
    classes: 5,
    loss: { name: "sparseCategoricalCrossentropy", fromLogits: true },
    optimizer: adam,
  },
  "masked tokens beside what has no mask": {
    topology: functional(
      node("InputLayer", { batch_input_shape: [null, 7], name: "tokens" }),
      node("Embedding", { input_dim: TOKENS, output_dim: 5, mask_zero: true, name: "a" }, "tokens"),
      node("Embedding", { input_dim: TOKENS, output_dim: 5, name: "b" }, "tokens"),
      node("Concatenate", { axis: 1, name: "both" }, "a", "b"),
      node("LSTM", { units: 6, name: "last" }, "both"),
    ),
    tokens: [true],
    loss: "mse",
    optimizer: adam,
  },
  "a series that attends to itself": {
    topology: functional(
      node("InputLayer", { batch_input_shape: [null, 7, 9], name: "series" }),
      node("MultiHeadAttention", { num_heads: 3, key_dim: 5, name: "heads" }, "series", "series"),
    ),
    loss: "mse",
    optimizer: adam,
  },
};

const called = new Map<string, number>();

describe("the scalar build", () => {
  it(
    `gives the plain one's bits in every call of ${RUNS} random topologies that score, train and step`,
    async () => {
      await fc.assert(
        fc.asyncProperty(
          recipes,
          fc.constantFrom(...LOSSES),
          fc.constantFrom(...OPTIMIZERS),
          fc.integer({ min: 1, max: 5 }),
          async (recipe, loss, optimizer, batch) => {
            const { topology, tokens } = build(recipe, { lines: OWN_LINES, joins: OWN_JOINS });
            await sameBits({ topology, tokens, loss, optimizer }, batch);
          },
        ),
        { seed: SEED, numRuns: RUNS },
      );
    },
    RUNS * 1_000,
  );

  it.each(Object.entries(WORKS))("gives the plain one's bits in every call of %s", async (_, work) => {
    for (const batch of [1, 5]) await sameBits(work, batch);
  });

  it("gives the plain one's bits in 8-bit integers", async () => {
    for (const { topology } of Object.values(WORKS).slice(0, 3)) {
      const plan = await planOf(parseTopology(topology));
      const plans = new Map<string, LayerPlan>();
      for (const { layer } of plan.steps) {
        const kernel = layer.weights.find(({ name }) => name === "kernel");
        if (layer.quantized === undefined || kernel === undefined) continue;
        const N = kernel.shape.at(-1)!;
        const { values, scales } = quantizeChannels(randomFloats(sizeOf(kernel.shape), 1), N);
        plans.set(
          layer.name,
          layer.quantized({ packed: packInt8(values, N), scales, input: rangeOf(-1, 1) }),
        );
      }
      const mirror = await mirrored("scalar");
      const machine = await createMachine(inferencePlan(plan, plans), { maxBatch: 3, watch: mirror });
      machine.inputs.forEach(({ at, size }) => void at(3).set(randomFloats(3 * size, 2)));
      machine.forward(3, false);
      note(mirror.called);
    }
  });

  it("gives the plain one's bits where no model calls a kernel itself, at every length", async () => {
    for (let n = 1; n <= 40; n++) await sameAlone(n);
    for (const n of [255, 256, 257, 1_000]) await sameAlone(n);
  });

  it("was compared in every kernel there is", async () => {
    const { kernels } = await mirrored("scalar");
    const names = Object.keys(kernels).filter((name) => typeof kernels[name as keyof Kernels] === "function");
    expect(names.length).toBeGreaterThan(100);
    // It is where each build's own memory ends, and differs.
    expect(names.filter((name) => !called.has(name))).toEqual(["heapBase"]);
  });

  it("has no vectors, and the plain one has", () => {
    const vectors = /\bv128\b|\b[if]\d+x\d+\./;
    expect(vectors.test(textOf(wasmOf(scalarBrotli)))).toBe(false);
    expect(vectors.test(textOf(wasmOf(plainBrotli)))).toBe(true);
  });
});

const models = new URL("../../../dist/models/index.js", import.meta.url);
const isBuilt = existsSync(models);
if (!isBuilt)
  console.warn("skipped: a process without SIMD needs dist/: run `npm run build` (npm test does)");

// V8 has no vectors on x64 without SSE 4.1; on other processors they can't be turned off.
it.skipIf(!isBuilt || process.arch !== "x64")(
  "in a Node without SIMD a model trains to the same bits as with plain SIMD here",
  async () => {
    const topology = sequential([9, 5], layer("GRU", { units: 11 }), layer("Dense", { units: 3 }));
    const [x, y] = [randomFloats(13 * 45, 1), randomFloats(13 * 3, 2)];
    const options = { epochs: 3, batchSize: 5, loss: "mse", seed: 1, optimizer: adam } as const;
    const script = `
      import { createHash } from "node:crypto";
      import { compile } from ${JSON.stringify(models.href)};
      const [topology, x, y, options] = ${JSON.stringify([topology, [...x], [...y], options])};
      const model = await compile(topology, { seed: 3 });
      await model.fit(Float32Array.from(x), Float32Array.from(y), options);
      const hasSimd = WebAssembly.validate(Buffer.from(${JSON.stringify(wasmOf(plainBrotli).toString("base64"))}, "base64"));
      process.stdout.write(hasSimd + " " + createHash("sha256").update(model.weights()).digest("hex"));
    `;
    const model = await compile(topology, { seed: 3, module: await kernelModule("plain") });
    await model.fit(x, y, options);
    const expected = createHash("sha256").update(model.weights()).digest("hex");
    expect(await outputOf(["--no-enable-sse4-1", "--input-type=module", "-"], script)).toBe(
      `false ${expected}`,
    );
  },
);

async function sameBits({ topology, tokens = [], classes, ...rest }: Work, batch: number): Promise<void> {
  const plan = await planOf(parseTopology(topology));
  const mirror = await mirrored("scalar");
  const machine = await createMachine(plan, { maxBatch: batch, watch: mirror }).catch(refusedMask);
  if (machine === null) return;
  machine.weights.set(initialWeights(plan, 1));
  const count = batch + Math.ceil(batch / 2); // a whole batch and a part
  const xs = plan.inputs.map(({ shape }, i) => {
    const values = randomFloats(count * sizeOf(shape), i + 1, 1);
    return tokens[i] ? values.map((value) => Math.floor(((value + 1) / 2) * TOKENS)) : values;
  });
  const ys = machine.outputs.map(({ size }, i) => {
    if (classes !== undefined) return Float32Array.from({ length: count }, (_, row) => (3 * row) % classes);
    return randomFloats(count * size, i + 11).map(Math.abs);
  });
  machine.inputs.forEach((input, i) => void input.at(batch).set(xs[i]!.subarray(0, batch * input.size)));
  machine.forward(batch, false);
  const { sampleWeights, ...others } = rest;
  const options = {
    ...{ epochs: 1, batchSize: batch, seed: 1, clipNorm: 1, clipValue: 0.5, proximal: { mu: 0.1 } },
    ...others,
    ...(sampleWeights === undefined ? {} : { sampleWeights: sampleWeights.slice(0, count) }),
  };
  await train(machine, [xs, ys], options, { disposal: new AbortController().signal }).catch(
    (error: unknown) => {
      // Such a loss of such outputs may be infinite, in both builds.
      if ((error as { code?: string }).code !== "NOT_FINITE") throw error;
    },
  );
  if (plan.steps.every(({ layer }) => layer.stateFloats !== null)) machine.step();
  note(mirror.called);
}

/** null: a join does not repeat an input that has a mask, which is known late. */
function refusedMask(error: Error): null {
  if (!error.message.includes("can't repeat an input that has a mask")) throw error;
  return null;
}

/** The codecs and sums of the coordinator, and what other kernels call. */
async function sameAlone(n: number): Promise<void> {
  const mirror = await mirrored("scalar");
  const { kernels } = mirror;
  let end = kernels.heapBase() + 4; // off alignment
  const take = (values: Float32Array) => {
    const view = new Float32Array(kernels.memory.buffer, end, values.length);
    view.set(values);
    end += 4 * values.length;
    mirror.taken(view.byteOffset, view.byteLength);
    return view;
  };
  const empty = (length: number) => take(new Float32Array(length)).byteOffset;
  const x = take(randomFloats(n, n));
  const state = take(randomFloats(16, 2)).byteOffset;
  const [codes, scales, counts, indexes, values] = [n, 4, 4096, n, n].map(empty);
  for (const chance of [0, state]) {
    kernels.encodeInt8(x.byteOffset, n, codes!, scales!, chance);
    expect(kernels.addInt8(codes!, scales!, n, x.byteOffset)).toBe(1);
  }
  kernels.takeTop(x.byteOffset, n, Math.ceil(n / 3), counts!, indexes!, values!);
  end = Math.ceil(end / 8) * 8;
  const [sum, mean] = [4 * n, 2 * n].map(empty);
  kernels.exactAdd(sum!, x.byteOffset, n, 1_234_567);
  kernels.exactMean(sum!, n, 1_234_567, mean!);
  const [rows, columns] = [3, 7];
  const from = take(randomFloats(rows * n, n + 1, 3)).byteOffset;
  const [whole, y] = [2 * n, rows * columns].map(empty);
  kernels.quantize8(from, whole!, rows * n, 100, -255, 255);
  const packed = packInt8(
    Int8Array.from({ length: n * columns }, (_, i) => ((i * 37) % 255) - 127),
    columns,
  );
  const weights = empty(Math.ceil(packed.length / 4));
  new Int8Array(kernels.memory.buffer, weights, packed.length).set(packed);
  kernels.product8(whole!, n, weights, n, from, 0, y!, rows, columns);
  kernels.gemv(from, take(randomFloats(n * columns, 4)).byteOffset, columns, y!, n, columns);
  note(mirror.called);
}

function note(calls: ReadonlyMap<string, number>): void {
  for (const [name, times] of calls) called.set(name, (called.get(name) ?? 0) + times);
}

function wasmOf(brotli: string): Buffer {
  return brotliDecompressSync(Buffer.from(brotli, "base64"));
}

/** The module in the text format. */
function textOf(wasm: Uint8Array): string {
  const m = binaryen.readBinaryWithFeatures(wasm, binaryen.Features.All);
  const text = m.emitText();
  m.dispose();
  return text;
}

async function outputOf(args: readonly string[], input: string): Promise<string> {
  const child = spawn(process.execPath, args, { stdio: ["pipe", "pipe", "inherit"] });
  let output = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => (output += text));
  child.stdin.end(input);
  await new Promise((resolve, reject) => child.on("error", reject).on("close", resolve));
  return output;
}
