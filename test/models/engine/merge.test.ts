import * as tf from "@tensorflow/tfjs";
import { beforeAll, describe, expect, it } from "vitest";
import { compile } from "../../../models/engine/index.ts";
import * as keras from "./keras-layers.ts";
import { backpropagate, machineFor, randomFloats, relativeError } from "./support.ts";
import { expectSameAsTfjs, topologyOf } from "./tfjs-peer.ts";

beforeAll(async () => {
  await tf.setBackend("cpu");
});

const { dense, gru, concatenate } = tf.layers;
type Symbol = tf.SymbolicTensor;

/** One dense layer before each input of the merge, so that each one's gradient is seen. */
function merged(shapes: number[][], merge: tf.layers.Layer): tf.LayersModel {
  const inputs = shapes.map((shape) => tf.input({ shape }));
  const hidden = inputs.map((x, i) => dense({ units: shapes[i]!.at(-1)! }).apply(x) as Symbol);
  const outputs = dense({ units: 2, activation: "tanh" }).apply(merge.apply(hidden) as Symbol) as Symbol;
  return tf.model({ inputs, outputs });
}

const KINDS: [string, () => tf.layers.Layer][] = [
  ["add", () => tf.layers.add()],
  ["multiply", () => tf.layers.multiply()],
  ["average", () => tf.layers.average()],
  ["maximum", () => tf.layers.maximum()],
  ["minimum", () => tf.layers.minimum()],
];

describe("Dot", () => {
  it.each([
    [[3, 7], [5, 7], 2],
    [[7, 3], [7, 5], 1],
    [
      [3, 7],
      [7, 5],
      [2, 1],
    ],
    [
      [7, 3],
      [5, 7],
      [1, 2],
    ],
    [[3, 7], [5, 7], -1],
    [
      [4, 4],
      [4, 4],
      [-1, -2],
    ],
  ] as const)(
    "of matrices %j and %j along %j gives the outputs and gradients of tfjs",
    async (a, b, axes) => {
      await expectSameAsTfjs(merged([[...a], [...b]], tf.layers.dot({ axes: axes as never })));
    },
  );

  it("of two rows is one number", async () => {
    await expectSameAsTfjs(merged([[9], [9]], tf.layers.dot({ axes: 1 })));
    await expectSameAsTfjs(merged([[4], [4]], tf.layers.dot({ axes: -1 })));
  });

  it("of a row and a matrix is a row", async () => {
    await expectSameAsTfjs(merged([[3], [5, 3]], tf.layers.dot({ axes: [1, 2] })));
    await expectSameAsTfjs(merged([[5, 7], [5]], tf.layers.dot({ axes: [1, 1] })));
  });

  it.each([
    [
      "other sizes",
      { axes: 2 },
      [
        [3, 7],
        [3, 5],
      ],
      "BAD_INPUT",
    ],
    [
      "the batch's axis",
      { axes: 0 },
      [
        [3, 7],
        [3, 7],
      ],
      "BAD_INPUT",
    ],
    [
      "no axes",
      {},
      [
        [3, 7],
        [3, 7],
      ],
      "UNSUPPORTED",
    ],
    [
      "normalize",
      { axes: 2, normalize: true },
      [
        [3, 7],
        [3, 7],
      ],
      "UNSUPPORTED",
    ],
    [
      "three axes",
      { axes: 3 },
      [
        [3, 7, 2],
        [3, 7, 2],
      ],
      "UNSUPPORTED",
    ],
    ["three inputs", { axes: 1 }, [[3], [3], [3]], "BAD_INPUT"],
  ] as const)("%s is refused", async (_, config, shapes, code) => {
    await expect(
      machineFor(
        graphOf(
          "Dot",
          config,
          shapes.map((shape) => [...shape]),
        ),
      ),
    ).rejects.toMatchObject({ code });
  });
});

