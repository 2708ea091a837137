import { writtenByKeras } from "../../layers/upsampling.ts";
import { activate } from "./activations.ts";
import {
  constant,
  type Emission,
  type Emit,
  perAxis,
  permuted,
  reshaped,
  transposed,
  weightOf,
} from "./emit.ts";
import type { Attributes } from "./graph.ts";

// ONNX has channels first: each of these is turned there and back. Runtimes cancel what meets between two of them.

export const spatial: Readonly<Record<string, Emit>> = {
  Conv1D: convolution,
  Conv2D: convolution,
  Conv1DTranspose: transposedConvolution,
  Conv2DTranspose: transposedConvolution,
  DepthwiseConv1D: (e) =>
    activate(
      e,
      channelsFirst(e, (x) => depthwise(e, x, true)),
    ),
  DepthwiseConv2D: (e) =>
    activate(
      e,
      channelsFirst(e, (x) => depthwise(e, x, true)),
    ),
  SeparableConv1D: separable,
  SeparableConv2D: separable,
  ...named(["MaxPooling1D", "MaxPooling2D", "MaxPool1D", "MaxPool2D"], (e) => pooling(e, "MaxPool")),
  ...named(["AveragePooling1D", "AveragePooling2D", "AvgPool1D", "AvgPool2D"], (e) =>
    pooling(e, "AveragePool"),
  ),
  ...named(["GlobalMaxPooling1D", "GlobalMaxPooling2D", "GlobalMaxPool1D", "GlobalMaxPool2D"], (e) =>
    globalPooling(e, "ReduceMax"),
  ),
  ...named(["GlobalAveragePooling1D", "GlobalAveragePooling2D", "GlobalAvgPool1D", "GlobalAvgPool2D"], (e) =>
    globalPooling(e, "ReduceMean"),
  ),
  UpSampling1D: upSampling,
  UpSampling2D: upSampling,
  ZeroPadding1D: zeroPadding,
  ZeroPadding2D: zeroPadding,
  Cropping1D: cropping,
  Cropping2D: cropping,
};

function named(names: readonly string[], emit: Emit): Record<string, Emit> {
  return Object.fromEntries(names.map((name) => [name, emit]));
}

/** Number of axes that a window moves along. */
const axesOf = ({ inputShape }: Emission) => inputShape.length - 1;

function channelsFirst(e: Emission, work: (value: string) => string): string {
  const axes = Array.from({ length: axesOf(e) }, (_, i) => i + 1);
  const there = transposed(e.graph, e.inputs[0]!, [0, axes.length + 1, ...axes]);
  return transposed(e.graph, work(there), [0, ...axes.map((axis) => axis + 1), 1]);
}

/** Kernel, strides, dilation and padding of a layer whose window moves over its input. */
function windowOf(e: Emission, sizes: unknown, strides: unknown): Attributes {
  const n = axesOf(e);
  const kernel = perAxis(sizes, n);
  const stride = perAxis(strides, n);
  const dilation = perAxis(e.config.dilation_rate, n);
  const before: number[] = [];
  const after: number[] = [];
  for (let axis = 0; axis < n; axis++) {
    const reach = (kernel[axis]! - 1) * dilation[axis]! + 1;
    const over = Math.max(0, (e.outputShape[axis]! - 1) * stride[axis]! + reach - e.inputShape[axis]!);
    const same = e.config.padding === "same" ? over : 0;
    before.push(e.config.padding === "causal" ? reach - 1 : Math.floor(same / 2));
    after.push(same - Math.floor(same / 2));
  }
  return {
    kernel_shape: { ints: kernel },
    strides: { ints: stride },
    dilations: { ints: dilation },
    pads: { ints: [...before, ...after] },
  };
}

function biasOf(e: Emission): string[] {
  const bias = e.weight("bias");
  return bias === undefined ? [] : [constant(e, bias)];
}

/** (...kernel, channels, filters) -> (filters, channels, ...kernel) */
function convolution(e: Emission): string {
  const n = axesOf(e);
  const kernel = permuted(weightOf(e, "kernel"), [n + 1, n, ...Array(n).keys()]);
  const window = windowOf(e, e.config.kernel_size, e.config.strides);
  return activate(
    e,
    channelsFirst(e, (x) => e.graph.node("Conv", [x, constant(e, kernel), ...biasOf(e)], window)),
  );
}

