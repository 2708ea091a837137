import { expect, it } from "vitest";
import { compile } from "../../../models/engine/index.ts";
import { gruResetAfter } from "../../../models/kernels/reference/gru.ts";
import { backpropagate, layer, machineFor, randomFloats, relativeError, sequential } from "./support.ts";

// tfjs has no reset_after, so the plain reference and finite differences stand in.

const TIME = 5;
const CHANNELS = 3;
const UNITS = 6;

it("GRU with reset after - equals the formulas written out", async () => {
  const topology = sequential(
    [TIME, CHANNELS],
    layer("GRU", { units: UNITS, reset_after: true, return_sequences: true }),
  );
  const model = await compile(topology, { seed: 1 });
  expect(model.layout.map(({ shape }) => shape)).toEqual([
    [CHANNELS, 3 * UNITS],
    [UNITS, 3 * UNITS],
    [2, 3 * UNITS],
  ]);
  const flat = randomFloats(model.parameters, 2);
  model.setWeights(flat);
  const kernelEnd = CHANNELS * 3 * UNITS;
  const recurrentEnd = kernelEnd + UNITS * 3 * UNITS;
  const weights = {
    units: UNITS,
    channels: CHANNELS,
    kernel: flat.subarray(0, kernelEnd),
    recurrent: flat.subarray(kernelEnd, recurrentEnd),
    bias: flat.subarray(recurrentEnd),
  };
  const x = randomFloats(4 * TIME * CHANNELS, 3, 2);
  const size = TIME * CHANNELS;
  const expected = [0, 1, 2, 3].flatMap((i) =>
    gruResetAfter(weights, x.subarray(i * size, (i + 1) * size), TIME).flat(),
  );
  expect(relativeError(model.predict(x), expected)).toBeLessThan(1e-5);
});

it.each([
  ["after, last step", { reset_after: true }],
  ["after, all steps", { reset_after: true, return_sequences: true }],
  ["after, without bias", { reset_after: true, use_bias: false }],
  [
    "after, relu and hard sigmoid",
    { reset_after: true, activation: "relu", recurrent_activation: "hard_sigmoid" },
  ],
  ["before, all steps", { reset_after: false, return_sequences: true }],
])("GRU with reset %s - every gradient agrees with finite differences", async (_, config) => {
  const batch = 3;
  // The Dense below makes the gradient pass through dx as well.
  const topology = sequential(
    [TIME, CHANNELS],
    layer("Dense", { units: 5, activation: "tanh" }),
    layer("GRU", { units: UNITS, ...config }),
  );
  const machine = await machineFor(topology);
  machine.weights.set(randomFloats(machine.plan.parameters, 4, 0.8));
  const x = randomFloats(batch * machine.inputs[0]!.size, 5);
  const y = randomFloats(batch * machine.outputs[0]!.size, 6);
  const { gradients } = backpropagate(machine, batch, x, y);
  const h = 1e-2;
  const numeric = machine.weights.map((weight, i) => {
    const [up, down] = [weight + h, weight - h].map((shifted) => {
      machine.weights[i] = shifted;
      return backpropagate(machine, batch, x, y).loss;
    });
    machine.weights[i] = weight;
    return (up! - down!) / (2 * h);
  });
  expect(relativeError(gradients, numeric)).toBeLessThan(2e-3);
});
