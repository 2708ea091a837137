import { describe, expect, it } from "vitest";
import { compile } from "../../../models/engine/index.ts";
import { layer, machineFor, randomFloats, relativeError, sequential } from "./support.ts";

const BATCH = 31;

/** Output and weight gradient of x -> Dense with the identity -> the layer, for an output gradient of ones. */
async function passed(own: ReturnType<typeof layer>, shape: readonly number[], seed = 1) {
  const channels = shape.at(-1)!;
  const machine = await machineFor(
    sequential(shape, layer("Dense", { units: channels, use_bias: false }), own),
  );
  for (let i = 0; i < channels; i++) machine.weights[i * channels + i] = 1;
  const x = randomFloats(BATCH * machine.inputs[0]!.size, 5, 2).map((value) => value + 3); // none is 0
  machine.inputs[0]!.at(BATCH).set(x);
  machine.seed(seed);
  machine.forward(BATCH, true);
  const output = machine.outputs[0]!.at(BATCH).slice();
  const again = () => {
    machine.forward(BATCH, true);
    return machine.outputs[0]!.at(BATCH).slice();
  };
  const scored = () => {
    machine.forward(BATCH, false);
    return machine.outputs[0]!.at(BATCH).slice();
  };
  const gradient = () => {
    new Float32Array(machine.kernels.memory.buffer, machine.outputs[0]!.gradient, output.length).fill(1);
    machine.backward(BATCH);
    return machine.gradients.slice();
  };
  return { machine, x, output, again, scored, gradient };
}

/** What the gradient of W must be for an output gradient of ones and dy/dh = factors: x^T factors. */
function expectedGradient(x: Float32Array, factors: Float32Array, channels: number): number[] {
  const sums = new Array<number>(channels * channels).fill(0);
  for (let row = 0; row < x.length; row += channels)
    for (let i = 0; i < channels; i++)
      for (let j = 0; j < channels; j++) sums[i * channels + j]! += x[row + i]! * factors[row + j]!;
  return sums;
}