describe("merge layers", () => {
  it.each(KINDS)(
    "%s of two, three and four inputs gives the outputs and gradients of tfjs",
    async (_, make) => {
      for (const shape of [[5], [4], [3, 7], [2, 3, 5]])
        for (const count of [2, 3, 4]) await expectSameAsTfjs(merged(Array(count).fill(shape), make()));
    },
  );

  it.each([
    ...KINDS.slice(0, 3),
    ["maximum", () => keras.maximum()] as const,
    ["minimum", () => keras.minimum()] as const,
    ["subtract", () => keras.subtract()] as const,
  ])("%s repeats sizes of 1 and missing axes as tfjs does", async (_, make) => {
    for (const shapes of [
      [[3, 5], [5]],
      [[5], [3, 5]],
      [
        [3, 1],
        [3, 5],
      ],
      [
        [3, 1],
        [1, 5],
      ],
      [
        [2, 3, 5],
        [1, 3, 1],
      ],
      [[2, 3, 5], [5]],
      [[2, 3, 4], [1]],
    ])
      await expectSameAsTfjs(merged(shapes, make()));
  });

  it("subtract", async () => {
    await expectSameAsTfjs(
      merged(
        [
          [3, 5],
          [3, 5],
        ],
        keras.subtract(),
      ),
    );
  });

  it("of equal values the first takes the gradient, as in tfjs", async () => {
    const whole = (size: number) => Float32Array.from({ length: size }, (_, i) => ((i * 7) % 3) - 1);
    for (const [, make] of KINDS.slice(3))
      await expectSameAsTfjs(merged([[6], [6], [6]], make()), { inputs: whole, weights: whole });
  });

  it("an input that needs no gradient takes its part of it", async () => {
    for (const [, make] of KINDS) {
      const x = tf.input({ shape: [4, 3] });
      const h = dense({ units: 3 }).apply(x) as Symbol;
      const outputs = dense({ units: 2 }).apply(make().apply([x, h]) as Symbol) as Symbol;
      await expectSameAsTfjs(tf.model({ inputs: x, outputs }));
    }
  });

  it("a tensor may join itself", async () => {
    // tfjs can't: it disposes of the tensor after the first use. Through a layer that does nothing, it can.
    for (const [, make] of KINDS) {
      const x = tf.input({ shape: [4, 3] });
      const h = dense({ units: 3 }).apply(x) as Symbol;
      const copied = tf.layers.activation({ activation: "linear" }).apply(h) as Symbol;
      const [once, twice] = await Promise.all(
        [h, copied].map(async (other) => {
          const outputs = make().apply([h, other, h]) as Symbol;
          const machine = await machineFor(topologyOf(tf.model({ inputs: x, outputs })));
          machine.weights.set(randomFloats(machine.plan.parameters, 1));
          return backpropagate(machine, 5, randomFloats(60, 2), randomFloats(60, 3));
        }),
      );
      expect(once!.output).toEqual(twice!.output);
      expect(relativeError(once!.gradients, twice!.gradients)).toBeLessThan(1e-6);
    }
  });

  it.each([
    ["rows", -1, [[3], [5], [1]]],
    [
      "the channels of series",
      -1,
      [
        [4, 3],
        [4, 5],
      ],
    ],
    [
      "the channels of series by their axis",
      2,
      [
        [4, 3],
        [4, 5],
      ],
    ],
    [
      "series one after the other",
      1,
      [
        [4, 3],
        [2, 3],
      ],
    ],
    [
      "images below each other",
      1,
      [
        [2, 3, 4],
        [3, 3, 4],
      ],
    ],
    [
      "images side by side",
      -2,
      [
        [2, 3, 4],
        [2, 1, 4],
        [2, 2, 4],
      ],
    ],
    [
      "the channels of images",
      3,
      [
        [2, 3, 4],
        [2, 3, 1],
      ],
    ],
  ] as const)("concatenates %s", async (_, axis, shapes) => {
    await expectSameAsTfjs(
      merged(
        shapes.map((shape) => [...shape]),
        axis < -1 ? keras.concatenate({ axis }) : concatenate({ axis }),
      ),
    );
  });

  it("works on what recurrent layers leave in time order, and of two orders", async () => {
    const options = { units: 3, returnSequences: true, recurrentActivation: "sigmoid" } as const;
    for (const make of [() => tf.layers.add(), () => concatenate(), () => concatenate({ axis: 1 })]) {
      const x = tf.input({ shape: [5, 3] });
      const a = gru(options).apply(x) as Symbol;
      const b = gru(options).apply(a) as Symbol;
      const both = make().apply([a, b]) as Symbol;
      const withInput = make().apply([a, x]) as Symbol;
      const outputs = [gru(options).apply(both) as Symbol, withInput];
      await expectSameAsTfjs(tf.model({ inputs: x, outputs }));
    }
  });

  it("rows can be stepped through joins of recurrent layers", async () => {
    const options = { units: 3, returnSequences: true, recurrentActivation: "sigmoid" } as const;
    const x = tf.input({ shape: [6, 3] });
    const a = gru(options).apply(x) as Symbol;
    const b = gru(options).apply(a) as Symbol;
    const sum = tf.layers.average().apply([a, b, x]) as Symbol;
    const outputs = dense({ units: 2 }).apply(concatenate().apply([sum, a]) as Symbol) as Symbol;
    const model = await compile(topologyOf(tf.model({ inputs: x, outputs })), { seed: 1 });
    const series = randomFloats(18, 1);
    const stepper = model.stepper();
    const rows: number[] = [];
    for (let t = 0; t < 6; t++) rows.push(...stepper.step(series.subarray(3 * t, 3 * t + 3)));
    expect(relativeError(rows, model.predict(series))).toBeLessThan(1e-5);
  });

  it.each([
    ["sizes that differ", "Add", {}, [[3], [4]], "BAD_INPUT"],
    ["one input", "Add", {}, [[3]], "BAD_INPUT"],
    ["three inputs of a difference", "Subtract", {}, [[3], [3], [3]], "BAD_INPUT"],
    ["joining along the batch", "Concatenate", { axis: 0 }, [[3], [3]], "BAD_INPUT"],
    [
      "joining series of other lengths by channel",
      "Concatenate",
      {},
      [
        [3, 2],
        [4, 2],
      ],
      "BAD_INPUT",
    ],
    ["an unknown option", "Multiply", { axis: 1 }, [[3], [3]], "UNSUPPORTED"],
  ] as const)("%s is refused", async (_, className, config, shapes, code) => {
    await expect(machineFor(graphOf(className, config, shapes))).rejects.toMatchObject({ code });
  });
});

/** Inputs of these shapes, joined by one layer. */
function graphOf(className: string, config: object, shapes: readonly (readonly number[])[]) {
  const inputs = shapes.map((shape, i) => ({
    class_name: "InputLayer",
    name: `in${i}`,
    config: { name: `in${i}`, batch_input_shape: [null, ...shape] },
    inbound_nodes: [],
  }));
  const join = {
    class_name: className,
    name: "join",
    config: { name: "join", ...config },
    inbound_nodes: [inputs.map(({ name }) => [name, 0, 0])],
  };
  return {
    class_name: "Model",
    config: {
      layers: [...inputs, join],
      input_layers: inputs.map(({ name }) => [name, 0, 0]),
      output_layers: [["join", 0, 0]],
    },
  };
}
