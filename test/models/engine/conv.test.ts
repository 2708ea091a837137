import * as tf from "@tensorflow/tfjs";
import { beforeAll, describe, expect, it } from "vitest";
import { compile } from "../../../models/engine/index.ts";
import {
  type ConvSizes,
  naiveConv,
  naiveConvTranspose,
  naiveDepthwise,
} from "../../../models/kernels/reference/conv.ts";
import { backpropagate, layer, machineFor, randomFloats, relativeError, sequential } from "./support.ts";
import { expectSameAsTfjs } from "./tfjs-peer.ts";

beforeAll(async () => {
  await tf.setBackend("cpu");
});

const { conv1d, conv2d, conv2dTranspose, depthwiseConv2d, separableConv2d, dense } = tf.layers;
type Layers = Parameters<typeof tf.sequential>[0] & object;
const stack = (...layers: NonNullable<Layers["layers"]>) => tf.sequential({ layers });

// Odd sizes throughout: channels and filters that leave one to three lanes, outputs that leave rows of a block.
const SAME_AS_TFJS: [string, () => tf.LayersModel][] = [
  [
    "Conv2D 3x3 on one channel, valid, relu",
    () => stack(conv2d({ inputShape: [8, 6, 1], filters: 6, kernelSize: 3, activation: "relu" })),
  ],
  [
    "Conv2D 3x3 on one channel, same, tanh, without bias, on a Dense",
    () =>
      stack(
        dense({ inputShape: [5, 7, 2], units: 1 }),
        conv2d({ filters: 9, kernelSize: 3, padding: "same", activation: "tanh", useBias: false }),
      ),
  ],
  [
    "Conv1D, valid, without bias",
    () => stack(conv1d({ inputShape: [9, 3], filters: 5, kernelSize: 3, useBias: false })),
  ],
  [
    "Conv1D, same, relu, on a Dense",
    () =>
      stack(
        dense({ inputShape: [11, 3], units: 6 }),
        conv1d({ filters: 9, kernelSize: 4, padding: "same", activation: "relu" }),
      ),
  ],
  [
    "Conv1D, valid, stride longer than the kernel, on a Dense",
    () =>
      stack(
        dense({ inputShape: [14, 2], units: 3 }),
        conv1d({ filters: 4, kernelSize: 2, strides: 3, activation: "tanh" }),
      ),
  ],
  [
    "Conv1D, same, stride 2, even and odd lengths, softmax",
    () =>
      stack(
        dense({ inputShape: [13, 2], units: 7 }),
        conv1d({ filters: 6, kernelSize: 5, strides: 2, padding: "same" }),
        conv1d({ filters: 3, kernelSize: 3, strides: 2, padding: "same", activation: "softmax" }),
      ),
  ],
  [
    "Conv1D with a kernel of one, also strided",
    () =>
      stack(
        dense({ inputShape: [10, 3], units: 5 }),
        conv1d({ filters: 7, kernelSize: 1 }),
        conv1d({ filters: 3, kernelSize: 1, strides: 2 }),
      ),
  ],
  [
    "Conv1D over more rows than one block",
    () =>
      stack(
        conv1d({ inputShape: [301, 2], filters: 3, kernelSize: 3, padding: "same" }),
        conv1d({ filters: 2, kernelSize: 1 }),
        conv1d({ filters: 3, kernelSize: 2 }),
      ),
  ],
  [
    "Conv1D deeper than one block",
    () =>
      stack(
        dense({ inputShape: [6, 3], units: 131 }),
        conv1d({ filters: 5, kernelSize: 5, padding: "same" }),
      ),
  ],
  [
    "Conv2D, valid, one channel",
    () => stack(conv2d({ inputShape: [7, 8, 1], filters: 5, kernelSize: 3, activation: "relu" })),
  ],
  [
    "Conv2D, same, on a Conv2D, 3x3",
    () =>
      stack(
        conv2d({ inputShape: [6, 9, 3], filters: 6, kernelSize: 3, activation: "tanh" }),
        conv2d({ filters: 10, kernelSize: 3, padding: "same", activation: "relu" }),
      ),
  ],
  [
    "Conv2D 3x3, valid and same, of sizes that leave parts of tiles",
    () =>
      stack(
        conv2d({ inputShape: [11, 13, 9], filters: 12, kernelSize: 3, useBias: false }),
        conv2d({ filters: 17, kernelSize: 3, activation: "relu" }),
        conv2d({ filters: 8, kernelSize: 3, padding: "same" }),
      ),
  ],
  [
    "Conv2D, other kernel and strides for each axis",
    () =>
      stack(
        conv2d({ inputShape: [8, 11, 2], filters: 5, kernelSize: [2, 3], padding: "same" }),
        conv2d({ filters: 3, kernelSize: [3, 2], strides: [2, 3], padding: "same" }),
        conv2d({ filters: 4, kernelSize: [2, 1], strides: [1, 2] }),
      ),
  ],
  [
    "Conv2D with kernels of one row and of one element",
    () =>
      stack(
        conv2d({ inputShape: [5, 6, 3], filters: 5, kernelSize: 1, activation: "relu" }),
        conv2d({ filters: 6, kernelSize: [1, 3], padding: "same" }),
        conv2d({ filters: 3, kernelSize: [1, 2], strides: [1, 2] }),
        conv2d({ filters: 2, kernelSize: [3, 1] }),
        conv2d({ filters: 4, kernelSize: 1, strides: 2 }),
      ),
  ],
  [
    "Conv2D, a kernel as large as the image",
    () =>
      stack(
        conv2d({ inputShape: [4, 3, 2], filters: 5, kernelSize: [3, 2] }),
        conv2d({ filters: 3, kernelSize: [2, 2] }),
      ),
  ],
  [
    "Conv2DTranspose, valid, on a Conv2D",
    () =>
      stack(
        conv2d({ inputShape: [5, 4, 2], filters: 3, kernelSize: 2 }),
        conv2dTranspose({ filters: 5, kernelSize: 3, activation: "relu" }),
      ),
  ],
  [
    "Conv2DTranspose, same, strides, without bias",
    () =>
      stack(
        conv2d({ inputShape: [3, 4, 2], filters: 5, kernelSize: 1 }),
        conv2dTranspose({ filters: 3, kernelSize: 3, strides: 2, padding: "same", useBias: false }),
        conv2dTranspose({ filters: 6, kernelSize: [2, 3], strides: [3, 1], padding: "same" }),
      ),
  ],
  [
    "Conv2DTranspose, valid, stride longer than the kernel",
    () =>
      stack(
        conv2d({ inputShape: [3, 4, 2], filters: 5, kernelSize: 1 }),
        conv2dTranspose({ filters: 3, kernelSize: [1, 2], strides: [2, 3], activation: "sigmoid" }),
      ),
  ],
  [
    "DepthwiseConv2D, valid, on a Conv2D",
    () =>
      stack(
        conv2d({ inputShape: [6, 7, 2], filters: 5, kernelSize: 1 }),
        depthwiseConv2d({ kernelSize: 3, activation: "relu" }),
      ),
  ],
  [
    "DepthwiseConv2D, same, with a multiplier, strides, without bias",
    () =>
      stack(
        conv2d({ inputShape: [7, 6, 2], filters: 3, kernelSize: 1 }),
        depthwiseConv2d({ kernelSize: [3, 2], padding: "same", depthMultiplier: 3, useBias: false }),
        depthwiseConv2d({ kernelSize: 3, padding: "same", strides: 2 }),
      ),
  ],
  [
    "SeparableConv2D, valid, on a Conv2D",
    () =>
      stack(
        conv2d({ inputShape: [6, 7, 2], filters: 5, kernelSize: 1 }),
        separableConv2d({ filters: 6, kernelSize: 3, activation: "tanh" }),
      ),
  ],
  [
    "SeparableConv2D, same, with strides, without bias",
    () =>
      stack(
        conv2d({ inputShape: [6, 7, 2], filters: 3, kernelSize: 1 }),
        separableConv2d({ filters: 5, kernelSize: [2, 3], strides: 2, padding: "same" }),
        separableConv2d({ filters: 3, kernelSize: 1, useBias: false, activation: "softmax" }),
      ),
  ],
];

