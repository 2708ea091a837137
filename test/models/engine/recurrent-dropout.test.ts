import * as tf from "@tensorflow/tfjs";
import { beforeAll, describe, expect, it } from "vitest";
import { compile } from "../../../models/engine/index.ts";
import { backpropagate, layer, machineFor, randomFloats, relativeError, sequential } from "./support.ts";
import { expectSameAsTfjs } from "./tfjs-peer.ts";

beforeAll(async () => {
  await tf.setBackend("cpu");
});

const BATCH = 7; // as expectSameAsTfjs has it
const RATE = 0.4;
const [TIME, CHANNELS, WIDTH, UNITS] = [6, 3, 5, 9];
const NAMES = ["SimpleRNN", "LSTM", "GRU"] as const;
const FACTOR = 1 / (1 - RATE);

/** What seed 1 draws for a recurrent layer of 9 units behind another layer: h_2 = 1 + m, where h_1 is 1. */
async function drawn(): Promise<Float32Array> {
  const machine = await machineFor(
    sequential(
      [2, CHANNELS],
      layer("Dense", { units: WIDTH }),
      layer("SimpleRNN", { units: UNITS, activation: "linear", recurrent_dropout: RATE }),
    ),
  );
  machine.weights.fill(0);
  const R = machine.plan.parameters - UNITS * UNITS - UNITS;
  for (let i = 0; i < UNITS; i++) machine.weights[R + i * UNITS + i] = 1;
  machine.weights.fill(1, R + UNITS * UNITS);
  machine.seed(1);
  machine.forward(BATCH, true);
  return machine.outputs[0]!.at(BATCH).map((h) => h - 1);
}

