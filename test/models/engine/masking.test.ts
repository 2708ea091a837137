import * as tf from "@tensorflow/tfjs";
import { beforeAll, describe, expect, it } from "vitest";
import { compile } from "../../../models/engine/index.ts";
import { backpropagate, layer, machineFor, randomFloats, relativeError, sequential } from "./support.ts";
import { expectSameAsTfjs } from "./tfjs-peer.ts";

beforeAll(async () => {
  await tf.setBackend("cpu");
});

const TIME = 6;
const CHANNELS = 3;

/** Steps masked at random, in some sample also the first, the last and all of them; -1 in one channel alone masks nothing. */
function masked(size: number, value: number): Float32Array {
  const x = randomFloats(size, 1, 2);
  const coin = randomFloats(size / CHANNELS, 2);
  coin.forEach((side, step) => {
    const sample = Math.floor(step / TIME);
    if (sample === 2 || (sample > 2 && side < 0)) x.fill(value, step * CHANNELS, (step + 1) * CHANNELS);
    else if (side > 0.5) x[step * CHANNELS] = value;
  });
  return x;
}

const L = tf.layers;
const RECURRENT = {
  SimpleRNN: (options: object) => L.simpleRNN(options as never),
  GRU: (options: object) => L.gru({ recurrentActivation: "sigmoid", ...options } as never),
  LSTM: (options: object) => L.lstm({ recurrentActivation: "sigmoid", ...options } as never),
};
const NAMES = Object.keys(RECURRENT) as (keyof typeof RECURRENT)[];

describe("Masking", () => {
  it.each(NAMES.flatMap((name) => [0, -1].map((value) => [name, value] as const)))(
    "%s carries its state over steps that are all %d, forwards, backwards and in both directions, as tfjs does",
    async (name, maskValue) => {
      const make = RECURRENT[name];
      const inputs = (size: number) => masked(size, maskValue);
      const mask = () => L.masking({ maskValue, inputShape: [TIME, CHANNELS] });
      for (const returnSequences of [true, false]) {
        for (const goBackwards of [true, false]) {
          const layers = [
            mask(),
            L.dense({ units: 4 }),
            make({ units: 7, returnSequences: true }),
            make({ units: 5, goBackwards, returnSequences }),
          ];
          await expectSameAsTfjs(tf.sequential({ layers }), { inputs });
        }
        const layer = make({ units: 5, returnSequences }) as never;
        await expectSameAsTfjs(
          tf.sequential({ layers: [mask(), L.bidirectional({ layer, mergeMode: "concat" })] }),
          { inputs },
        );
      }
    },
  );

  it("goes through the layers that keep steps, ends at a last step, and turns no output into NaN", async () => {
    const topology = sequential(
      [TIME, CHANNELS],
      layer("Masking"),
      layer("Dense", { units: 4 }),
      layer("Activation", { activation: "softmax" }),
      layer("TimeDistributed", { layer: layer("Dense", { units: 3 }) }),
      layer("GRU", { units: 4, return_sequences: true }),
      layer("LSTM", { units: 4 }),
      layer("Dense", { units: 2 }),
    );
    const { plan } = await machineFor(topology);
    const masks = plan.steps
      .filter(({ layer }) => layer.className !== "Reorder")
      .map(({ output }) => plan.tensors[output]!.mask !== null);
    expect(masks).toEqual([true, true, true, true, true, false, false]);
  });

  it("GRU with reset after - a masked sequence gives what the sequence without those steps gives", async () => {
    const make = (time: number, ...before: ReturnType<typeof layer>[]) =>
      compile(
        sequential([time, CHANNELS], ...before, layer("GRU", { name: "g", units: 5, reset_after: true })),
        { seed: 1 },
      );
    const [long, short] = [await make(TIME, layer("Masking")), await make(TIME - 3)];
    const x = randomFloats(TIME * CHANNELS, 4);
    for (const t of [0, 2, 5]) x.fill(0, t * CHANNELS, (t + 1) * CHANNELS);
    const dense = x.filter((_, i) => ![0, 2, 5].includes(Math.floor(i / CHANNELS)));
    expect(relativeError(long.predict(x), short.predict(dense))).toBeLessThan(1e-6);
  });

  // tfjs has neither reset_after nor a gradient through Masking; without a bias, rows of zeros stay so in the Dense before it.
  it.each([true, false])(
    "GRU with reset after %s - gradients agree with finite differences",
    async (after) => {
      const machine = await machineFor(
        sequential(
          [TIME, CHANNELS],
          layer("Dense", { units: 4, use_bias: false }),
          layer("Masking"),
          layer("Dense", { units: 4, activation: "tanh" }),
          layer("GRU", { units: 5, reset_after: after, return_sequences: true }),
          layer("GRU", { units: 3, reset_after: after }),
        ),
      );
      machine.weights.set(randomFloats(machine.plan.parameters, 4, 0.8));
      const batch = 4;
      const x = masked(batch * machine.inputs[0]!.size, 0);
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
    },
  );

  it.each(NAMES)("%s - the stepper stays where it is at a masked row", async (name) => {
    const model = await compile(
      sequential([TIME, CHANNELS], layer("Masking"), layer(name, { units: 5, return_sequences: true })),
      { seed: 1 },
    );
    const x = masked(TIME * CHANNELS, 0);
    x.fill(0, 0, CHANNELS);
    x.fill(0, 3 * CHANNELS, 4 * CHANNELS);
    const stepper = model.stepper();
    const got = Array.from({ length: TIME }, (_, t) => [
      ...stepper.step(x.subarray(t * CHANNELS, (t + 1) * CHANNELS)),
    ]);
    expect(relativeError(got.flat(), model.predict(x))).toBeLessThan(1e-5);
    expect(got[3]).toEqual(got[2]);
  });

  it("refuses an input without channels of its own, in one sentence", async () => {
    await expect(machineFor(sequential([4], layer("Masking")))).rejects.toThrow("(time, channels)");
  });
});

