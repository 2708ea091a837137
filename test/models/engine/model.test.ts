import { describe, expect, it } from "vitest";
import { freeMemory } from "../../../agent/free-memory.ts";
import { compile, type FitOptions, type MultiSamples, type Samples } from "../../../models/engine/index.ts";
import { backpropagate, layer, machineFor, randomFloats, relativeError, sequential } from "./support.ts";

const TIME = 8;
const CHANNELS = 3;
const FORECASTER = sequential(
  [TIME, CHANNELS],
  layer("GRU", { units: 10, reset_after: true }),
  layer("Dense", { units: CHANNELS }),
);
const ADAM = { name: "adam", learningRate: 0.01 } as const;
const OPTIONS: FitOptions = { epochs: 2, batchSize: 8, optimizer: ADAM, loss: "mse", seed: 1 };
const code = (value: string) => expect.objectContaining({ code: value });

/** Windows of one long wave and the row after each: nothing is materialised. */
function waves(count: number): Samples {
  const value = (t: number, channel: number) => Math.sin(t * 0.3 + channel);
  return {
    count,
    read(indexes, x, y) {
      indexes.forEach((start, i) => {
        for (let t = 0; t < TIME; t++) {
          for (let c = 0; c < CHANNELS; c++) x[(i * TIME + t) * CHANNELS + c] = value(start + t, c);
        }
        for (let c = 0; c < CHANNELS; c++) y[i * CHANNELS + c] = value(start + TIME, c);
      });
    },
  };
}

function arrays(samples: Samples): [Float32Array, Float32Array] {
  const x = new Float32Array(samples.count * TIME * CHANNELS);
  const y = new Float32Array(samples.count * CHANNELS);
  samples.read(
    Uint32Array.from({ length: samples.count }, (_, i) => i),
    x,
    y,
  );
  return [x, y];
}