describe("recurrent dropout", () => {
  it("draws zeros with the probability of its rate, and scales what is left", async () => {
    const mask = await drawn();
    const zeros = mask.filter((m) => Math.abs(m) < 1e-6).length;
    for (const m of mask) expect(Math.min(Math.abs(m), Math.abs(m - FACTOR))).toBeLessThan(1e-5);
    expect(zeros / mask.length).toBeGreaterThan(0.2);
    expect(zeros / mask.length).toBeLessThan(0.6);
  });

  const common = { units: UNITS, recurrentDropout: RATE };
  it.each([
    ["simpleRNN", { ...common }],
    ["simpleRNN", { ...common, returnSequences: true, useBias: false, activation: "relu" }],
    ["simpleRNN", { ...common, goBackwards: true }],
    ["lstm", { ...common, recurrentActivation: "sigmoid" }],
    ["lstm", { ...common, recurrentActivation: "hardSigmoid", returnSequences: true, activation: "linear" }],
    ["lstm", { ...common, recurrentActivation: "sigmoid", useBias: false, goBackwards: true }],
  ] as const)(
    "outputs and all gradients are those of tfjs with the same draw: %s %j",
    async (kind, config) => {
      const mask = tf.tensor(await drawn(), [BATCH, UNITS]);
      const recurrent = tf.layers[kind](config as never);
      (recurrent as unknown as { cell: { dropoutFunc: unknown } }).cell.dropoutFunc = () => mask;
      const model = tf.sequential({
        layers: [tf.layers.dense({ units: WIDTH, inputShape: [TIME, CHANNELS] }), recurrent],
      });
      await expectSameAsTfjs(model);
    },
  );

  // tfjs' GRU also drops what z carries on, which neither Keras nor the paper does: the formula itself, on tfjs' operations.
  it.each([
    ["reset before the product", false, true, false],
    ["reset after it", true, true, true],
    ["reset after it, without a bias", true, false, false],
    ["all steps, without a bias", false, false, true],
  ])(
    "GRU has the formula's outputs and gradients with the same draw: %s",
    async (_, after, bias, sequences) => {
      const machine = await machineFor(
        sequential(
          [TIME, CHANNELS],
          layer("Dense", { units: WIDTH }),
          layer("GRU", {
            units: UNITS,
            recurrent_dropout: RATE,
            reset_after: after,
            use_bias: bias,
            return_sequences: sequences,
          }),
        ),
      );
      machine.weights.set(randomFloats(machine.plan.parameters, 4, 0.9));
      const mask = tf.tensor2d(await drawn(), [BATCH, UNITS]);
      const x = randomFloats(BATCH * TIME * CHANNELS, 5);
      const y = randomFloats(machine.outputs[0]!.at(BATCH).length, 6);
      // Once with other values, so that nothing can count on zeros.
      backpropagate(machine, BATCH, x.slice().reverse(), y);
      const { output, gradients } = backpropagate(machine, BATCH, x, y);

      let offset = 0;
      const variables = machine.plan.layout.map(({ shape }) => {
        const size = shape.reduce((product, n) => product * n, 1);
        offset += size;
        return tf.variable(tf.tensor(machine.weights.slice(offset - size, offset), [...shape]));
      });
      const [denseW, denseB, W, R] = variables as [tf.Variable, tf.Variable, tf.Variable, tf.Variable];
      const b = variables[4];
      const part = (of: tf.Tensor, g: number) => of.slice([0, g * UNITS], [-1, UNITS]);
      const biasOf = (row: number, g: number) =>
        b ? b.reshape([after ? 2 : 1, 3 * UNITS]).slice([row, g * UNITS], [1, UNITS]) : tf.scalar(0);
      const late = (g: number) => (after ? biasOf(1, g) : tf.scalar(0));
      let theirs = new Float32Array();
      const { grads } = tf.variableGrads(() => {
        const inputs = tf.tensor3d(x, [BATCH, TIME, CHANNELS]);
        let h: tf.Tensor = tf.zeros([BATCH, UNITS]);
        const all: tf.Tensor[] = [];
        for (let t = 0; t < TIME; t++) {
          const row = inputs.slice([0, t, 0], [-1, 1, -1]).reshape([BATCH, CHANNELS]);
          const wide = tf.matMul(row, denseW).add(denseB);
          const side = (g: number) => tf.matMul(wide, part(W, g)).add(biasOf(0, g));
          const held = h.mul(mask);
          const recur = (from: tf.Tensor, g: number) => tf.matMul(from, part(R, g)).add(late(g));
          const z = tf.sigmoid(side(0).add(recur(held, 0)));
          const r = tf.sigmoid(side(1).add(recur(held, 1)));
          const inner = after ? r.mul(recur(held, 2)) : recur(r.mul(held), 2);
          const candidate = tf.tanh(side(2).add(inner));
          h = z.mul(h).add(tf.scalar(1).sub(z).mul(candidate));
          all.push(h);
        }
        const got = sequences ? tf.stack(all, 1) : h;
        theirs = got.dataSync() as Float32Array<ArrayBuffer>;
        return tf.losses.meanSquaredError(tf.tensor(y, got.shape), got) as tf.Scalar;
      });
      expect(relativeError(output, theirs)).toBeLessThan(1e-4);
      let at = 0;
      variables.forEach((variable, i) => {
        const own = gradients.subarray(at, at + variable.size);
        const name = machine.plan.layout[i]!.name;
        expect(relativeError(own, grads[variable.name]!.dataSync()), name).toBeLessThan(1e-4);
        at += variable.size;
      });
      expect(at).toBe(gradients.length);
    },
  );

  it.each(NAMES)("%s scores as the same weights without dropout, and can be stepped", async (name) => {
    const topology = (rate: number) =>
      sequential([TIME, 4], layer(name, { units: 5, recurrent_dropout: rate, return_sequences: true }));
    const [plain, model] = [
      await compile(topology(0), { seed: 1 }),
      await compile(topology(RATE), { seed: 1 }),
    ];
    const x = randomFloats(TIME * 4, 2);
    const whole = model.predict(x);
    expect(whole).toEqual(plain.predict(x));
    const stepper = model.stepper();
    for (let t = 0; t < TIME; t++)
      expect(
        relativeError(stepper.step(x.subarray(4 * t, 4 * t + 4)), whole.subarray(5 * t, 5 * t + 5)),
      ).toBeLessThan(1e-5);
  });

  it.each(NAMES)(
    "Bidirectional %s with dropout of both kinds - gradients agree with finite differences",
    async (name) => {
      const inner = layer(name, { name: "in", units: 4, dropout: 0.3, recurrent_dropout: RATE });
      const machine = await machineFor(
        sequential(
          [TIME, CHANNELS],
          layer("Dense", { units: 3, activation: "tanh" }),
          layer("Bidirectional", { layer: inner }),
        ),
      );
      machine.weights.set(randomFloats(machine.plan.parameters, 4, 0.8));
      const x = randomFloats(3 * TIME * CHANNELS, 5);
      const y = randomFloats(3 * 8, 6);
      const { gradients } = backpropagate(machine, 3, x, y);
      const h = 1e-2;
      const numeric = machine.weights.map((weight, i) => {
        const [up, down] = [weight + h, weight - h].map((shifted) => {
          machine.weights[i] = shifted;
          return backpropagate(machine, 3, x, y).loss;
        });
        machine.weights[i] = weight;
        return (up! - down!) / (2 * h);
      });
      expect(relativeError(gradients, numeric)).toBeLessThan(2e-3);
    },
  );

  it.each(NAMES)("%s - is refused where steps are masked, and a rate that is none", async (name) => {
    const masked = sequential([4, 3], layer("Masking"), layer(name, { units: 2, recurrent_dropout: 0.1 }));
    await expect(machineFor(masked)).rejects.toThrow("no recurrent_dropout where steps are masked");
    const whole = machineFor(sequential([4, 3], layer(name, { units: 2, recurrent_dropout: 1 })));
    await expect(whole).rejects.toThrow("no recurrent_dropout 1");
  });
});
