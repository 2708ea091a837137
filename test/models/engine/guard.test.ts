import fc from "fast-check";
import { beforeAll, describe, expect, it } from "vitest";
import { train } from "../../../models/engine/fit.ts";
import type { FitOptions } from "../../../models/engine/fit-options.ts";
import { packInt8, quantizeChannels, rangeOf } from "../../../models/engine/int8.ts";
import type { LayerPlan } from "../../../models/engine/layers/layer.ts";
import { createMachine } from "../../../models/engine/machine.ts";
import { initialWeights, planOf } from "../../../models/engine/plan.ts";
import { inferencePlan } from "../../../models/engine/quantize.ts";
import { sizeOf } from "../../../models/engine/shape.ts";
import { parseTopology } from "../../../models/engine/topology.ts";
import type { WasmModule } from "../../../models/kernels/load.ts";
import { compileGuarded } from "../kernels/guard/access.ts";
import { loadGuarded, watched } from "../kernels/guard/watch.ts";
import { layer, randomFloats, sequential } from "./support.ts";
import { build, OWN_JOINS, OWN_LINES, recipes, TOKENS } from "./topologies.ts";

const SEED = Number(process.env.STARLING_TEST_SEED ?? 1);
const RUNS = Number(process.env.STARLING_TEST_RUNS ?? 600);

let module: WasmModule;
beforeAll(async () => {
  module = await loadGuarded(await compileGuarded());
}, 120_000);

const LOSSES = ["mse", "mae", "huber", "logCosh", "categoricalCrossentropy", "binaryCrossentropy"] as const;
const OPTIMIZERS = [
  { name: "sgd", learningRate: 0.01 },
  { name: "sgd", learningRate: 0.01, momentum: 0.9, nesterov: true },
  { name: "adam", learningRate: 0.01 },
  { name: "rmsprop", learningRate: 0.01 },
] as const satisfies readonly FitOptions["optimizer"][];

/** The random ones are small. */
const LARGE: [string, ReturnType<typeof sequential>][] = [
  [
    "the image network",
    sequential(
      [15, 14, 1],
      layer("Conv2D", { filters: 32, kernel_size: 3, activation: "relu" }),
      layer("MaxPooling2D"),
      layer("Conv2D", { filters: 61, kernel_size: 3, activation: "relu" }),
      layer("MaxPooling2D"),
      layer("Flatten"),
      layer("Dense", { units: 64, activation: "relu" }),
      layer("Dense", { units: 10, activation: "softmax" }),
    ),
  ],
  [
    "convolutions of many channels",
    sequential(
      [11, 13, 9],
      layer("Conv2D", { filters: 12, kernel_size: 3, use_bias: false }),
      layer("Conv2D", { filters: 17, kernel_size: 3, padding: "same" }),
      layer("Conv2D", { filters: 16, kernel_size: 3, strides: 2, padding: "same" }),
      layer("Conv2DTranspose", { filters: 7, kernel_size: 3, strides: 2, padding: "same" }),
      layer("BatchNormalization"),
      layer("GlobalAveragePooling2D"),
    ),
  ],
  [
    "a product deeper and wider than a block",
    sequential([301], layer("Dense", { units: 135, activation: "tanh" }), layer("Dense", { units: 259 })),
  ],
  [
    "recurrent layers",
    sequential(
      [9, 38],
      layer("GRU", { units: 37, return_sequences: true }),
      layer("LSTM", { units: 33, return_sequences: true }),
      layer("SimpleRNN", { units: 34 }),
    ),
  ],
  [
    "an autoencoder of series",
    sequential(
      [67, 38],
      layer("Conv1D", { filters: 33, kernel_size: 5, padding: "same", activation: "relu" }),
      layer("MaxPooling1D", { padding: "same" }),
      layer("Conv1D", { filters: 18, kernel_size: 3, padding: "causal" }),
      layer("UpSampling1D"),
      layer("Conv1DTranspose", { filters: 38, kernel_size: 3, padding: "same" }),
      layer("LayerNormalization"),
    ),
  ],
];

const used = new Map<string, number>();

