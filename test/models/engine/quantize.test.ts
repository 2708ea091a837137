import * as tf from "@tensorflow/tfjs";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { compile, quantize } from "../../../models/engine/index.ts";
import { dequantizeChannels, quantizeChannels, rangeOf } from "../../../models/engine/int8.ts";
import { createRandom } from "../../../models/engine/random.ts";
import { layer, randomFloats, relativeError, sequential } from "./support.ts";

const finite = fc.float({ noNaN: true, min: -1e6, max: 1e6 });

describe("quantizing", () => {
  it("a weight comes back within half a step of its channel", () => {
    const kernels = fc
      .tuple(fc.integer({ min: 1, max: 7 }), fc.integer({ min: 1, max: 9 }))
      .chain(([rows, channels]) =>
        fc.tuple(
          fc.constant(channels),
          fc.array(finite, { minLength: rows * channels, maxLength: rows * channels }),
        ),
      );
    fc.assert(
      fc.property(kernels, ([channels, values]) => {
        const w = Float32Array.from(values);
        const int8 = quantizeChannels(w, channels);
        const back = dequantizeChannels(int8);
        w.forEach((value, i) => {
          const step = int8.scales[i % channels]!;
          const largest = Math.max(...w.filter((_, k) => k % channels === i % channels).map(Math.abs));
          if (largest >= 1e-30) expect(step).toBeCloseTo(largest / 127, 5 - Math.ceil(Math.log10(largest)));
          // A float's rounding beside it.
          expect(Math.abs(value - back[i]!)).toBeLessThanOrEqual(0.5 * step + 1e-6 * largest);
        });
      }),
      { numRuns: 500 },
    );
  });

  it("an input's steps hold zero and reach from its least to its largest value, but for half a step", () => {
    fc.assert(
      fc.property(finite, finite, (a, b) => {
        const [min, max] = [Math.min(a, b), Math.max(a, b)];
        const { scale, lo, hi } = rangeOf(min, max);
        expect(hi - lo).toBe(255);
        expect(lo).toBeLessThanOrEqual(0);
        expect(hi).toBeGreaterThanOrEqual(0);
        expect(lo * scale).toBeLessThanOrEqual(min + 0.5001 * scale);
        expect(hi * scale).toBeGreaterThanOrEqual(max - 0.5001 * scale);
      }),
    );
  });
});

