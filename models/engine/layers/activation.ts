import { z } from "zod";
import { Activation, LINEAR } from "../activations.ts";
import { type Shape, sizeOf } from "../shape.ts";
import { common, parseConfig } from "./config.ts";
import type { LayerKind, LayerPlan } from "./layer.ts";

const Config = z.strictObject({ ...common, activation: Activation });

/** y = f(x) */
export const activation: LayerKind = (layer) => {
  const { activation: spec } = parseConfig(Config, layer);
  const options = { name: layer.name, className: layer.className, shape: layer.inputShape };
  return spec.kind === "fused" ? inPlace(spec.code, options) : onRows(spec, options);
};

/**
 * What a layer does with its `activation` option: the number of the one that it computes itself, and what its plan needs besides: the step
 * that follows where it can't be fused.
 */
export function activated(
  spec: Activation,
  { name, shape }: { readonly name: string; readonly shape: Shape },
): { readonly code: number; readonly extra: Pick<LayerPlan, "tail" | "probabilities"> } {
  if (spec.kind === "fused")
    return { code: spec.code, extra: spec.name === "sigmoid" ? { probabilities: "sigmoid" } : {} };
  const options = { name: `${name}/${spec.name}`, className: "Activation", shape };
  return { code: LINEAR, extra: { tail: onRows(spec, options) } };
}

interface Options {
  readonly name: string;
  readonly className: string;
  readonly shape: Shape;
}

/** Element by element, with a slope that can be written in the output. */
function inPlace(code: number, { name, className, shape }: Options): LayerPlan {
  const size = sizeOf(shape);
  const channels = shape.at(-1)!;
  return {
    ...weightless(name, className, shape, size),
    bind({ kernels, inputs, output, rows }) {
      const input = inputs[0]!;
      return {
        forward(batch) {
          kernels.copy(output.value, input.value, batch * size);
          kernels.activate(code, output.value, batch * size);
        },
        backward(batch) {
          if (input.gradient === 0) return;
          kernels.copy(input.gradient, output.gradient, batch * size);
          kernels.activateBackward(code, output.value, input.gradient, batch * size);
        },
        step() {
          kernels.copy(rows.output, rows.inputs[0]!, channels);
          kernels.activate(code, rows.output, channels);
        },
      };
    },
  };
}

/** Row by row along the last axis. */
function onRows(
  spec: Extract<Activation, { kind: "separate" }>,
  { name, className, shape }: Options,
): LayerPlan {
  const cols = shape.at(-1)!;
  const rows = sizeOf(shape) / cols; // of one sample
  return {
    ...weightless(name, className, shape, 5 * rows * cols),
    ...(spec.name === "softmax" && { probabilities: "softmax" as const }),
    bind({ kernels, inputs, output, rows: row }) {
      const input = inputs[0]!;
      return {
        forward(batch) {
          kernels.softmax(input.value, output.value, batch * rows, cols);
        },
        backward(batch) {
          if (input.gradient === 0) return;
          kernels.softmaxBackward(output.value, output.gradient, input.gradient, batch * rows, cols);
        },
        step() {
          kernels.softmax(row.inputs[0]!, row.output, 1, cols);
        },
      };
    },
  };
}

function weightless(name: string, className: string, shape: Shape, flops: number) {
  return { name, className, order: "any", outputShape: shape, weights: [], flops, stateFloats: 0 } as const;
}
