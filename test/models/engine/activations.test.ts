import * as tf from "@tensorflow/tfjs";
import { beforeAll, describe, expect, it } from "vitest";
import { compile } from "../../../models/engine/index.ts";
import { backpropagate, layer, machineFor, randomFloats, relativeError, sequential } from "./support.ts";
import { expectSameAsTfjs } from "./tfjs-peer.ts";

beforeAll(async () => {
  await tf.setBackend("cpu");
});

const { dense } = tf.layers;
type Name = NonNullable<Parameters<typeof tf.layers.activation>[0]["activation"]>;

// gelu_new stands in tfjs' list but is left out of its types; logSoftmax is written in camel case by its toJSON.
const NAMES = [
  "elu",
  "selu",
  "relu",
  "relu6",
  "linear",
  "sigmoid",
  "hardSigmoid",
  "softplus",
  "softsign",
  "tanh",
  "softmax",
  "logSoftmax",
  "gelu",
  "gelu_new",
  "swish",
  "mish",
] as Name[];

describe("activations", () => {
  it.each(NAMES)("as an option and as a layer, %s is that of tfjs", async (activation) => {
    const model = tf.sequential({
      layers: [
        dense({ units: 11, activation, inputShape: [5, 3] }),
        dense({ units: 7 }),
        tf.layers.activation({ activation }),
        dense({ units: 3 }),
      ],
    });
    // tfjs' erf is good to 1.5e-7, its gradient of it exact; log(0) of tfjs' logSoftmax does not occur at these sizes.
    await expectSameAsTfjs(model);
  });

  const LAYERS: [string, () => tf.layers.Layer][] = [
    ["ReLU", () => tf.layers.reLU()],
    ["ReLU with a maximum", () => tf.layers.reLU({ maxValue: 0.8 })],
    ["ReLU up to 6", () => tf.layers.reLU({ maxValue: 6 })],
    ["LeakyReLU", () => tf.layers.leakyReLU()],
    ["LeakyReLU with a slope", () => tf.layers.leakyReLU({ alpha: 0.07 })],
    ["ELU", () => tf.layers.elu()],
    ["Softmax", () => tf.layers.softmax({ axis: -1 })],
    ["PReLU", () => tf.layers.prelu()],
    ["PReLU, one alpha a channel", () => tf.layers.prelu({ sharedAxes: [1] })],
    ["PReLU, one alpha a step", () => tf.layers.prelu({ sharedAxes: [2] })],
    ["PReLU, one alpha", () => tf.layers.prelu({ sharedAxes: [1, 2] })],
  ];
  it.each(LAYERS)("%s is that of tfjs", async (_, make) => {
    await expectSameAsTfjs(
      tf.sequential({
        layers: [dense({ units: 7, inputShape: [5, 3] }), make(), dense({ units: 2 })],
      }),
    );
  });

  it.each([[[1, 2]], [[1, 3]], [[2, 3]], [[2]], [[]]])(
    "PReLU over images, with the axes %j shared, is that of tfjs",
    async (sharedAxes) => {
      await expectSameAsTfjs(
        tf.sequential({
          layers: [
            dense({ units: 5, inputShape: [3, 4, 2] }),
            tf.layers.prelu({ sharedAxes }),
            dense({ units: 2 }),
          ],
        }),
      );
    },
  );

  it.each(["gelu", "softmax", "log_softmax", "leaky_relu", "mish"])(
    "steps through %s give what the whole window gives",
    async (activation) => {
      const model = await compile(
        sequential(
          [6, 3],
          layer("Dense", { units: 5, activation }),
          layer("PReLU", { shared_axes: [1], alpha_initializer: { class_name: "RandomNormal", config: {} } }),
          layer("GRU", { units: 4, return_sequences: true }),
          layer("Activation", { activation }),
        ),
        { seed: 3 },
      );
      const x = randomFloats(18, 1, 2);
      const whole = model.predict(x);
      const stepper = model.stepper();
      for (let t = 0; t < 6; t++) {
        const row = stepper.step(x.subarray(t * 3, t * 3 + 3));
        expect(relativeError(row, whole.subarray(t * 4, t * 4 + 4))).toBeLessThan(1e-5);
      }
    },
  );

  it("what tfjs lacks has the values and slopes of its formula", async () => {
    const relu6 = (x: number) => Math.min(6, Math.max(0, x));
    const FORMULAS: [ReturnType<typeof layer>, (x: number) => number][] = [
      [layer("Activation", { activation: "exponential" }), Math.exp],
      [layer("Activation", { activation: "silu" }), (x) => x / (1 + Math.exp(-x))],
      [layer("Activation", { activation: "hard_silu" }), (x) => (x * relu6(x + 3)) / 6],
      [layer("Activation", { activation: "leaky_relu" }), (x) => (x > 0 ? x : 0.2 * x)],
      [layer("LeakyReLU", { negative_slope: 0.15 }), (x) => (x > 0 ? x : 0.15 * x)],
      // tfjs has the layer, but not its gradient.
      [layer("ThresholdedReLU", { theta: 0.5 }), (x) => (x > 0.5 ? x : 0)],
      [layer("ELU", { alpha: 0.6 }), (x) => (x > 0 ? x : 0.6 * Math.expm1(x))],
      [
        layer("ReLU", { max_value: 1.2, negative_slope: 0.1, threshold: 0.3 }),
        (x) => (x >= 1.2 ? 1.2 : x >= 0.3 ? x : 0.1 * (x - 0.3)),
      ],
    ];
    for (const [own, formula] of FORMULAS) {
      // The weights of the first layer show the gradient: x W with W the identity.
      const machine = await machineFor(sequential([3], layer("Dense", { units: 3, use_bias: false }), own));
      machine.weights.set([1, 0, 0, 0, 1, 0, 0, 0, 1]);
      const x = Float32Array.of(-2.1, 0.7, 2.3);
      const { output, gradients } = backpropagate(machine, 1, x, new Float32Array(3));
      const slope = (value: number) => (formula(value + 1e-5) - formula(value - 1e-5)) / 2e-5;
      const name = JSON.stringify(own);
      expect(relativeError(output, [...x].map(formula)), name).toBeLessThan(1e-6);
      // The mean of y^2 over three values.
      const expected = [...x].flatMap((a) => [...x].map((b) => (a * 2 * formula(b) * slope(b)) / 3));
      expect(relativeError(gradients, expected), name).toBeLessThan(1e-5);
    }
  });

  it("hard_sigmoid in a file of Keras 3 is relu6(x + 3) / 6, elsewhere clip(0.2 x + 0.5, 0, 1)", async () => {
    const model = (input: Record<string, unknown>) => ({
      class_name: "Sequential",
      config: {
        name: "s",
        layers: [
          { class_name: "InputLayer", config: { name: "in", ...input } },
          { class_name: "Activation", config: { name: "a", activation: "hard_sigmoid" } },
        ],
      },
    });
    const x = Float32Array.of(-4, -1, 0, 2, 2.8);
    const keras3 = await compile(model({ batch_shape: [null, 5] }), { seed: 1 });
    const keras2 = await compile(model({ batch_input_shape: [null, 5] }), { seed: 1 });
    expect(relativeError(keras3.predict(x), [0, 1 / 3, 0.5, 5 / 6, 5.8 / 6])).toBeLessThan(1e-6);
    expect(relativeError(keras2.predict(x), [0, 0.3, 0.5, 0.9, 1])).toBeLessThan(1e-6);
  });

  it.each([
    ["an activation that is not there", layer("Dense", { units: 2, activation: "snake" }), "activation"],
    ["softmax along another axis", layer("Softmax", { axis: 1 }), "axis 1"],
    ["an activation in a gate that needs its input", layer("GRU", { units: 2, activation: "gelu" }), "gelu"],
    ["a rectifier's unknown option", layer("ReLU", { ceiling: 2 }), "ceiling"],
  ])("%s is refused by name", async (_, refused, words) => {
    await expect(compile(sequential([4, 3], refused), { seed: 1 })).rejects.toThrow(
      expect.objectContaining({ code: "UNSUPPORTED", message: expect.stringContaining(words) }),
    );
  });
});
