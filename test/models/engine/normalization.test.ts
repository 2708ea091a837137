import * as tf from "@tensorflow/tfjs";
import { beforeAll, describe, expect, it } from "vitest";
import { compile } from "../../../models/engine/index.ts";
import { backpropagate, layer, machineFor, randomFloats, relativeError, sequential } from "./support.ts";
import { expectSameAsTfjs, topologyOf } from "./tfjs-peer.ts";

beforeAll(async () => {
  await tf.setBackend("cpu");
});

const { dense, layerNormalization, batchNormalization, gru } = tf.layers;
/** Above zero, as a variance is. */
const positive = (size: number) => randomFloats(size, 3, 0.4).map((value) => value + 0.6);

describe("LayerNormalization", () => {
  it.each([
    ["over channels of a sequence, behind a Dense", { axis: -1 }, [5, 7]],
    ["over the only axis", {}, [9]],
    ["over the last axis, counted from the front", { axis: 2, epsilon: 0.1 }, [3, 2]],
    ["over time and channels", { axis: [1, 2] }, [3, 5]],
  ] as const)("outputs and all gradients are those of tfjs: %s", async (_, options, shape) => {
    const model = tf.sequential();
    model.add(dense({ units: shape.at(-1)!, inputShape: [...shape.slice(0, -1), 4], activation: "tanh" }));
    model.add(layerNormalization({ ...options, axis: (options as { axis?: number }).axis ?? -1 }));
    model.add(dense({ units: 3 }));
    await expectSameAsTfjs(model);
  });

  it("keeps the order of the recurrent layers about it, and steps row by row", async () => {
    const recurrent = { recurrentActivation: "sigmoid", returnSequences: true } as const;
    const model = tf.sequential();
    model.add(gru({ units: 5, inputShape: [6, 3], ...recurrent }));
    model.add(batchNormalization({}));
    model.add(layerNormalization({}));
    model.add(gru({ units: 4, ...recurrent }));
    await expectSameAsTfjs(model, { weights: positive });
    const machine = await machineFor(topologyOf(model));
    expect(machine.plan.steps.filter(({ layer }) => layer.className === "Reorder")).toHaveLength(2);

    const ours = await compile(topologyOf(model), { seed: 1 });
    ours.setWeights(positive(ours.parameters));
    const x = randomFloats(18, 1);
    const stepper = ours.stepper();
    const stepped = [0, 1, 2, 3, 4, 5].flatMap((t) => [...stepper.step(x.subarray(3 * t, 3 * t + 3))]);
    expect(relativeError(stepped, ours.predict(x))).toBeLessThan(1e-5);
  });

  // tfjs stops with an error when it trains without gamma or beta.
  it.each([
    ["without gamma", { scale: false }],
    ["without beta", { center: false }],
    ["without either", { scale: false, center: false }],
  ])("every gradient agrees with finite differences: %s", async (_, config) => {
    await expectSlopes("LayerNormalization", config);
  });

  it("one channel is its own mean: beta is all that is left", async () => {
    const machine = await machineFor(sequential([3, 1], layer("LayerNormalization")));
    machine.weights.set([2, 0.5]);
    machine.inputs[0]!.at(2).set(randomFloats(6, 1, 1000));
    machine.forward(2, true);
    expect([...machine.outputs[0]!.at(2)]).toEqual(new Array(6).fill(0.5));
  });

  it("an axis that is not among the last is refused", async () => {
    const topology = sequential([4, 5], layer("LayerNormalization", { axis: [1] }));
    await expect(machineFor(topology)).rejects.toThrow("over the last axes only, not over axis 1");
    const rms = sequential([4, 5], layer("LayerNormalization", { rms_scaling: true }));
    await expect(machineFor(rms)).rejects.toThrow("rms_scaling true");
  });
});