describe("dropout and noise", () => {
  it.each([0, 0.1, 0.5, 0.83])(
    "Dropout keeps a part of 1 - %f, scaled up, and sends the gradient the same way",
    async (rate) => {
      const shape = [9, 7];
      const { x, output, gradient } = await passed(
        layer("Dropout", { rate, noise_shape: null, seed: 3 }),
        shape,
      );
      const factors = output.map((value, i) => value / x[i]!);
      const kept = factors.filter((factor) => factor !== 0);
      expect(kept.every((factor) => Math.abs(factor * (1 - rate) - 1) < 1e-6)).toBe(true);
      // Four standard deviations of a binomial.
      const deviation = Math.sqrt((rate * (1 - rate)) / factors.length);
      expect(Math.abs(kept.length / factors.length - (1 - rate))).toBeLessThanOrEqual(4 * deviation);
      expect(relativeError(gradient(), expectedGradient(x, factors, 7))).toBeLessThan(1e-5);
    },
  );

  it("the next batch drops others, the same seed the same, and another seed others", async () => {
    const own = layer("Dropout", { rate: 0.5 });
    const first = await passed(own, [13]);
    const same = await passed(own, [13]);
    const other = await passed(own, [13], 2);
    expect(same.output).toEqual(first.output);
    expect(same.again()).toEqual(first.again());
    expect(first.again()).not.toEqual(first.output);
    expect(other.output).not.toEqual(first.output);
  });

  it("two layers of one model drop independently of each other", async () => {
    const machine = await machineFor(
      sequential([400], layer("Dropout", { rate: 0.5 }), layer("Dropout", { rate: 0.5 })),
    );
    machine.inputs[0]!.at(1).fill(1);
    machine.seed(1);
    machine.forward(1, true);
    const kept = machine.outputs[0]!.at(1).filter((value) => value !== 0).length;
    expect(kept).toBeGreaterThan(60); // a quarter of 400, not a half and not none
    expect(kept).toBeLessThan(140);
  });

  it.each([
    ["Dropout", { rate: 0.4 }],
    ["SpatialDropout1D", { rate: 0.4 }],
    ["GaussianNoise", { stddev: 0.4 }],
    ["GaussianDropout", { rate: 0.4 }],
    ["AlphaDropout", { rate: 0.4 }],
  ] as const)("%s does nothing when it scores", async (name, config) => {
    const { x, output, scored } = await passed(layer(name, config), [6, 5]);
    expect(output).not.toEqual(x);
    expect(scored()).toEqual(x);
  });

  it.each([
    ["SpatialDropout1D", [9, 7]],
    ["SpatialDropout2D", [3, 5, 6]],
  ] as const)("%s drops whole channels", async (name, shape) => {
    const { x, output, gradient } = await passed(layer(name, { rate: 0.3, data_format: null }), shape);
    const channels = shape.at(-1)!;
    const size = shape.reduce((a, b) => a * b, 1);
    const factors = output.map((value, i) => value / x[i]!);
    let dropped = 0;
    for (let sample = 0; sample < BATCH; sample++)
      for (let c = 0; c < channels; c++) {
        const own = factors.subarray(sample * size, (sample + 1) * size).filter((_, i) => i % channels === c);
        if (own[0] === 0) dropped++;
        expect(own.every((factor) => Math.abs(factor - (own[0] === 0 ? 0 : 1 / 0.7)) < 1e-6)).toBe(true);
      }
    expect(dropped / (BATCH * channels)).toBeGreaterThan(0.17);
    expect(dropped / (BATCH * channels)).toBeLessThan(0.43);
    expect(relativeError(gradient(), expectedGradient(x, factors, channels))).toBeLessThan(1e-5);
  });

  it("GaussianNoise adds noise of its deviation and lets the gradient through", async () => {
    const { x, output, gradient } = await passed(layer("GaussianNoise", { stddev: 0.5 }), [9, 7]);
    const noise = output.map((value, i) => value - x[i]!);
    const mean = noise.reduce((a, b) => a + b) / noise.length;
    const deviation = Math.sqrt(noise.reduce((a, b) => a + b * b, 0) / noise.length);
    expect(Math.abs(mean)).toBeLessThan(0.05);
    expect(Math.abs(deviation - 0.5)).toBeLessThan(0.03);
    const ones = new Float32Array(x.length).fill(1);
    expect(relativeError(gradient(), expectedGradient(x, ones, 7))).toBeLessThan(1e-5);
  });

  it("GaussianDropout multiplies by noise around 1, and the gradient by the same", async () => {
    const { x, output, gradient } = await passed(layer("GaussianDropout", { rate: 0.2 }), [9, 7]);
    const factors = output.map((value, i) => value / x[i]!);
    const mean = factors.reduce((a, b) => a + b) / factors.length;
    const variance = factors.reduce((a, b) => a + (b - 1) ** 2, 0) / factors.length;
    expect(Math.abs(mean - 1)).toBeLessThan(0.05);
    expect(Math.abs(variance - 0.25)).toBeLessThan(0.03);
    expect(relativeError(gradient(), expectedGradient(x, factors, 7))).toBeLessThan(1e-5);
  });

  it("AlphaDropout keeps mean 0 and variance 1, and passes the gradient of what it keeps", async () => {
    const rate = 0.3;
    const machine = await machineFor(
      sequential([501], layer("Dense", { units: 501, use_bias: false }), layer("AlphaDropout", { rate })),
    );
    for (let i = 0; i < 501; i++) machine.weights[i * 501 + i] = 1;
    // Uniform with variance 1.
    const x = randomFloats(BATCH * 501, 1, Math.sqrt(3));
    machine.inputs[0]!.at(BATCH).set(x);
    machine.seed(1);
    machine.forward(BATCH, true);
    const y = machine.outputs[0]!.at(BATCH).slice();
    const mean = y.reduce((a, b) => a + b) / y.length;
    const variance = y.reduce((a, b) => a + b * b, 0) / y.length;
    expect(Math.abs(mean)).toBeLessThan(0.05);
    expect(Math.abs(variance - 1)).toBeLessThan(0.05);
    // tfjs' formula: a (x or lowest) + b.
    const lowest = -1.7580993408473766;
    const a = ((1 - rate) * (1 + rate * lowest ** 2)) ** -0.5;
    const b = -a * lowest * rate;
    const isDropped = (value: number) => Math.abs(value - (a * lowest + b)) < 1e-5;
    y.forEach((value, i) => {
      if (!isDropped(value)) expect(value).toBeCloseTo(a * x[i]! + b, 5);
    });
    expect(Math.abs(y.filter(isDropped).length / y.length - rate)).toBeLessThan(0.02);
    new Float32Array(machine.kernels.memory.buffer, machine.outputs[0]!.gradient, y.length).fill(1);
    machine.backward(BATCH);
    const factors = y.map((value) => (isDropped(value) ? 0 : a));
    const column = machine.gradients.filter((_, i) => i % 501 === 4);
    const expected = Array.from({ length: 501 }, (_, i) => {
      let sum = 0;
      for (let row = 0; row < BATCH; row++) sum += x[row * 501 + i]! * factors[row * 501 + 4]!;
      return sum;
    });
    expect(relativeError(column, expected)).toBeLessThan(1e-4);
  });

  it("a fit with dropout is the same for the same seed, bit by bit, and another for another", async () => {
    const topology = sequential(
      [6, 3],
      layer("GRU", { units: 5, return_sequences: true }),
      layer("SpatialDropout1D", { rate: 0.2 }),
      layer("GRU", { units: 4 }),
      layer("Dropout", { rate: 0.3 }),
      layer("Dense", { units: 2 }),
    );
    const trained = async (seed: number) => {
      const model = await compile(topology, { seed: 1, maxBatch: 8 });
      await model.fit(randomFloats(20 * 18, 1), randomFloats(20 * 2, 2), {
        epochs: 2,
        batchSize: 8,
        optimizer: { name: "adam", learningRate: 0.01 },
        loss: "mse",
        seed,
        shuffle: false,
      });
      return model.weights();
    };
    const first = await trained(1);
    expect(await trained(1)).toEqual(first);
    expect(await trained(2)).not.toEqual(first);
  });

  it("dropout can be stepped over: a stream is scored, not trained", async () => {
    const model = await compile(
      sequential([5, 2], layer("GRU", { units: 3, return_sequences: true }), layer("Dropout", { rate: 0.5 })),
      { seed: 1 },
    );
    const x = randomFloats(10, 1);
    const whole = model.predict(x);
    const stepper = model.stepper();
    for (let t = 0; t < 5; t++)
      expect(
        relativeError(stepper.step(x.subarray(2 * t, 2 * t + 2)), whole.subarray(3 * t, 3 * t + 3)),
      ).toBeLessThan(1e-5);
  });

  it.each([
    [layer("Dropout", { rate: 1 }), "rate"],
    [layer("Dropout", { rate: 0.5, noise_shape: [null, 1] }), "noise_shape"],
    [layer("SpatialDropout2D", { rate: 0.5 }), "3 axes"],
    [layer("GaussianNoise", { stddev: -1 }), "stddev"],
  ])("%j is refused by name", async (refused, words) => {
    await expect(machineFor(sequential([4, 3], refused))).rejects.toThrow(words);
  });
});