describe("training", () => {
  it("fit - learns: a forecaster of a wave ends far below where it began", async () => {
    const model = await compile(FORECASTER, { seed: 1 });
    const { losses, batches, samples } = await model.fit(waves(203), { ...OPTIONS, epochs: 30 });
    expect(losses).toHaveLength(30);
    expect(batches).toBe(30 * 26);
    expect(samples).toBe(30 * 203);
    expect(losses[29]!).toBeLessThan(losses[0]! / 50);
    expect(model.evaluate(waves(203)).loss).toBeLessThan(losses[0]! / 50);
  });

  it("fit - the same seed gives the same bits, another seed gives others", async () => {
    const run = async (seed: number, fitSeed: number) => {
      const model = await compile(FORECASTER, { seed });
      const start = model.weights();
      await model.fit(waves(50), { ...OPTIONS, seed: fitSeed });
      return [start, model.weights()] as const;
    };
    const [first, again, otherOrder, otherStart] = await Promise.all([
      run(1, 1),
      run(1, 1),
      run(1, 2),
      run(2, 1),
    ]);
    expect(again).toEqual(first);
    expect(otherOrder[0]).toEqual(first[0]);
    expect(otherOrder[1]).not.toEqual(first[1]);
    expect(otherStart[0]).not.toEqual(first[0]);
  });

  it("fit - arrays and samples that are read on demand give the same bits", async () => {
    const [one, two] = await Promise.all([
      compile(FORECASTER, { seed: 1 }),
      compile(FORECASTER, { seed: 1 }),
    ]);
    await one.fit(waves(37), OPTIONS);
    await two.fit(...arrays(waves(37)), OPTIONS);
    expect(two.weights()).toEqual(one.weights());
    expect(two.evaluate(...arrays(waves(37)))).toEqual(one.evaluate(waves(37)));
  });

  it("fit - stops after maxBatches and reports each epoch and batch", async () => {
    const model = await compile(FORECASTER, { seed: 1 });
    const epochs: unknown[] = [];
    const batches: number[] = [];
    const result = await model.fit(waves(20), {
      ...OPTIONS,
      epochs: 5,
      maxBatches: 4,
      onEpoch: ({ epoch, loss }) => epochs.push([epoch, loss]),
      onBatch: ({ batch }) => batches.push(batch),
    });
    expect(result.batches).toBe(4);
    expect(batches).toEqual([0, 1, 2, 3]);
    expect(epochs).toEqual(result.losses.map((loss, epoch) => [epoch, loss]));
  });

  it("fit - a missing target adds nothing to loss or gradient", async () => {
    const machine = await machineFor(FORECASTER);
    machine.weights.set(randomFloats(machine.plan.parameters, 1));
    const x = randomFloats(4 * machine.inputs[0]!.size, 2);
    const y = randomFloats(4 * CHANNELS, 3);
    const predicted = backpropagate(machine, 4, x, y).output;
    const holes = [1, 5, 6, 11];
    const withHoles = y.map((value, i) => (holes.includes(i) ? Number.NaN : value));
    // A target that equals the prediction has no gradient either; only the count by which is divided differs.
    const perfect = y.map((value, i) => (holes.includes(i) ? predicted[i]! : value));
    const got = backpropagate(machine, 4, x, withHoles);
    const expected = backpropagate(machine, 4, x, perfect);
    expect(got.loss).toBeCloseTo((expected.loss * 12) / 8, 5);
    expect(
      relativeError(
        got.gradients,
        expected.gradients.map((value) => (value * 12) / 8),
      ),
    ).toBeLessThan(1e-5);
  });

  it("fit - batches without any target leave the weights alone", async () => {
    const model = await compile(FORECASTER, { seed: 1 });
    const before = model.weights();
    const [x, y] = arrays(waves(9));
    const result = await model.fit(x, y.fill(Number.NaN), OPTIONS);
    expect(model.weights()).toEqual(before);
    expect(result.losses).toEqual([0, 0]);
  });

  it("fit - a sample of weight zero might as well not be there, up to the division by the count", async () => {
    const [x, y] = arrays(waves(8));
    const options = { ...OPTIONS, epochs: 1, optimizer: { name: "sgd", learningRate: 0.1 } } as const;
    const weighted = await compile(FORECASTER, { seed: 1 });
    await weighted.fit(x, y, { ...options, sampleWeights: Float32Array.of(1, 1, 1, 1, 0, 0, 0, 0) });
    const half = await compile(FORECASTER, { seed: 1 });
    const first = [x.subarray(0, x.length / 2), y.subarray(0, y.length / 2)] as const;
    await half.fit(...first, { ...options, optimizer: { name: "sgd", learningRate: 0.05 } });
    expect(relativeError(weighted.weights(), half.weights())).toBeLessThan(1e-5);
  });

  it("fit - clipping bounds the step of plain SGD by rate times norm", async () => {
    const step = async (clipNorm?: number) => {
      const model = await compile(FORECASTER, { seed: 1 });
      const before = model.weights();
      const options = { ...OPTIONS, maxBatches: 1, optimizer: { name: "sgd", learningRate: 1 } } as const;
      await model.fit(waves(8), clipNorm === undefined ? options : { ...options, clipNorm });
      return model.weights().map((weight, i) => weight - before[i]!);
    };
    const length = (v: Float32Array) => Math.hypot(...v);
    const free = await step();
    const clipped = await step(0.01);
    expect(length(free)).toBeGreaterThan(0.02);
    expect(length(clipped)).toBeCloseTo(0.01, 5);
    expect(
      relativeError(
        clipped,
        free.map((value) => (value * 0.01) / length(free)),
      ),
    ).toBeLessThan(1e-3);
    expect(await step(1e6)).toEqual(free);
  });

  it("fit - the proximal term adds mu (w - anchor) to the gradient, so it pulls from the second step on", async () => {
    const rate = 0.1;
    const mu = 0.7;
    const options = { ...OPTIONS, shuffle: false, optimizer: { name: "sgd", learningRate: rate } } as const;
    const weightsAfter = async (maxBatches: number, proximal?: { mu: number }) => {
      const model = await compile(FORECASTER, { seed: 1 });
      await model.fit(waves(16), { ...options, maxBatches, ...(proximal && { proximal }) });
      return model.weights();
    };
    const start = (await compile(FORECASTER, { seed: 1 })).weights();
    const [one, two] = [await weightsAfter(1), await weightsAfter(2)];
    expect(await weightsAfter(1, { mu })).toEqual(one);
    const pulled = two.map((weight, i) => weight - rate * mu * (one[i]! - start[i]!));
    const moved = (weights: Float32Array) => weights.map((weight, i) => weight - start[i]!);
    expect(relativeError(moved(await weightsAfter(2, { mu })), moved(pulled))).toBeLessThan(1e-4);
  });

  it("fit - one that diverges is undone and says so", async () => {
    const model = await compile(sequential([2], layer("Dense", { units: 2 })), { seed: 1 });
    const before = model.weights();
    const options = { ...OPTIONS, epochs: 200, optimizer: { name: "sgd", learningRate: 1e6 } } as const;
    await expect(model.fit(randomFloats(32, 1), randomFloats(32, 2), options)).rejects.toThrow(
      code("NOT_FINITE"),
    );
    expect(model.weights()).toEqual(before);
  });

  it("fit - lets other work have its turn, and an abort ends it with the model still usable", async () => {
    const model = await compile(FORECASTER, { seed: 1 });
    const before = model.weights();
    const controller = new AbortController();
    const reason = new Error("round is over");
    setTimeout(() => controller.abort(reason), 60);
    const endless = { ...OPTIONS, epochs: 1_000_000, signal: controller.signal };
    await expect(model.fit(waves(100), endless)).rejects.toMatchObject({ code: "ABORTED", cause: reason });
    expect(model.weights()).not.toEqual(before);
    expect((await model.fit(waves(100), OPTIONS)).losses).toHaveLength(2);
    const early = model.fit(waves(100), { ...OPTIONS, signal: AbortSignal.abort() });
    await expect(early).rejects.toThrow(code("ABORTED"));
  });

  it("fit - a second one at the same time is refused; dispose ends the first", async () => {
    const model = await compile(FORECASTER, { seed: 1 });
    const endless = model.fit(waves(100), { ...OPTIONS, epochs: 1_000_000 });
    await expect(model.fit(waves(100), OPTIONS)).rejects.toThrow(code("UNAVAILABLE"));
    setTimeout(() => model.dispose(), 60);
    await expect(endless).rejects.toThrow(code("ABORTED"));
    expect(() => model.weights()).toThrow(code("UNAVAILABLE"));
    await expect(model.fit(waves(100), OPTIONS)).rejects.toThrow(code("UNAVAILABLE"));
  });

  it("fit - over many batches neither the arena nor the heap grows", async () => {
    const machine = await machineFor(FORECASTER);
    const bytes = machine.kernels.memory.buffer.byteLength;
    const { train } = await import("../../../models/engine/fit.ts");
    const buffers = () => process.memoryUsage().arrayBuffers;
    const [x, y] = arrays(waves(21));
    const size = TIME * CHANNELS;
    // A reader that allocates nothing itself.
    const data: MultiSamples = {
      count: 21,
      readAll(indexes, toXs, toYs) {
        const toX = toXs[0]!;
        const toY = toYs[0]!;
        for (let i = 0; i < indexes.length; i++) {
          for (let j = 0; j < size; j++) toX[i * size + j] = x[indexes[i]! * size + j]!;
          for (let j = 0; j < CHANNELS; j++) toY[i * CHANNELS + j] = y[indexes[i]! * CHANNELS + j]!;
        }
      },
    };
    const disposal = new AbortController().signal;
    await train(machine, data, { ...OPTIONS, epochs: 100 }, { disposal });
    // What is kept, not what the garbage collector has not come to yet.
    const heap = () => {
      freeMemory();
      return process.memoryUsage().heapUsed;
    };
    const [heapBefore, buffersBefore] = [heap(), buffers()];
    const { batches } = await train(machine, data, { ...OPTIONS, epochs: 3_400 }, { disposal });
    expect(batches).toBe(10_200);
    expect(machine.kernels.memory.buffer.byteLength).toBe(bytes);
    expect(buffers() - buffersBefore).toBeLessThan(100_000);
    expect(heap() - heapBefore).toBeLessThan(10_200 * 16); // 16 bytes are the smallest object
  });
});

