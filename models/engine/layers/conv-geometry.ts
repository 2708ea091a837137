import { z } from "zod";
import { FleetError } from "../../../protocol/errors.ts";
import type { Address, Kernels } from "../../kernels/load.ts";
import type { Shape } from "../shape.ts";
import { sizeOf } from "../shape.ts";
import { common } from "./config.ts";
import type { LayerConfig } from "./layer.ts";

/** Beyond any sense, and small enough that the kernels' 32-bit sums of places never overflow. */
const MAX_EXTENT = 4096;

const extent = z.int().positive().max(MAX_EXTENT);

/** Axes that a window moves along: (time), or (height, width). */
export type Rank = 1 | 2;

type Extents = readonly [height: number, width: number];

/** A number for all axes, or one for each; for one axis, height is 1. */
function extents(rank: Rank) {
  return z
    .union([extent.transform((size) => Array<number>(rank).fill(size)), z.array(extent).length(rank)])
    .transform((sizes): Extents => (rank === 1 ? [1, sizes[0]!] : [sizes[0]!, sizes[1]!]));
}

/** What the convolutions' schemas share. */
export function convOptions(rank: Rank) {
  return {
    ...common,
    kernel_size: extents(rank),
    strides: extents(rank).nullish(),
    dilation_rate: extents(rank).nullish(),
    data_format: z.enum(["channels_last", "channelsLast"]).nullish(),
    groups: z.literal(1).nullish(),
    use_bias: z.boolean().nullish(),
  };
}

export const padding = z.enum(["valid", "same"]).nullish();
export const causalPadding = z.enum(["valid", "same", "causal"]).nullish();

interface WindowOptions {
  readonly kernel_size: Extents;
  readonly strides?: Extents | null | undefined;
  readonly dilation_rate?: Extents | null | undefined;
  readonly padding?: "valid" | "same" | "causal" | null | undefined;
}

/** Where a window looks: a field of the kernels' ConvShape each. A series is an image of one row. */
export interface Geometry {
  readonly input: readonly [height: number, width: number, channels: number];
  readonly output: readonly [height: number, width: number, channels: number];
  readonly kernel: Extents;
  readonly strides: Extents;
  readonly dilation: Extents;
  /** Zeros before the first row, and before the first column. */
  readonly before: Extents;
}

/** (height, width, channels) of a layer's input; of (time, channels), height is 1. */
export function imageShape(layer: LayerConfig, rank: Rank): Geometry["input"] {
  const { inputShape } = layer;
  if (inputShape.length !== rank + 1)
    throw new FleetError(
      "BAD_INPUT",
      `layer "${layer.name}" (${layer.className}) needs an input of shape ${rank === 1 ? "(time, channels)" : "(height, width, channels)"}, but gets (${inputShape.join(", ")})`,
    );
  const [height, width, channels] = rank === 1 ? [1, ...inputShape] : inputShape;
  return [height!, width!, channels!];
}

/** The shape of one sample without the row that a series does not have. */
export function shapeOf([height, width, channels]: Geometry["output"], rank: Rank): Shape {
  return rank === 1 ? [width, channels] : [height, width, channels];
}

/** A window that moves over `input`. Throws BAD_INPUT where it does not fit in even once. */
export function geometryOf(
  layer: LayerConfig,
  options: WindowOptions,
  { input, channels }: { readonly input: Geometry["input"]; readonly channels: number },
): Geometry {
  const { kernel, strides, dilation } = windowOf(options);
  const along = (axis: 0 | 1) => {
    const [size, stride, reach] = [input[axis], strides[axis], reachOf(kernel, dilation, axis)];
    if (options.padding === "same") {
      const count = Math.ceil(size / stride);
      return { count, before: Math.floor(Math.max(0, (count - 1) * stride + reach - size) / 2) };
    }
    const before = options.padding === "causal" ? reach - 1 : 0;
    return { count: Math.floor((size + before - reach) / stride) + 1, before };
  };
  const [rows, columns] = [along(0), along(1)];
  if (rows.count < 1 || columns.count < 1)
    throw new FleetError(
      "BAD_INPUT",
      `layer "${layer.name}" (${layer.className}): the kernel is longer than the input (${layer.inputShape.join(", ")}); use padding "same"`,
    );
  return {
    input,
    output: [rows.count, columns.count, channels],
    kernel,
    strides,
    dilation,
    before: [rows.before, columns.before],
  };
}

/**
 * The convolution that a transposed one turns around: what the layer gets is this one's output. Sizes as Keras has them:
 * its convolution with the same options leads back to the layer's input.
 */
export function transposedGeometry(
  options: WindowOptions,
  { small, channels }: { readonly small: Geometry["output"]; readonly channels: number },
): Geometry {
  const { kernel, strides, dilation } = windowOf(options);
  const along = (axis: 0 | 1) => {
    const over = Math.max(0, reachOf(kernel, dilation, axis) - strides[axis]);
    const size = small[axis] * strides[axis];
    return options.padding === "same"
      ? { size, before: Math.floor(over / 2) }
      : { size: size + over, before: 0 };
  };
  const [rows, columns] = [along(0), along(1)];
  return {
    input: [rows.size, columns.size, channels],
    output: small,
    kernel,
    strides,
    dilation,
    before: [rows.before, columns.before],
  };
}

function windowOf(options: WindowOptions) {
  const one: Extents = [1, 1];
  return {
    kernel: options.kernel_size,
    strides: options.strides ?? one,
    dilation: options.dilation_rate ?? one,
  };
}

/** How far the window's last element lies behind its first, and one. */
function reachOf(kernel: Extents, dilation: Extents, axis: 0 | 1): number {
  return (kernel[axis] - 1) * dilation[axis] + 1;
}

/** Multiplies and adds of one sample, two for each. */
export function convFlops({ input, output, kernel }: Geometry): number {
  return 2 * sizeOf(output) * kernel[0] * kernel[1] * input[2];
}

/** Floats of the kernels' ConvShape. */
export const CONV_SHAPE_FLOATS = 14;

/** Writes `geometry` where the kernels read it. Before each call: at bind time the memory may not reach that far yet. */
export function describe(kernels: Kernels, at: Address, geometry: Geometry): void {
  const { input, output, kernel, strides, dilation, before } = geometry;
  kernels.convShape(
    at,
    input[0],
    input[1],
    input[2],
    output[0],
    output[1],
    output[2],
    kernel[0],
    kernel[1],
    strides[0],
    strides[1],
    dilation[0],
    dilation[1],
    before[0],
    before[1],
  );
}

/**
 * The same convolution in the form that the kernels are fastest at: of a kernel of one element, or of one row that moves
 * along rows only, the rows are one long series, or many.
 */
export function simplified(geometry: Geometry): { readonly geometry: Geometry; readonly images: number } {
  const { input, output, kernel, strides, before } = geometry;
  if (kernel[0] !== 1 || strides[0] !== 1 || before[0] !== 0 || output[0] !== input[0])
    return { geometry, images: 1 };
  const [height, width, channels] = input;
  const point = kernel[1] === 1 && strides[1] === 1 && before[1] === 0 && output[1] === width;
  const [images, length] = point ? [1, height * width] : [height, width];
  return {
    geometry: {
      ...geometry,
      input: [1, length, channels],
      output: [1, point ? length : output[1], output[2]],
    },
    images,
  };
}