describe("a quantized model", () => {
  const images = () =>
    sequential(
      [8, 8, 1],
      layer("Conv2D", { filters: 6, kernel_size: [3, 3], activation: "relu", padding: "same" }),
      layer("MaxPooling2D", { pool_size: [2, 2] }),
      layer("Conv2D", { filters: 9, kernel_size: [2, 3], strides: [2, 1], activation: "relu" }),
      layer("Flatten"),
      layer("Dense", { units: 16, activation: "tanh" }),
      layer("Dense", { units: 3, activation: "softmax" }),
    );

  it("tells classes apart within a point of the float model, on samples that it was not calibrated on", async () => {
    const model = await compile(images(), { seed: 1 });
    const [train, test] = [stripes(1_500, 1), stripes(3_000, 2)];
    const loss = "sparseCategoricalCrossentropy";
    const optimizer = { name: "adam", learningRate: 3e-3 } as const;
    await model.fit(train.x, train.y, { epochs: 8, batchSize: 32, optimizer, loss, seed: 1 });
    const calibration = train.x.subarray(0, 200 * 64);
    const { model: quantized, report } = await quantize(model, calibration, {
      ...test,
      loss,
      metrics: ["accuracy"],
    });

    const { float, quantized: cost } = report.evaluation!;
    expect(float).toEqual(model.evaluate(test.x, test.y, { loss, metrics: ["accuracy"] }));
    expect(cost).toEqual(quantized.evaluate(test.x, test.y, { loss, metrics: ["accuracy"] }));
    expect(float.accuracy).toBeGreaterThan(0.75);
    expect(float.accuracy).toBeLessThan(1); // some are near the border, so that a cost could show
    expect(Math.abs(cost.accuracy! - float.accuracy!)).toBeLessThan(0.01);
    expect(Math.abs(cost.loss - float.loss)).toBeLessThan(0.02);
    expect(report.floatLayers).toEqual([]);
    expect(report.layers.map(({ className }) => className)).toEqual(["Conv2D", "Conv2D", "Dense", "Dense"]);

    const [a, b] = [model.predict(calibration), quantized.predict(calibration)];
    const differences = a.map((value, i) => Math.abs(value - b[i]!));
    expect(report.difference.max).toBeCloseTo(Math.max(...differences), 6);
    expect(report.difference.mean).toBeCloseTo(differences.reduce((x, y) => x + y) / differences.length, 6);
    expect(report.difference.max).toBeGreaterThan(0);
    expect(report.difference.max).toBeLessThan(0.1);
  });

  it("is what the formula gives with the integers put back into floats", async () => {
    const model = await compile(sequential([5, 7], layer("Dense", { units: 6, activation: "relu" })), {
      seed: 3,
    });
    model.setWeights(randomFloats(model.parameters, 4));
    const x = randomFloats(40 * 35, 5, 3);
    const { model: quantized, report } = await quantize(model, x, { maxBatch: 7 });

    const flat = model.weights();
    const w = dequantizeChannels(quantizeChannels(flat.subarray(0, 42), 6));
    const { min, max } = report.layers[0]!.input;
    expect([min, max]).toEqual([Math.min(...x), Math.max(...x)]);
    const { scale, lo, hi } = rangeOf(min, max);
    const q = (value: number) => scale * Math.max(lo, Math.min(hi, Math.round(value / scale)));
    const expected = Array.from({ length: 40 * 5 * 6 }, (_, i) => {
      const [row, n] = [Math.floor(i / 6), i % 6];
      let sum = flat[42 + n]!;
      for (let k = 0; k < 7; k++) sum += q(x[row * 7 + k]!) * w[k * 6 + n]!;
      return Math.max(0, sum);
    });
    expect(relativeError(quantized.predict(x), expected)).toBeLessThan(1e-5);
    // 42 integers in packs of 4 channels and 8 rows, 6 steps, 6 biases.
    expect(report.weightBytes).toEqual({ float: 4 * 48, quantized: 64 + 4 * 6 + 4 * 6 });
  });

  it("stays near the float model through padding, dilation, strides and causal series", async () => {
    const model = await compile(
      sequential(
        [13, 5],
        layer("Conv1D", {
          filters: 7,
          kernel_size: 3,
          padding: "causal",
          dilation_rate: 2,
          activation: "elu",
        }),
        layer("BatchNormalization"),
        layer("Conv1D", { filters: 4, kernel_size: 4, padding: "same", strides: 2 }),
        layer("Conv1D", { filters: 3, kernel_size: 1, use_bias: false }),
      ),
      { seed: 2 },
    );
    const x = randomFloats(50 * 65, 6);
    const { model: quantized, report } = await quantize(model, x);
    expect(relativeError(quantized.predict(x), model.predict(x))).toBeLessThan(0.03);
    expect(report.layers).toHaveLength(3);
    expect(report.floatLayers).toEqual([
      {
        name: "batchnormalization_1",
        className: "BatchNormalization",
        why: "the engine has no 8-bit BatchNormalization",
      },
    ]);
  });

  it("leaves recurrent and wrapped layers in floats and says so, and works on series that the layers turn round", async () => {
    const model = await compile(
      sequential(
        [6, 4],
        layer("GRU", { units: 5, return_sequences: true }),
        layer("Dense", { units: 3, activation: "gelu" }),
        layer("TimeDistributed", { layer: { class_name: "Dense", config: { name: "inner", units: 3 } } }),
      ),
      { seed: 2 },
    );
    const x = randomFloats(20 * 24, 6);
    const { model: quantized, report } = await quantize(model, x);
    expect(report.layers.map(({ name }) => name)).toEqual(["dense_1"]);
    expect(report.floatLayers.map(({ className }) => className)).toEqual(["GRU", "TimeDistributed"]);
    expect(relativeError(quantized.predict(x), model.predict(x))).toBeLessThan(0.03);
  });

  it("leaves a layer that is called twice in floats, and gives every output", async () => {
    const x = tf.input({ shape: [5] });
    const shared = tf.layers.dense({ units: 5, activation: "tanh", name: "shared" });
    const h = shared.apply(shared.apply(x)) as tf.SymbolicTensor;
    const outputs = [h, tf.layers.dense({ units: 2, name: "last" }).apply(h) as tf.SymbolicTensor];
    const model = await compile(tf.model({ inputs: x, outputs }).toJSON(null, false), { seed: 1 });
    const data = randomFloats(40 * 5, 8);
    const { model: quantized, report } = await quantize(model, data);
    expect(report.layers.map(({ name }) => name)).toEqual(["last"]);
    expect(report.floatLayers).toEqual([
      { name: "shared", className: "Dense", why: "it is called more than once" },
    ]);
    const [got, expected] = [quantized.predictAll(data), model.predictAll(data)];
    expect(got[0]).toEqual(expected[0]);
    expect(relativeError(got[1]!, expected[1]!)).toBeLessThan(0.02);
  });

  it("leaves the float model as it was, and takes a quarter of its bytes where kernels are large", async () => {
    const model = await compile(
      sequential([64], layer("Dense", { units: 128 }), layer("Dense", { units: 32 })),
      {
        seed: 2,
      },
    );
    const before = model.weights();
    const { model: quantized } = await quantize(model, randomFloats(64 * 10, 1));
    expect(model.weights()).toEqual(before);
    expect(quantized.weightBytes.float / quantized.weightBytes.quantized).toBeGreaterThan(3.5);
    quantized.dispose();
    expect(() => quantized.predict(new Float32Array(64))).toThrow(/disposed/);
  });

  it("refuses a model without such layers, no calibration data, and data that is not finite", async () => {
    const recurrent = await compile(sequential([6, 4], layer("GRU", { units: 5 })), { seed: 1 });
    await expect(quantize(recurrent, new Float32Array(24))).rejects.toThrow(/no Dense, Conv1D or Conv2D/);
    const model = await compile(sequential([4], layer("Dense", { units: 5 })), { seed: 1 });
    await expect(quantize(model, new Float32Array(0))).rejects.toThrow(/sample/);
    await expect(quantize(model, new Float32Array(4).fill(Number.NaN))).rejects.toThrow(/NaN/);
    await expect(quantize(model, new Float32Array(5))).rejects.toMatchObject({ code: "BAD_SHAPE" });
  });
});

/** Images of rows, columns or diagonals in noise that hides some of them. x: (n, 8, 8, 1), y: classes (n). */
function stripes(count: number, seed: number) {
  const random = createRandom(seed);
  const y = Float32Array.from({ length: count }, () => Math.floor(3 * random.uniform()));
  const x = new Float32Array(count * 64);
  for (let i = 0; i < count; i++) {
    const phase = Math.floor(4 * random.uniform());
    for (let k = 0; k < 64; k++) {
      const [row, column] = [k >> 3, k & 7];
      const along = [row, column, row + column][y[i]!]!;
      x[i * 64 + k] = ((along + phase) % 4 < 2 ? 1 : 0) + 0.8 * random.normal();
    }
  }
  return { x, y };
}