describe("weights and prediction", () => {
  it("weights - are a copy in layout order, and go back in unchanged", async () => {
    const model = await compile(FORECASTER, { seed: 1 });
    expect(model.layout).toEqual([
      { name: "gru_0/kernel", shape: [CHANNELS, 30] },
      { name: "gru_0/recurrent_kernel", shape: [10, 30] },
      { name: "gru_0/bias", shape: [2, 30] },
      { name: "dense_1/kernel", shape: [10, CHANNELS] },
      { name: "dense_1/bias", shape: [CHANNELS] },
    ]);
    const flat = randomFloats(model.parameters, 1);
    model.setWeights(flat);
    model.weights().fill(0);
    expect(model.weights()).toEqual(flat);
  });

  // A convolution keeps its transformed kernel from one prediction to the next.
  it("predict - follows the weights: after setWeights, while a fit runs, after it, and after a validation", async () => {
    const topology = sequential(
      [8, 8, 6],
      layer("Conv2D", { filters: 10, kernel_size: [3, 3], activation: "relu" }),
      layer("Flatten", {}),
      layer("Dense", { units: 2 }),
    );
    const model = await compile(topology, { seed: 1, maxBatch: 4 });
    const x = randomFloats(9 * 8 * 8 * 6, 1);
    const y = randomFloats(9 * 2, 2);
    const expectFresh = async () => {
      const fresh = await compile(topology, { seed: 2, maxBatch: 4 });
      fresh.setWeights(model.weights());
      const expected = fresh.predict(x);
      expect(model.predict(x)).toEqual(expected);
      expect(model.predict(x)).toEqual(expected);
    };
    await expectFresh();
    model.setWeights(randomFloats(model.parameters, 3));
    await expectFresh();
    const during: Float32Array[] = [];
    await model.fit(x, y, {
      ...OPTIONS,
      epochs: 3,
      batchSize: 4,
      validationSplit: 0.3,
      onEpoch: () => {
        during.push(model.predict(x));
      },
    });
    expect(during).toHaveLength(3);
    expect(during[0]).not.toEqual(during[1]);
    expect(during[2]).toEqual(model.predict(x));
    await expectFresh();
    model.evaluate(x, y, { loss: "mse" });
    await expectFresh();
  });

  it("weights - of the wrong length or not finite are refused and the old ones stay", async () => {
    const model = await compile(FORECASTER, { seed: 1 });
    const before = model.weights();
    expect(() => model.setWeights(new Float32Array(3))).toThrow(code("BAD_SHAPE"));
    const bad = before.slice();
    bad[7] = Number.NaN;
    expect(() => model.setWeights(bad)).toThrow(code("NOT_FINITE"));
    expect(model.weights()).toEqual(before);
  });

  it("weights - start as Keras has them: glorot bounds, orthonormal rows, zeros, ones to remember", async () => {
    const model = await compile(
      sequential([4, 6], layer("LSTM", { units: 12, unit_forget_bias: true }), layer("Dense", { units: 3 })),
      { seed: 9 },
    );
    const flat = model.weights();
    const [kernel, recurrent, bias] = [flat.slice(0, 288), flat.slice(288, 864), flat.slice(864, 912)];
    const limit = Math.sqrt(6 / (6 + 48));
    expect(Math.max(...kernel.map(Math.abs))).toBeLessThanOrEqual(limit);
    expect(Math.max(...kernel)).toBeGreaterThan(limit * 0.9);
    expect(Math.min(...kernel)).toBeLessThan(-limit * 0.9);
    for (let i = 0; i < 12; i++) {
      for (let j = 0; j <= i; j++) {
        let dot = 0;
        for (let k = 0; k < 48; k++) dot += recurrent[i * 48 + k]! * recurrent[j * 48 + k]!;
        expect(dot).toBeCloseTo(i === j ? 1 : 0, 5);
      }
    }
    expect([...bias]).toEqual([...Array(12).fill(0), ...Array(12).fill(1), ...Array(24).fill(0)]);
  });

  it("predict - any number of samples gives each the same output, whatever batch it falls in", async () => {
    const model = await compile(FORECASTER, { seed: 1, maxBatch: 8 });
    const x = randomFloats(21 * TIME * CHANNELS, 1);
    const all = model.predict(x);
    expect(all).toHaveLength(21 * CHANNELS);
    for (const i of [0, 7, 8, 16, 20]) {
      const one = model.predict(x.subarray(i * TIME * CHANNELS, (i + 1) * TIME * CHANNELS));
      expect(relativeError(one, all.subarray(i * CHANNELS, (i + 1) * CHANNELS))).toBeLessThan(1e-5);
    }
  });

  it("data - NaN, Inf, empty and wrong-shaped input never reaches a kernel", async () => {
    const model = await compile(FORECASTER, { seed: 1 });
    const [x, y] = arrays(waves(4));
    const spoiled = (from: Float32Array, value: number) => from.map((v, i) => (i === 5 ? value : v));
    for (const value of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]) {
      expect(() => model.predict(spoiled(x, value))).toThrow(code("NOT_FINITE"));
      expect(() => model.evaluate(spoiled(x, value), y)).toThrow(code("NOT_FINITE"));
      await expect(model.fit(spoiled(x, value), y, OPTIONS)).rejects.toThrow(code("NOT_FINITE"));
    }
    await expect(model.fit(x, spoiled(y, Number.POSITIVE_INFINITY), OPTIONS)).rejects.toThrow(
      code("NOT_FINITE"),
    );
    expect(() => model.predict(new Float32Array(0))).toThrow(code("BAD_SHAPE"));
    expect(() => model.predict(new Float32Array(25))).toThrow(code("BAD_SHAPE"));
    expect(() => model.evaluate(x, new Float32Array(1))).toThrow(code("BAD_SHAPE"));
    await expect(model.fit({ count: 0, read() {} }, OPTIONS)).rejects.toThrow(code("BAD_INPUT"));
  });

  it("summary - names every layer with its shape and size, and the totals", async () => {
    const text = (await compile(FORECASTER, { seed: 1 })).summary();
    expect(text).toContain("gru_0 (GRU)");
    expect(text).toMatch(/dense_1 \(Dense\) +\(3\) +33 +60/);
    expect(text).toMatch(/parameters 483, FLOPs \d+, arena \d+ bytes/);
  });
});