describe("BatchNormalization", () => {
  it.each([
    ["of a sequence, behind a Dense", {}, [5, 7]],
    ["of single rows", { epsilon: 0.1 }, [9]],
    ["of images", { axis: 3 }, [3, 2, 5]],
  ] as const)("outputs and all gradients are those of tfjs: %s", async (_, options, shape) => {
    const model = tf.sequential();
    model.add(dense({ units: shape.at(-1)!, inputShape: [...shape.slice(0, -1), 4], activation: "tanh" }));
    model.add(batchNormalization(options));
    model.add(dense({ units: 3 }));
    await expectSameAsTfjs(model, { weights: positive });
  });

  it("training moves the averages as tfjs does, scoring leaves them", async () => {
    const model = tf.sequential();
    model.add(batchNormalization({ momentum: 0.8, inputShape: [6, 5] }));
    const machine = await machineFor(topologyOf(model));
    machine.weights.set(positive(20));
    model.setWeights([0, 5, 10, 15].map((start) => tf.tensor1d(machine.weights.slice(start, start + 5))));
    const x = randomFloats(7 * 30, 2, 3);
    const before = machine.weights.slice();
    for (let i = 0; i < 3; i++) {
      backpropagate(machine, 7, x, randomFloats(7 * 30, 3));
      model.apply(tf.tensor(x, [7, 6, 5]), { training: true });
      machine.forward(7, false);
    }
    const theirs = model.getWeights().flatMap((weight) => [...weight.dataSync()]);
    expect(relativeError(machine.weights, theirs)).toBeLessThan(1e-5);
    expect(relativeError(machine.weights, before)).toBeGreaterThan(0.05);
    expect(machine.weights.slice(0, 10)).toEqual(before.slice(0, 10));
    expect(machine.plan.trained).toBe(10);
  });

  // tfjs stops with an error when it trains without gamma or beta.
  it.each([
    ["without gamma", { scale: false }],
    ["without beta", { center: false }],
    ["frozen", { trainable: false }],
  ])("every gradient agrees with finite differences: %s", async (_, config) => {
    await expectSlopes("BatchNormalization", config);
  });

  it("frozen, it computes the same whether training or not, and leaves the averages", async () => {
    const machine = await machineFor(sequential([5], layer("BatchNormalization", { trainable: false })));
    machine.weights.set(positive(20));
    const before = machine.weights.slice();
    machine.inputs[0]!.at(6).set(randomFloats(30, 1));
    machine.forward(6, false);
    const scored = machine.outputs[0]!.at(6).slice();
    machine.forward(6, true);
    expect(machine.outputs[0]!.at(6)).toEqual(scored);
    expect(machine.weights).toEqual(before);
  });

  it("mean and variance of a large batch far from zero stay exact", async () => {
    const machine = await machineFor(sequential([3], layer("BatchNormalization", { momentum: 0 })), 5000);
    machine.weights.set([1, 1, 1, 0, 0, 0, 0, 0, 0, 1, 1, 1]);
    const x = randomFloats(15_000, 1).map((value) => 1000 + value);
    machine.inputs[0]!.at(5000).set(x);
    machine.forward(5000, true);
    for (let c = 0; c < 3; c++) {
      const column = Float64Array.from({ length: 5000 }, (_, i) => x[3 * i + c]!);
      const mean = column.reduce((sum, value) => sum + value, 0) / 5000;
      const variance = column.reduce((sum, value) => sum + (value - mean) ** 2, 0) / 5000;
      expect(machine.weights[6 + c]! / mean).toBeCloseTo(1, 6);
      expect(machine.weights[9 + c]! / variance).toBeCloseTo(1, 4);
    }
  });

  it("another axis and renorm are refused", async () => {
    const topology = sequential([4, 5], layer("BatchNormalization", { axis: 1 }));
    await expect(machineFor(topology)).rejects.toThrow("along the last axis only, not along axis 1");
    const renorm = sequential([4, 5], layer("BatchNormalization", { renorm: true }));
    await expect(machineFor(renorm)).rejects.toThrow("renorm true");
  });
});

async function expectSlopes(className: string, config: Record<string, unknown>): Promise<void> {
  const topology = sequential(
    [3, 4],
    layer("Dense", { units: 5, activation: "tanh" }),
    layer(className, config),
    layer("Dense", { units: 2 }),
  );
  const machine = await machineFor(topology);
  const start = positive(machine.plan.parameters);
  // Channels that differ, or there is no variance to divide by.
  start.set(randomFloats(25, 4), 0);
  machine.weights.set(start);
  const x = randomFloats(4 * 12, 5, 2);
  const y = randomFloats(4 * 6, 6);
  const { gradients } = backpropagate(machine, 4, x, y);
  const h = 5e-3;
  const numeric = gradients.map((_, i) => {
    const [up, down] = [h, -h].map((shift) => {
      machine.weights.set(start);
      machine.weights[i]! += shift;
      return backpropagate(machine, 4, x, y).loss;
    });
    return (up! - down!) / (2 * h);
  });
  expect(relativeError(gradients, numeric)).toBeLessThan(2e-3);
}
