import { z } from "zod";
import { FleetError } from "../../../protocol/errors.ts";
import { sizeOf } from "../shape.ts";
import { common, parseConfig } from "./config.ts";
import type { LayerKind } from "./layer.ts";
import { stridesOf, viewOf } from "./view.ts";

const Config = () => z.strictObject({ ...common, dims: z.array(z.int().positive()).min(1) });

/** Axis i of the output is axis dims[i] of the input, counted from 1, as the batch is axis 0. */
export const permute: LayerKind = (layer) => {
  const { dims } = parseConfig(Config, layer);
  const { inputShape } = layer;
  const where = `layer "${layer.name}" (${layer.className})`;
  const sorted = [...dims].sort((a, b) => a - b);
  if (dims.length !== inputShape.length || sorted.some((axis, i) => axis !== i + 1)) {
    throw new FleetError(
      "BAD_INPUT",
      `${where}: dims [${dims.join(", ")}] are not the axes 1 to ${inputShape.length} of its input, each once`,
    );
  }
  const outputShape = dims.map((axis) => inputShape[axis - 1]!);
  const size = sizeOf(inputShape);
  const strides = stridesOf(inputShape);
  const outStrides = stridesOf(outputShape);
  const there = viewOf(
    outputShape,
    dims.map((axis) => strides[axis - 1]!),
    size,
  );
  const back = viewOf(
    inputShape,
    inputShape.map((_, i) => outStrides[dims.indexOf(i + 1)]!),
    size,
  );
  if (there === null || back === null)
    throw new FleetError("UNSUPPORTED", `${where}: the engine has no permutation of so many axes`);
  return {
    name: layer.name,
    className: layer.className,
    order: "batch",
    outputShape,
    weights: [],
    flops: 0,
    stateFloats: null,
    mask: "drop",
    bind({ kernels, inputs, output }) {
      const input = inputs[0]!;
      return {
        forward(batch) {
          there.gather(kernels, input.value, output.value, batch);
        },
        backward(batch) {
          if (input.gradient !== 0) back.gather(kernels, output.gradient, input.gradient, batch);
        },
      };
    },
  };
};