describe("refusals", () => {
  const model = (...layers: Parameters<typeof sequential>[1][]) => sequential([4, 2], ...layers);

  it.each([
    ["an unknown layer", model(layer("Conv3D", { units: 2 })), "UNSUPPORTED", "Conv3D"],
    ["an unknown option", model(layer("LSTM", { units: 2, sparkle: 1 })), "UNSUPPORTED", "sparkle"],
    [
      "an unknown activation",
      model(layer("LSTM", { units: 2, activation: "swoosh" })),
      "UNSUPPORTED",
      "swoosh",
    ],
    [
      "a returned state",
      model(layer("LSTM", { units: 2, return_state: true })),
      "UNSUPPORTED",
      "return_state",
    ],
    [
      "an unknown initializer",
      model(layer("Dense", { units: 2, kernel_initializer: "magic" })),
      "UNSUPPORTED",
      "magic",
    ],
    [
      "a regularizer",
      model(layer("Dense", { units: 2, kernel_regularizer: { class_name: "Orthogonal", config: {} } })),
      "UNSUPPORTED",
      "kernel_regularizer",
    ],
    ["a wrong size", model(layer("LSTM", { units: -1 })), "BAD_INPUT", "units is -1"],
    [
      "a sequence where there is none",
      model(layer("LSTM", { units: 2 }), layer("GRU", { units: 2 })),
      "BAD_INPUT",
      "return_sequences",
    ],
    ["a model of another class", { class_name: "Subclassed", config: {} }, "UNSUPPORTED", "Subclassed"],
    ["a functional model without layers", { class_name: "Functional", config: {} }, "BAD_INPUT", "layers"],
    [
      "an open time axis",
      sequential([null as never, 2], layer("LSTM", { units: 2 })),
      "BAD_INPUT",
      "batch_input_shape",
    ],
    [
      "twice the same name",
      model(layer("Dense", { units: 2, name: "a" }), layer("Dense", { units: 2, name: "a" })),
      "BAD_INPUT",
      '"a"',
    ],
    ["text that is not JSON", "{", "BAD_INPUT", "JSON"],
    ["nothing", null, "BAD_INPUT", "LayersModel"],
  ])("compile - %s is refused in one sentence that names it", async (_, topology, expected, words) => {
    const failure = await compile(topology, { seed: 1 }).catch((error: unknown) => error);
    expect(failure).toMatchObject({ name: "FleetError", code: expected });
    expect((failure as Error).message).toContain(words);
  });

  it("compile - a model larger than the memory is refused before anything is made", async () => {
    const huge = sequential([4_096, 64], layer("LSTM", { units: 1_024 }));
    await expect(compile(huge, { seed: 1, maxBatch: 512 })).rejects.toThrow(code("TOO_LARGE"));
  });

  it.each([
    ["an unknown loss", { loss: "hinge" }, "UNSUPPORTED"],
    ["an unknown optimizer", { optimizer: { name: "lion", learningRate: 1 } }, "UNSUPPORTED"],
    ["a batch larger than the arena", { batchSize: 33 }, "BAD_INPUT"],
    ["no epochs", { epochs: 0 }, "BAD_INPUT"],
    ["a learning rate of zero", { optimizer: { name: "sgd", learningRate: 0 } }, "BAD_INPUT"],
    ["sample weights of the wrong number", { sampleWeights: new Float32Array(3) }, "BAD_SHAPE"],
  ])("fit - %s is refused", async (_, change, expected) => {
    const target = await compile(FORECASTER, { seed: 1 });
    const options = { ...OPTIONS, ...change } as FitOptions;
    await expect(target.fit(waves(10), options)).rejects.toThrow(code(expected));
  });
});