describe("convolutions", () => {
  it.each(SAME_AS_TFJS)("outputs and all gradients are those of tfjs: %s", async (_, make) => {
    await expectSameAsTfjs(make());
  });
});

interface Case {
  readonly inputShape: readonly number[];
  readonly kind: string;
  readonly config: Record<string, unknown>;
  readonly outputShape: readonly number[];
  /** Of the flat weights, without the bias, for one sample. */
  readonly expected: (x: Float32Array, weights: Float32Array) => Float64Array;
}

const series = (length: number, channels: number) => [1, length, channels] as const;
const sizes = (parts: Partial<ConvSizes> & Pick<ConvSizes, "input" | "output" | "kernel">): ConvSizes => ({
  strides: [1, 1],
  dilation: [1, 1],
  before: [0, 0],
  ...parts,
});

// tfjs has no gradient where the dilation is not one and no causal padding, ignores the dilation of DepthwiseConv2D, and leaves the
// multiplier of SeparableConv2D out of its JSON; it does not have the one-dimensional transposed, depthwise and separable layers.
const BY_HAND: [string, Case][] = [
  [
    "Conv1D, dilated",
    {
      inputShape: [11, 3],
      kind: "Conv1D",
      config: { filters: 5, kernel_size: 3, dilation_rate: 2 },
      outputShape: [7, 5],
      expected: (x, w) =>
        naiveConv(
          x,
          w,
          sizes({ input: series(11, 3), output: series(7, 5), kernel: [1, 3], dilation: [1, 2] }),
        ),
    },
  ],
  [
    "Conv1D, dilated, causal",
    {
      inputShape: [9, 3],
      kind: "Conv1D",
      config: { filters: 6, kernel_size: [3], dilation_rate: [3], padding: "causal" },
      outputShape: [9, 6],
      expected: (x, w) =>
        naiveConv(
          x,
          w,
          sizes({
            input: series(9, 3),
            output: series(9, 6),
            kernel: [1, 3],
            dilation: [1, 3],
            before: [0, 6],
          }),
        ),
    },
  ],
  [
    "Conv1D, causal, stride 3",
    {
      inputShape: [11, 3],
      kind: "Conv1D",
      config: { filters: 5, kernel_size: 4, strides: 3, padding: "causal" },
      outputShape: [4, 5],
      expected: (x, w) =>
        naiveConv(
          x,
          w,
          sizes({
            input: series(11, 3),
            output: series(4, 5),
            kernel: [1, 4],
            strides: [1, 3],
            before: [0, 3],
          }),
        ),
    },
  ],
  [
    "Conv2D, dilated in one axis, same",
    {
      inputShape: [5, 7, 2],
      kind: "Conv2D",
      config: { filters: 3, kernel_size: [3, 2], dilation_rate: [2, 1], padding: "same" },
      outputShape: [5, 7, 3],
      expected: (x, w) =>
        naiveConv(
          x,
          w,
          sizes({ input: [5, 7, 2], output: [5, 7, 3], kernel: [3, 2], dilation: [2, 1], before: [2, 0] }),
        ),
    },
  ],
  [
    "Conv2D, one row, dilated",
    {
      inputShape: [3, 9, 2],
      kind: "Conv2D",
      config: { filters: 3, kernel_size: [1, 3], dilation_rate: [1, 2], strides: [1, 2] },
      outputShape: [3, 3, 3],
      expected: (x, w) =>
        naiveConv(
          x,
          w,
          sizes({
            input: [3, 9, 2],
            output: [3, 3, 3],
            kernel: [1, 3],
            dilation: [1, 2],
            strides: [1, 2],
          }),
        ),
    },
  ],
  [
    "Conv1DTranspose, same, stride 2",
    {
      inputShape: [5, 3],
      kind: "Conv1DTranspose",
      config: { filters: 6, kernel_size: 3, strides: 2, padding: "same" },
      outputShape: [10, 6],
      expected: (x, w) =>
        naiveConvTranspose(
          x,
          w,
          sizes({ input: series(10, 6), output: series(5, 3), kernel: [1, 3], strides: [1, 2] }),
        ),
    },
  ],
  [
    "Conv1DTranspose, valid, kernel longer than its stride",
    {
      inputShape: [4, 2],
      kind: "Conv1DTranspose",
      config: { filters: 5, kernel_size: 5, strides: 3 },
      outputShape: [14, 5],
      expected: (x, w) =>
        naiveConvTranspose(
          x,
          w,
          sizes({ input: series(14, 5), output: series(4, 2), kernel: [1, 5], strides: [1, 3] }),
        ),
    },
  ],
  [
    "Conv1DTranspose, same, dilated",
    {
      inputShape: [7, 2],
      kind: "Conv1DTranspose",
      config: { filters: 3, kernel_size: 3, dilation_rate: 2, padding: "same" },
      outputShape: [7, 3],
      expected: (x, w) =>
        naiveConvTranspose(
          x,
          w,
          sizes({
            input: series(7, 3),
            output: series(7, 2),
            kernel: [1, 3],
            dilation: [1, 2],
            before: [0, 2],
          }),
        ),
    },
  ],
  [
    "DepthwiseConv1D, same, multiplier 2, stride 2",
    {
      inputShape: [8, 3],
      kind: "DepthwiseConv1D",
      config: { kernel_size: 3, depth_multiplier: 2, strides: 2, padding: "same" },
      outputShape: [4, 6],
      expected: (x, w) =>
        naiveDepthwise(
          x,
          w,
          sizes({ input: series(8, 3), output: series(4, 6), kernel: [1, 3], strides: [1, 2] }),
        ),
    },
  ],
  [
    "DepthwiseConv2D, dilated",
    {
      inputShape: [6, 7, 5],
      kind: "DepthwiseConv2D",
      config: { kernel_size: 3, dilation_rate: [2, 3], padding: "same" },
      outputShape: [6, 7, 5],
      expected: (x, w) =>
        naiveDepthwise(
          x,
          w,
          sizes({ input: [6, 7, 5], output: [6, 7, 5], kernel: [3, 3], dilation: [2, 3], before: [2, 3] }),
        ),
    },
  ],
  [
    "SeparableConv2D, multiplier 2",
    {
      inputShape: [4, 5, 3],
      kind: "SeparableConv2D",
      config: { filters: 5, kernel_size: [2, 3], depth_multiplier: 2 },
      outputShape: [3, 3, 5],
      expected: (x, w) => {
        const between = sizes({ input: [4, 5, 3], output: [3, 3, 6], kernel: [2, 3] });
        const point = sizes({ input: [3, 3, 6], output: [3, 3, 5], kernel: [1, 1] });
        return naiveConv(naiveDepthwise(x, w, between), w.subarray(6 * 6), point);
      },
    },
  ],
  [
    "SeparableConv1D, causal, multiplier 2",
    {
      inputShape: [7, 3],
      kind: "SeparableConv1D",
      config: { filters: 5, kernel_size: 3, depth_multiplier: 2, dilation_rate: 2, padding: "causal" },
      outputShape: [7, 5],
      expected: (x, w) => {
        const between = sizes({
          input: series(7, 3),
          output: series(7, 6),
          kernel: [1, 3],
          dilation: [1, 2],
          before: [0, 4],
        });
        const point = sizes({ input: series(7, 6), output: series(7, 5), kernel: [1, 1] });
        return naiveConv(naiveDepthwise(x, w, between), w.subarray(3 * 6), point);
      },
    },
  ],
];