/** (...kernel, filters, channels) -> (channels, filters, ...kernel) */
function transposedConvolution(e: Emission): string {
  const n = axesOf(e);
  const kernel = permuted(weightOf(e, "kernel"), [n + 1, n, ...Array(n).keys()]);
  const sizes = perAxis(e.config.kernel_size, n);
  const strides = perAxis(e.config.strides, n);
  const dilations = perAxis(e.config.dilation_rate, n);
  const before: number[] = [];
  const after: number[] = [];
  const more: number[] = [];
  for (let axis = 0; axis < n; axis++) {
    const full = (e.inputShape[axis]! - 1) * strides[axis]! + (sizes[axis]! - 1) * dilations[axis]! + 1;
    const over = full - e.outputShape[axis]!;
    before.push(Math.floor(Math.max(0, over) / 2));
    after.push(Math.max(0, over) - before.at(-1)!);
    more.push(Math.max(0, -over));
  }
  const window = {
    kernel_shape: { ints: sizes },
    strides: { ints: strides },
    dilations: { ints: dilations },
    pads: { ints: [...before, ...after] },
    output_padding: { ints: more },
  };
  return activate(
    e,
    channelsFirst(e, (x) => e.graph.node("ConvTranspose", [x, constant(e, kernel), ...biasOf(e)], window)),
  );
}

/** (...kernel, channels, m) -> (channels m, 1, ...kernel), a group for each channel. */
function depthwise(e: Emission, x: string, biased: boolean): string {
  const n = axesOf(e);
  const { shape, values } = permuted(weightOf(e, "depthwise_kernel"), [n, n + 1, ...Array(n).keys()]);
  const [channels, m, ...kernel] = shape as [number, number, ...number[]];
  const weights = e.graph.floats(values, [channels * m, 1, ...kernel]);
  return e.graph.node("Conv", [x, weights, ...(biased ? biasOf(e) : [])], {
    ...windowOf(e, e.config.kernel_size, e.config.strides),
    group: { int: channels },
  });
}

function separable(e: Emission): string {
  const middle = channelsFirst(e, (x) => depthwise(e, x, false));
  const pointwise = weightOf(e, "pointwise_kernel");
  const product = e.graph.node("MatMul", [middle, constant(e, pointwise, pointwise.shape.slice(-2))]);
  const [bias] = biasOf(e);
  return activate(e, bias === undefined ? product : e.graph.node("Add", [product, bias]));
}

function pooling(e: Emission, op: "MaxPool" | "AveragePool"): string {
  const sizes = e.config.pool_size ?? 2;
  const { dilations: _, ...window } = windowOf(e, sizes, e.config.strides ?? sizes);
  return channelsFirst(e, (x) => e.graph.node(op, [x], window));
}

function globalPooling(e: Emission, op: "ReduceMax" | "ReduceMean"): string {
  const axes = Array.from({ length: axesOf(e) }, (_, i) => i + 1);
  return e.graph.node(op, e.inputs, {
    axes: { ints: axes },
    keepdims: { int: e.config.keepdims === true ? 1 : 0 },
  });
}

function upSampling(e: Emission): string {
  const { graph } = e;
  const scales = perAxis(e.config.size, axesOf(e), 2);
  const bilinear = e.config.interpolation === "bilinear";
  const halfPixel = bilinear && writtenByKeras(e.config);
  return channelsFirst(e, (x) =>
    graph.node("Resize", [x, "", graph.floats([1, 1, ...scales], [scales.length + 2])], {
      mode: { text: bilinear ? "linear" : "nearest" },
      coordinate_transformation_mode: { text: halfPixel ? "half_pixel" : "asymmetric" },
      nearest_mode: { text: "floor" },
    }),
  );
}

/** [[before, after], ...] of an option that may be one number for all, one for each axis, or a pair for each. */
function border(option: unknown, axes: number, fallback: number): [number, number][] {
  if (axes === 1) {
    const [before, after] = perAxis(option, 2, fallback);
    return [[before!, after ?? before!]];
  }
  return perAxis(option, axes, fallback).map((amount) =>
    Array.isArray(amount) ? (amount as unknown as [number, number]) : [amount, amount],
  );
}

function zeroPadding(e: Emission): string {
  const pairs = border(e.config.padding, axesOf(e), 1);
  const pads = [0, ...pairs.map(([before]) => before), 0, 0, ...pairs.map(([, after]) => after), 0];
  return e.graph.node("Pad", [e.inputs[0]!, e.graph.ints(pads)]);
}

function cropping(e: Emission): string {
  const axes = axesOf(e);
  const pairs = border(e.config.cropping, axes, axes === 1 ? 1 : 0);
  return e.graph.node("Slice", [
    e.inputs[0]!,
    e.graph.ints(pairs.map(([before]) => before)),
    e.graph.ints(pairs.map(([, after], axis) => e.inputShape[axis]! - after)),
    e.graph.ints(pairs.map((_, axis) => axis + 1)),
  ]);
}

export const shapes: Readonly<Record<string, Emit>> = {
  Flatten: seenAs,
  Reshape: seenAs,
  Permute: ({ graph, inputs, config }) => transposed(graph, inputs[0]!, [0, ...(config.dims as number[])]),
  RepeatVector(e) {
    const [n, channels] = e.outputShape as [number, number];
    const one = reshaped(e.graph, e.inputs[0]!, [1, channels]);
    return e.graph.node("Tile", [one, e.graph.ints([1, n, 1])]);
  },
};

function seenAs({ graph, inputs, outputShape }: Emission): string {
  return reshaped(graph, inputs[0]!, outputShape);
}
