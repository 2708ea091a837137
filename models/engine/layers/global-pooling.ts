import { z } from "zod";
import { sizeOf } from "../shape.ts";
import { common, parseConfig } from "./config.ts";
import type { BoundLayer, LayerKind, Site } from "./layer.ts";
import { channelsLast, imageOf } from "./spatial.ts";

const Config = () =>
  z.strictObject({ ...common, data_format: channelsLast, keepdims: z.boolean().nullish() });

/** The largest of each channel. A mask is not looked at, as in Keras. */
export const globalMaxPooling1d = globalPooling("max", 1);
export const globalMaxPooling2d = globalPooling("max", 2);
/** The mean of each channel; over a series with a mask, of the steps that count. */
export const globalAveragePooling1d = globalPooling("average", 1);
export const globalAveragePooling2d = globalPooling("average", 2);

function globalPooling(kind: "max" | "average", axes: 1 | 2): LayerKind {
  return (layer) => {
    const { keepdims } = parseConfig(Config, layer);
    const { height, width, channels: C } = imageOf(layer, axes);
    const T = height * width;
    const bind = kind === "max" ? bindMax : bindAverage;
    return {
      name: layer.name,
      className: layer.className,
      order: "batch",
      outputShape: keepdims ? [...Array<number>(axes).fill(1), C] : [C],
      weights: [],
      flops: sizeOf(layer.inputShape),
      // Over a series it can go row by row: the largest or the mean so far, and how many rows there were.
      stateFloats: axes === 1 ? C + 1 : null,
      mask: "drop",
      bind: (site) => bind(site, T, C),
    };
  };
}

function bindMax({ kernels, maxBatch, allocate, inputs, output, rows, state }: Site, T: number, C: number) {
  const input = inputs[0]!;
  const winners = allocate(maxBatch * Math.ceil(C / 4) * 4); // (batch, C in fours), i32
  return {
    forward(batch, training) {
      const to = training ? winners : 0;
      kernels.maxPool(input.value, output.value, to, batch, 1, T, C, 1, 1, 1, T, 1, 1, 0, 0);
    },
    backward(batch) {
      if (input.gradient === 0) return;
      kernels.maxPoolBackward(output.gradient, winners, input.gradient, batch, 1, T, C, 1, 1);
    },
    step() {
      kernels.maxStep(rows.inputs[0]!, state, rows.output, C);
    },
  } satisfies BoundLayer;
}

function bindAverage({ kernels, inputs, output, rows, state }: Site, T: number, C: number) {
  const input = inputs[0]!;
  return {
    forward(batch) {
      kernels.meanOverTime(input.value, input.mask, output.value, batch, T, C);
    },
    backward(batch) {
      if (input.gradient === 0) return;
      kernels.meanOverTimeBackward(output.gradient, input.mask, input.gradient, batch, T, C);
    },
    step() {
      kernels.meanStep(rows.inputs[0]!, input.mask, state, rows.output, C);
    },
  } satisfies BoundLayer;
}
