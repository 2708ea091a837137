import { z } from "zod";
import { Activation, type Curve, LINEAR } from "../activations.ts";
import { type Shape, sizeOf } from "../shape.ts";
import { common, parseConfig } from "./config.ts";
import type { LayerKind, LayerPlan } from "./layer.ts";

const Config = () => z.strictObject({ ...common, activation: Activation });

/** y = f(x) */
export const activation: LayerKind = (layer) => {
  const { activation: spec } = parseConfig(Config, layer);
  return activationPlan(spec, {
    name: layer.name,
    className: layer.className,
    shape: layer.inputShape,
  });
};

/** A layer that is nothing but an activation. */
export function activationPlan(spec: Activation, options: Options): LayerPlan {
  switch (spec.kind) {
    case "fused":
      return inPlace(spec, options);
    case "curve":
      return fromInput(spec, options);
    case "rows":
      return onRows(spec, options);
  }
}

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
  return { code: LINEAR, extra: { tail: activationPlan(spec, options) } };
}

interface Options {
  readonly name: string;
  readonly className: string;
  readonly shape: Shape;
}

/** Element by element, with a slope that can be written in the output. */
function inPlace(
  { code, name: kind }: Extract<Activation, { kind: "fused" }>,
  { name, className, shape }: Options,
): LayerPlan {
  const size = sizeOf(shape);
  const channels = shape.at(-1)!;
  return {
    ...weightless(name, className, shape, size),
    ...(kind === "sigmoid" && { probabilities: "sigmoid" as const }),
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

/** Element by element, with a slope that needs the input. */
function fromInput({ code, parameters }: Curve, { name, className, shape }: Options): LayerPlan {
  const size = sizeOf(shape);
  const channels = shape.at(-1)!;
  const [a, b, c] = parameters;
  return {
    ...weightless(name, className, shape, 20 * size), // an exponential and a division, roughly
    bind({ kernels, inputs, output, rows }) {
      const input = inputs[0]!;
      return {
        forward(batch) {
          kernels.curve(code, input.value, output.value, batch * size, a, b, c);
        },
        backward(batch) {
          if (input.gradient === 0) return;
          kernels.curveBackward(code, input.value, output.gradient, input.gradient, batch * size, a, b, c);
        },
        step() {
          kernels.curve(code, rows.inputs[0]!, rows.output, channels, a, b, c);
        },
      };
    },
  };
}

/** Row by row along the last axis. */
function onRows(spec: Extract<Activation, { kind: "rows" }>, { name, className, shape }: Options): LayerPlan {
  const cols = shape.at(-1)!;
  const rows = sizeOf(shape) / cols; // of one sample
  const isLog = spec.name === "log_softmax";
  return {
    ...weightless(name, className, shape, 5 * rows * cols),
    ...(!isLog && { probabilities: "softmax" as const }),
    bind({ kernels, inputs, output, rows: row }) {
      const input = inputs[0]!;
      const forward = isLog ? kernels.logSoftmax : kernels.softmax;
      const backward = isLog ? kernels.logSoftmaxBackward : kernels.softmaxBackward;
      return {
        forward(batch) {
          forward(input.value, output.value, batch * rows, cols);
        },
        backward(batch) {
          if (input.gradient === 0) return;
          backward(output.value, output.gradient, input.gradient, batch * rows, cols);
        },
        step() {
          forward(row.inputs[0]!, row.output, 1, cols);
        },
      };
    },
  };
}

function weightless(name: string, className: string, shape: Shape, flops: number) {
  return { name, className, order: "any", outputShape: shape, weights: [], flops, stateFloats: 0 } as const;
}