describe("convolutions that tfjs does not have", () => {
  it.each(BY_HAND)("outputs are those of the plain loops: %s", async (_, kase) => {
    const model = await compile(
      sequential(kase.inputShape, layer(kase.kind, { ...kase.config, use_bias: false })),
      { seed: 1 },
    );
    const weights = randomFloats(model.parameters, 1);
    model.setWeights(weights);
    const size = kase.inputShape.reduce((a, b) => a * b, 1);
    const x = randomFloats(3 * size, 2);
    const expected = [0, 1, 2].flatMap((i) => [
      ...kase.expected(x.subarray(i * size, (i + 1) * size), weights),
    ]);
    expect(model.outputShape).toEqual(kase.outputShape);
    expect(relativeError(model.predict(x), expected)).toBeLessThan(1e-5);
  });

  it.each(BY_HAND)("every gradient agrees with finite differences: %s", async (_, kase) => {
    const batch = 3;
    // The Dense in front makes the gradient pass through the input as well.
    const machine = await machineFor(
      sequential(
        kase.inputShape,
        layer("Dense", { units: kase.inputShape.at(-1)!, activation: "tanh" }),
        layer(kase.kind, { ...kase.config, activation: "tanh" }),
      ),
    );
    machine.weights.set(randomFloats(machine.plan.parameters, 4, 0.5));
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

describe("convolutions, step by step", () => {
  it.each([
    ["a causal kernel", [{ filters: 5, kernel_size: 3, padding: "causal", activation: "relu" }]],
    [
      "dilated, without bias",
      [{ filters: 3, kernel_size: 3, dilation_rate: 4, padding: "causal", use_bias: false }],
    ],
    [
      "one on the other, with a softmax at the end",
      [
        { filters: 6, kernel_size: 2, padding: "causal", activation: "tanh" },
        { filters: 7, kernel_size: 3, dilation_rate: 2, padding: "causal" },
        { filters: 4, kernel_size: 1, activation: "softmax" },
      ],
    ],
  ])("row by row gives what predict gives for the whole sequence: %s", async (_, configs) => {
    const [time, channels] = [23, 3];
    const model = await compile(
      sequential([time, channels], ...configs.map((config) => layer("Conv1D", config))),
      { seed: 2 },
    );
    const x = randomFloats(time * channels, 3);
    const stepper = model.stepper();
    const run = () =>
      Array.from({ length: time }, (_, t) => [
        ...stepper.step(x.subarray(t * channels, (t + 1) * channels)),
      ]).flat();
    const expected = model.predict(x);
    expect(relativeError(run(), expected)).toBeLessThan(1e-5);
    stepper.reset();
    expect(relativeError(run(), expected)).toBeLessThan(1e-5);
  });

  it("a state that was tampered with does not lead outside the ring", async () => {
    const model = await compile(
      sequential([5, 2], layer("Conv1D", { filters: 2, kernel_size: 3, padding: "causal" })),
      { seed: 2 },
    );
    const stepper = model.stepper();
    for (const place of [-1, 1e30, 7, 0.5]) {
      stepper.setState(stepper.state().fill(place));
      expect([...stepper.step(Float32Array.of(1, 2))].every(Number.isFinite)).toBe(true);
    }
  });

  it.each([
    ["looks ahead", { padding: "same" }],
    ["looks ahead, even without padding", {}],
    ["has fewer outputs than rows", { padding: "causal", strides: 2 }],
  ])("a layer that %s can't be stepped", async (_, config) => {
    const model = await compile(
      sequential([6, 2], layer("Conv1D", { filters: 2, kernel_size: 3, ...config })),
      { seed: 2 },
    );
    expect(() => model.stepper()).toThrow(expect.objectContaining({ code: "UNSUPPORTED" }));
  });
});

describe("convolutions that are refused", () => {
  it.each([
    ["Conv1D", [5, 4], { groups: 2 }, "UNSUPPORTED", "groups 2"],
    ["Conv2D", [5, 4, 2], { data_format: "channels_first" }, "UNSUPPORTED", "data_format"],
    ["Conv2D", [5, 4, 2], { padding: "causal" }, "UNSUPPORTED", "padding"],
    ["Conv2DTranspose", [5, 4, 2], { output_padding: 1, strides: 2 }, "UNSUPPORTED", "output_padding"],
    ["Conv1D", [5, 4], { kernel_size: 0 }, "BAD_INPUT", "kernel_size is 0"],
    ["Conv1D", [5, 4], { kernel_size: [3, 3] }, "BAD_INPUT", "kernel_size"],
    ["Conv2D", [5, 4], {}, "BAD_INPUT", "(height, width, channels)"],
    ["Conv1D", [5], {}, "BAD_INPUT", "(time, channels)"],
    ["Conv1D", [2, 4], {}, "BAD_INPUT", "longer than the input (2, 4)"],
    ["SeparableConv2D", [5, 2, 4], {}, "BAD_INPUT", "longer than the input"],
    ["DepthwiseConv1D", [5, 4], { padding: "causal" }, "UNSUPPORTED", "padding"],
    ["Conv1D", [5, 4], { rank: 1 }, "UNSUPPORTED", "rank"],
  ])("%s on %j with %j: %s", async (kind, inputShape, config, code, words) => {
    const filters = kind.startsWith("Depthwise") ? {} : { filters: 3 };
    const topology = sequential(inputShape, layer(kind, { ...filters, kernel_size: 3, ...config }));
    await expect(compile(topology, { seed: 1 })).rejects.toThrow(
      expect.objectContaining({ code, message: expect.stringContaining(words) }),
    );
  });
});