describe("the guard", () => {
  it("sees a read and a write that leave a buffer, or go through address 0", async () => {
    const { kernels, taken } = await watched(module);
    const base = Math.ceil(kernels.heapBase() / 64) * 64 + 64;
    const [from, to] = [base, base + 128];
    taken(from, 5 * 4);
    taken(to, 9 * 4);
    kernels.copy(to, from, 5);
    kernels.addTo(to, from, 5);
    kernels.addTo(to + 16, from, 5);
    expect(() => kernels.addTo(to, from, 6)).toThrow("in no buffer"); // reads one too many
    expect(() => kernels.addTo(to, from + 4, 5)).toThrow("in no buffer");
    expect(() => kernels.addTo(to + 20, from, 5)).toThrow("in no buffer"); // the last word it writes
    expect(() => kernels.addTo(from, to, 9)).toThrow("in no buffer");
    expect(() => kernels.copy(to, from, 6)).toThrow("in no buffer");
    expect(() => kernels.copy(to - 4, from, 5)).toThrow("in no buffer");
    expect(() => kernels.addTo(to, 0, 5)).toThrow("at address 0");
    expect(() => kernels.gemm(false, false, 1, 5, 1, from, 1, from + 4, 5, to, 5, false, 0)).toThrow(
      "in no buffer",
    );
  });

  it(
    `${RUNS} random topologies score, train and step inside their buffers`,
    async () => {
      await fc.assert(
        fc.asyncProperty(
          recipes,
          fc.constantFrom(...LOSSES),
          fc.constantFrom(...OPTIMIZERS),
          fc.integer({ min: 1, max: 5 }),
          async (recipe, loss, optimizer, batch) => {
            const built = build(recipe, { lines: OWN_LINES, joins: OWN_JOINS });
            await staysInside(built, { loss, optimizer, batch }).catch((cause: Error) => {
              throw new Error(`${cause.stack}, in ${JSON.stringify(built.topology)}`, { cause });
            });
            for (const name of new Set(built.layers)) used.set(name, (used.get(name) ?? 0) + 1);
          },
        ),
        { seed: SEED, numRuns: RUNS },
      );
    },
    RUNS * 1_000,
  );

  it.each(LARGE)("a model past the kernels' blocks stays inside too: %s", async (_, topology) => {
    const built = { topology, tokens: [false], layers: [] };
    for (const batch of [1, 5])
      await staysInside(built, { loss: "mse", optimizer: { name: "adam", learningRate: 0.01 }, batch });
  });

  it("layers in 8-bit integers stay inside too", async () => {
    const series = sequential(
      [21, 3],
      layer("Conv1D", { filters: 5, kernel_size: 3, padding: "causal", dilation_rate: 2 }),
      layer("Conv1D", { filters: 6, kernel_size: 1, use_bias: false }),
      layer("Conv1D", { filters: 7, kernel_size: 4, strides: 3, padding: "same" }),
    );
    for (const topology of [...LARGE.map(([, topology]) => topology), series]) {
      for (const batch of [1, 5]) {
        const plan = await planOf(parseTopology(topology));
        const plans = new Map<string, LayerPlan>();
        for (const { layer } of plan.steps) {
          const kernel = layer.weights.find(({ name }) => name === "kernel");
          if (layer.quantized === undefined || kernel === undefined) continue;
          const N = kernel.shape.at(-1)!;
          const { values, scales } = quantizeChannels(randomFloats(sizeOf(kernel.shape), 1), N);
          const packed = packInt8(values, N);
          plans.set(layer.name, layer.quantized({ packed, scales, input: rangeOf(-1, 1) }));
        }
        const watch = await watched(module);
        const machine = await createMachine(inferencePlan(plan, plans), { maxBatch: batch, watch });
        machine.inputs.forEach(({ at, size }) => void at(batch).set(randomFloats(batch * size, 2)));
        machine.forward(batch, false);
        expect(watch.reads()).toBeGreaterThan(0);
      }
    }
  });

  it("every layer of the tables was among them", () => {
    const rare = [...Object.keys(OWN_LINES), ...Object.keys(OWN_JOINS)].filter(
      (name) => (used.get(name) ?? 0) < 3,
    );
    expect(rare).toEqual([]);
  });
});

async function staysInside(
  { topology, tokens }: ReturnType<typeof build>,
  { loss, optimizer, batch }: { batch: number } & Pick<FitOptions, "loss" | "optimizer">,
): Promise<void> {
  const plan = await planOf(parseTopology(topology));
  const watch = await watched(module);
  // The arena is as large as the batch: nothing lies behind the last sample.
  const machine = await createMachine(plan, { maxBatch: batch, watch }).catch(refusedMask);
  if (machine === null) return;
  machine.weights.set(initialWeights(plan, 1));
  const count = batch + Math.ceil(batch / 2); // a whole batch and a part
  const xs = plan.inputs.map(({ shape }, i) => {
    const values = randomFloats(count * sizeOf(shape), i + 1, 1);
    return tokens[i] ? values.map((value) => Math.floor(((value + 1) / 2) * TOKENS)) : values;
  });
  const ys = machine.outputs.map(({ size }, i) => randomFloats(count * size, i + 11).map(Math.abs));
  machine.inputs.forEach((input, i) => void input.at(batch).set(xs[i]!.subarray(0, batch * input.size)));
  machine.forward(batch, false);
  const options = { epochs: 1, batchSize: batch, optimizer, loss, seed: 1, clipNorm: 1 };
  await train(machine, [xs, ys], options, { disposal: new AbortController().signal }).catch(
    (error: unknown) => {
      // Such a loss of such outputs may be infinite. Where the kernels read is all that counts here.
      if ((error as { code?: string }).code !== "NOT_FINITE") throw error;
    },
  );
  if (plan.steps.every(({ layer }) => layer.stateFloats !== null)) machine.step();
  expect(watch.reads()).toBeGreaterThan(0);
}

/** null: a join does not repeat an input that has a mask, which is known late. */
function refusedMask(error: Error): null {
  if (!error.message.includes("can't repeat an input that has a mask")) throw error;
  return null;
}