describe("dropout of a recurrent layer's input", () => {
  const ONES = (size: number) => new Float32Array(size).fill(1);

  it.each(["forwards", "backwards"])(
    "leaves the same channels out at every step, scales the others up, and scores without (%s)",
    async (way) => {
      const rate = 0.25;
      const [time, channels, batch] = [3, 400, 2];
      const topology = sequential(
        [time, channels],
        layer("SimpleRNN", {
          units: 1,
          activation: "linear",
          dropout: rate,
          return_sequences: true,
          go_backwards: way === "backwards",
        }),
      );
      const machine = await machineFor(topology);
      // Only the input side: h_t is the mean of what is left of the step's input.
      machine.weights.fill(1 / channels, 0, channels);
      machine.weights.fill(0, channels);
      machine.inputs[0]!.at(batch).set(ONES(batch * time * channels));
      machine.seed(7);
      machine.forward(batch, true);
      const dropped = [...machine.outputs[0]!.at(batch)];
      for (const sample of [0, 1]) {
        const [first, ...rest] = dropped.slice(sample * time, (sample + 1) * time);
        for (const other of rest) expect(other).toBeCloseTo(first!, 5);
        const kept = first! * (1 - rate);
        expect(kept).toBeGreaterThan(0.68);
        expect(kept).toBeLessThan(0.82);
      }
      expect(dropped[0]).not.toBeCloseTo(dropped[time]!, 4);
      machine.forward(batch, true);
      expect([...machine.outputs[0]!.at(batch)]).not.toEqual(dropped);
      machine.seed(7);
      machine.forward(batch, true);
      expect([...machine.outputs[0]!.at(batch)]).toEqual(dropped);
      machine.forward(batch, false);
      for (const value of machine.outputs[0]!.at(batch)) expect(value).toBeCloseTo(1, 5);
    },
  );

  it.each(NAMES)("%s - gradients agree with finite differences under the same draw", async (name) => {
    const machine = await machineFor(
      sequential(
        [TIME, CHANNELS],
        layer("Dense", { units: 6, activation: "tanh" }),
        layer(name, { units: 4, dropout: 0.4, go_backwards: true }),
      ),
    );
    machine.weights.set(randomFloats(machine.plan.parameters, 4, 0.8));
    const batch = 3;
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
});
