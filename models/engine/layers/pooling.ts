import { z } from "zod";
import { sizeOf } from "../shape.ts";
import { common, parseConfig } from "./config.ts";
import type { LayerKind, LayerPlan, Site } from "./layer.ts";
import { channelsLast, checkNotEmpty, type Image, imageOf, shapeOfImage, size1, size2 } from "./spatial.ts";

const options = () => ({
  ...common,
  padding: z.enum(["valid", "same"]).nullish(),
  data_format: channelsLast,
});
const Config1 = () => z.strictObject({ ...options(), pool_size: size1.default(2), strides: size1.nullish() });
const Config2 = () =>
  z.strictObject({ ...options(), pool_size: size2.default([2, 2]), strides: size2.nullish() });

/** The largest of each window; the gradient goes to it alone, and of equals to the first. */
export const maxPooling1d = pooling("max", 1);
export const maxPooling2d = pooling("max", 2);
/** The mean of each window; what "same" pads does not count. */
export const averagePooling1d = pooling("average", 1);
export const averagePooling2d = pooling("average", 2);

function pooling(kind: "max" | "average", axes: 1 | 2): LayerKind {
  return (layer) => {
    const config = windowOf(layer, axes);
    const input = imageOf(layer, axes);
    const [KH, KW] = config.pool;
    const [SH, SW] = config.strides ?? config.pool;
    const rows = along(input.height, KH, SH, config.same);
    const columns = along(input.width, KW, SW, config.same);
    const output = { height: rows.count, width: columns.count, channels: input.channels };
    checkNotEmpty(output, layer);
    const window = { KH, KW, SH, SW, PT: rows.before, PL: columns.before };
    const outputShape = shapeOfImage(output, axes);
    const bind =
      kind === "average" ? bindAverage : inPairs(input, output, window, axes) ? bindPairs : bindMax;
    return {
      name: layer.name,
      className: layer.className,
      order: "batch",
      outputShape,
      weights: [],
      flops: sizeOf(outputShape) * KH * KW,
      stateFloats: null,
      mask: "drop",
      bind: (site) => bind(site, input, output, window),
    };
  };
}

function windowOf(layer: Parameters<LayerKind>[0], axes: 1 | 2) {
  const one = (size: number) => [1, size] as const;
  if (axes === 1) {
    const { pool_size, strides, padding } = parseConfig(Config1, layer);
    return { pool: one(pool_size), strides: strides ? one(strides) : null, same: padding === "same" };
  }
  const { pool_size, strides, padding } = parseConfig(Config2, layer);
  return { pool: pool_size, strides, same: padding === "same" };
}

/** How many windows there are along an axis, and what padding lies before the first. */
function along(size: number, window: number, stride: number, same: boolean) {
  if (!same) return { count: Math.floor((size - window) / stride) + 1, before: 0 };
  const count = Math.ceil(size / stride);
  return { count, before: Math.floor(Math.max((count - 1) * stride + window - size, 0) / 2) };
}

interface Window {
  readonly KH: number;
  readonly KW: number;
  readonly SH: number;
  readonly SW: number;
  readonly PT: number;
  readonly PL: number;
}

/** 2 (or 2x2) at strides of the same, and no window over the edge: has kernels of its own. */
function inPairs({ height, width }: Image, output: Image, w: Window, axes: 1 | 2): boolean {
  return (
    w.KH === axes &&
    w.SH === axes &&
    w.KW === 2 &&
    w.SW === 2 &&
    output.height * axes <= height &&
    output.width * 2 <= width
  );
}

type Bind = (site: Site, input: Image, output: Image, window: Window) => ReturnType<LayerPlan["bind"]>;

const bindMax: Bind = (site, { height: H, width: W, channels: C }, { height: OH, width: OW }, window) => {
  const { kernels, maxBatch, output } = site;
  const { KH, KW, SH, SW, PT, PL } = window;
  const input = site.inputs[0]!;
  const winners = site.allocate(maxBatch * OH * OW * inFours(C)); // (batch, OH, OW, C in fours), i32
  return {
    forward(batch, training) {
      const to = training ? winners : 0;
      kernels.maxPool(input.value, output.value, to, batch, H, W, C, OH, OW, KH, KW, SH, SW, PT, PL);
    },
    backward(batch) {
      if (input.gradient === 0) return;
      kernels.maxPoolBackward(output.gradient, winners, input.gradient, batch, H, W, C, OH, OW);
    },
  };
};

const bindPairs: Bind = (site, { height: H, width: W, channels: C }, { height: OH, width: OW }, { KH }) => {
  const { kernels, maxBatch, output } = site;
  const input = site.inputs[0]!;
  const winners = site.allocate((maxBatch * OH * OW * inFours(C)) / 4); // (batch, OH, OW, C in fours), bytes
  return {
    forward(batch, training) {
      kernels.maxPoolPairs(input.value, output.value, training ? winners : 0, batch, H, W, C, KH);
    },
    backward(batch) {
      if (input.gradient === 0) return;
      kernels.maxPoolPairsBackward(output.gradient, winners, input.gradient, batch, H, W, C, KH);
    },
  };
};

const bindAverage: Bind = (site, { height: H, width: W, channels: C }, { height: OH, width: OW }, window) => {
  const { kernels, output } = site;
  const { KH, KW, SH, SW, PT, PL } = window;
  const input = site.inputs[0]!;
  return {
    forward(batch) {
      kernels.averagePool(input.value, output.value, batch, H, W, C, OH, OW, KH, KW, SH, SW, PT, PL);
    },
    backward(batch) {
      if (input.gradient === 0) return;
      const [dy, dx] = [output.gradient, input.gradient];
      kernels.averagePoolBackward(dy, dx, batch, H, W, C, OH, OW, KH, KW, SH, SW, PT, PL);
    },
  };
};

function inFours(channels: number): number {
  return Math.ceil(channels / 4) * 4;
}