describe("predictOne", () => {
  it.each([
    ["recurrent", FORECASTER],
    [
      "convolutional",
      sequential(
        [TIME, CHANNELS],
        layer("Conv1D", { filters: 4, kernel_size: 3 }),
        layer("Flatten"),
        layer("Dense", { units: 2 }),
      ),
    ],
  ])(
    "%s: gives what predict gives of each sample, also after other weights and a fit",
    async (_, topology) => {
      const model = await compile(topology, { seed: 1 });
      const size = TIME * CHANNELS;
      const x = randomFloats(3 * size, 1);
      const sample = (i: number) => x.subarray(i * size, (i + 1) * size);
      const check = () => {
        for (let i = 0; i < 3; i++) {
          const one = model.predictOne(sample(i)).slice();
          expect(one).toEqual(model.predict(sample(i)));
        }
      };
      check();
      model.setWeights(model.weights().map((w) => w + 0.1));
      check();
      const y = randomFloats(3 * model.outputShape[0]!, 2);
      await model.fit(x, y, OPTIONS);
      check();
    },
  );

  it("refuses a sample of another size, NaN, and to go on after dispose", async () => {
    const model = await compile(FORECASTER, { seed: 1 });
    const x = new Float32Array(TIME * CHANNELS);
    expect(() => model.predictOne(x.subarray(1))).toThrow(code("BAD_SHAPE"));
    expect(() => model.predictOne(x.fill(Number.NaN))).toThrow(code("NOT_FINITE"));
    model.dispose();
    expect(() => model.predictOne(x)).toThrow(code("UNAVAILABLE"));
  });
});
