import { z } from "zod";
import { common, parseConfig } from "./config.ts";
import type { LayerConfig, LayerKind, LayerPlan } from "./layer.ts";
import {
  amounts1,
  amounts2,
  channelsLast,
  checkNotEmpty,
  type Image,
  imageOf,
  shapeOfImage,
} from "./spatial.ts";

const ZeroPadding1 = () =>
  z.strictObject({
    ...common,
    padding: amounts1.default([1, 1]),
    data_format: channelsLast,
  });
const ZeroPadding2 = () =>
  z.strictObject({
    ...common,
    padding: amounts2.default([
      [1, 1],
      [1, 1],
    ]),
    data_format: channelsLast,
  });
const Cropping1 = () =>
  z.strictObject({
    ...common,
    cropping: amounts1.default([1, 1]),
    data_format: channelsLast,
  });
const Cropping2 = () =>
  z.strictObject({
    ...common,
    cropping: amounts2.default([
      [0, 0],
      [0, 0],
    ]),
    data_format: channelsLast,
  });

/** What lies before and after along each axis. */
type Border = readonly [rows: readonly [number, number], columns: readonly [number, number]];

/** Zeros around the input. */
export const zeroPadding1d: LayerKind = (layer) =>
  padded(layer, 1, [[0, 0], parseConfig(ZeroPadding1, layer).padding]);
export const zeroPadding2d: LayerKind = (layer) => padded(layer, 2, parseConfig(ZeroPadding2, layer).padding);
/** The input without its edges. */
export const cropping1d: LayerKind = (layer) =>
  cropped(layer, 1, [[0, 0], parseConfig(Cropping1, layer).cropping]);
export const cropping2d: LayerKind = (layer) => cropped(layer, 2, parseConfig(Cropping2, layer).cropping);

function padded(layer: LayerConfig, axes: 1 | 2, border: Border): LayerPlan {
  const small = imageOf(layer, axes);
  const large = grown(small, border, 1);
  return {
    ...plain(layer, shapeOfImage(large, axes)),
    bind({ kernels, inputs, output }) {
      const input = inputs[0]!;
      const inner = innerOf(small, large, border);
      return {
        forward(batch) {
          const { rows, columns, block, skip } = inner;
          kernels.fillZero(output.value, batch * block.large);
          kernels.copyBlocks(
            input.value,
            block.small,
            columns.small,
            output.value + skip,
            block.large,
            columns.large,
            batch,
            rows,
            columns.small,
          );
        },
        backward(batch) {
          if (input.gradient === 0) return;
          const { rows, columns, block, skip } = inner;
          kernels.copyBlocks(
            output.gradient + skip,
            block.large,
            columns.large,
            input.gradient,
            block.small,
            columns.small,
            batch,
            rows,
            columns.small,
          );
        },
      };
    },
  };
}

function cropped(layer: LayerConfig, axes: 1 | 2, border: Border): LayerPlan {
  const large = imageOf(layer, axes);
  const small = grown(large, border, -1);
  checkNotEmpty(small, layer);
  return {
    ...plain(layer, shapeOfImage(small, axes)),
    bind({ kernels, inputs, output }) {
      const input = inputs[0]!;
      const { rows, columns, block, skip } = innerOf(small, large, border);
      return {
        forward(batch) {
          kernels.copyBlocks(
            input.value + skip,
            block.large,
            columns.large,
            output.value,
            block.small,
            columns.small,
            batch,
            rows,
            columns.small,
          );
        },
        backward(batch) {
          if (input.gradient === 0) return;
          kernels.fillZero(input.gradient, batch * block.large);
          kernels.copyBlocks(
            output.gradient,
            block.small,
            columns.small,
            input.gradient + skip,
            block.large,
            columns.large,
            batch,
            rows,
            columns.small,
          );
        },
      };
    },
  };
}

function plain(layer: LayerConfig, outputShape: readonly number[]) {
  return {
    name: layer.name,
    className: layer.className,
    order: "batch",
    outputShape,
    weights: [],
    flops: 0,
    stateFloats: null,
    mask: "drop",
  } as const;
}

function grown({ height, width, channels }: Image, [rows, columns]: Border, sign: 1 | -1): Image {
  return {
    height: height + sign * (rows[0] + rows[1]),
    width: width + sign * (columns[0] + columns[1]),
    channels,
  };
}

/** The small image inside the large one: floats of a sample and of a row on either side, and the bytes before its corner. */
function innerOf(small: Image, large: Image, [[top], [left]]: Border) {
  const columns = { small: small.width * small.channels, large: large.width * large.channels };
  return {
    rows: small.height,
    columns,
    block: { small: small.height * columns.small, large: large.height * columns.large },
    skip: (top * large.width + left) * large.channels * 4,
  };
}
