import { z } from "zod";
import { FleetError } from "../../../protocol/errors.ts";
import type { Kernels } from "../../kernels/load.ts";
import { type Shape, sizeOf } from "../shape.ts";
import { common, parseConfig } from "./config.ts";
import type { BoundLayer, LayerConfig, LayerKind, Site, Tensor } from "./layer.ts";
import { stridesOf, type View, viewOf } from "./view.ts";

const Config = () => z.strictObject(common);

/** The numbers that the kernels know the operations by, models/kernels/assembly/merge.ts. */
const OPERATION = { add: 0, subtract: 1, multiply: 2, maximum: 3, minimum: 4, average: 0 } as const;
type Operation = keyof typeof OPERATION;

export const add = merging("add");
export const subtract = merging("subtract");
export const multiply = merging("multiply");
export const average = merging("average");
/** Of equals the first has the gradient. */
export const maximum = merging("maximum");
export const minimum = merging("minimum");

/**
 * Element by element over all inputs. A size of 1 is repeated along the others' axis, and an input of fewer axes has its missing ones in
 * front: (channels) joins (time, channels) at every step.
 */
function merging(operation: Operation): LayerKind {
  return (layer) => {
    parseConfig(Config, layer);
    const { name, className, inputShapes } = layer;
    checkCount(layer, operation === "subtract" ? 2 : null);
    const outputShape = inputShapes.reduce((all, shape) => broadcast(all, shape, layer));
    const size = sizeOf(outputShape);
    const views = inputShapes.map((shape) => repeated(shape, outputShape, layer));
    const alike = views.every((view) => view === null);
    const channels = outputShape.at(-1)!;
    return {
      name,
      className,
      severalInputs: true,
      order: alike ? "any" : "batch",
      outputShape,
      weights: [],
      flops: (inputShapes.length - 1) * size,
      stateFloats: alike && outputShape.length <= 2 ? 0 : null,
      mask: "merge",
      bind(site) {
        checkMasks(layer, site);
        const { kernels, rows, output } = site;
        const whole = alike
          ? elementwise(operation, kernels, site.inputs, output)
          : repeating(operation, site, views, size);
        return {
          forward(batch) {
            whole.forward(batch * size, batch);
            mergeMasks(site, batch * outputShape[0]!);
          },
          backward(batch) {
            whole.backward(batch * size, batch);
          },
          step() {
            apply(operation, kernels, rows.inputs, rows.output, channels);
            mergeMasks(site, 1);
          },
        } satisfies BoundLayer;
      },
    };
  };
}

/** Merge layers need two inputs, or exactly `count`. */
export function checkCount({ name, className, inputShapes }: LayerConfig, count: number | null): void {
  const got = inputShapes.length;
  if (count === null ? got >= 2 : got === count) return;
  throw new FleetError(
    "BAD_INPUT",
    `layer "${name}" (${className}) needs ${count ?? "at least 2"} inputs, but gets ${got}`,
  );
}

/** Of `n` steps, one counts where it counts in every input that has a mask. */
export function mergeMasks({ kernels, inputs, output }: Site, n: number): void {
  if (output.mask === 0) return;
  let first = true;
  for (const { mask } of inputs) {
    if (mask === 0) continue;
    if (first) kernels.copy(output.mask, mask, n);
    else kernels.combine(OPERATION.multiply, output.mask, mask, output.mask, n);
    first = false;
  }
}

/** Throws UNSUPPORTED where an input with a mask has another time axis than the output. */
export function checkMasks({ name, className }: LayerConfig, { inputs, output }: Site): void {
  const same = ({ shape }: Tensor) => shape.length === output.shape.length && shape[0] === output.shape[0];
  if (inputs.every((input) => input.mask === 0 || same(input))) return;
  throw new FleetError(
    "UNSUPPORTED",
    `layer "${name}" (${className}): the engine can't repeat an input that has a mask; give its inputs the same shape`,
  );
}

/** The work on `n` floats of each tensor. */
interface Whole {
  forward(n: number, batch: number): void;
  backward(n: number, batch: number): void;
}

function elementwise(
  operation: Operation,
  kernels: Kernels,
  inputs: readonly Tensor[],
  output: Tensor,
): Whole {
  const values = inputs.map(({ value }) => value);
  return {
    forward(n) {
      apply(operation, kernels, values, output.value, n);
    },
    backward(n) {
      for (let i = 0; i < inputs.length; i++)
        derive(operation, kernels, values, i, { output, to: inputs[i]!.gradient, n });
    },
  };
}

/** As elementwise on copies that have the output's shape; `views`: null where the input has it itself. */
function repeating(operation: Operation, site: Site, views: readonly (View | null)[], size: number): Whole {
  const { kernels, maxBatch, allocate, inputs, output } = site;
  const values = inputs.map(({ value }, i) => (views[i] === null ? value : allocate(maxBatch * size)));
  const gradient = allocate(maxBatch * size); // of one input at a time
  return {
    forward(n, batch) {
      for (let i = 0; i < inputs.length; i++) views[i]?.gather(kernels, inputs[i]!.value, values[i]!, batch);
      apply(operation, kernels, values, output.value, n);
    },
    backward(n, batch) {
      for (let i = 0; i < inputs.length; i++) {
        const { gradient: own, shape } = inputs[i]!;
        const view = views[i];
        if (!view || own === 0) {
          derive(operation, kernels, values, i, { output, to: own, n });
          continue;
        }
        derive(operation, kernels, values, i, { output, to: gradient, n });
        kernels.fillZero(own, batch * sizeOf(shape));
        view.scatterAdd(kernels, gradient, own, batch);
      }
    },
  };
}

/** to = all values together. */
function apply(
  operation: Operation,
  kernels: Kernels,
  values: readonly number[],
  to: number,
  n: number,
): void {
  const code = OPERATION[operation];
  kernels.combine(code, values[0]!, values[1]!, to, n);
  for (let i = 2; i < values.length; i++) kernels.combine(code, to, values[i]!, to, n);
  if (operation === "average") kernels.scaled(to, to, n, 1 / values.length);
}

/** Sets the gradient of input `i` at `to` (0: not wanted). Called for each input in turn. */
function derive(
  operation: Operation,
  kernels: Kernels,
  values: readonly number[],
  i: number,
  { output, to, n }: { readonly output: Tensor; readonly to: number; readonly n: number },
): void {
  const dy = output.gradient;
  // Even an input that wants no gradient takes its part of it from the others.
  if (operation === "maximum" || operation === "minimum") {
    kernels.claim(values[i]!, output.value, dy, to, n);
    return;
  }
  if (to === 0) return;
  if (operation === "add" || (operation === "subtract" && i === 0)) kernels.copy(to, dy, n);
  else if (operation === "subtract") kernels.scaled(dy, to, n, -1);
  else if (operation === "average") kernels.scaled(dy, to, n, 1 / values.length);
  else {
    let from = dy;
    for (let k = 0; k < values.length; k++) {
      if (k === i) continue;
      kernels.combine(OPERATION.multiply, from, values[k]!, to, n);
      from = to;
    }
  }
}

function broadcast(a: Shape, b: Shape, { name, className }: LayerConfig): Shape {
  const rank = Math.max(a.length, b.length);
  const wide = (shape: Shape) => [...Array<number>(rank - shape.length).fill(1), ...shape];
  const [left, right] = [wide(a), wide(b)];
  return left.map((size, i) => {
    const other = right[i]!;
    if (size === other || other === 1) return size;
    if (size === 1) return other;
    throw new FleetError(
      "BAD_INPUT",
      `layer "${name}" (${className}) can't join (${a.join(", ")}) and (${b.join(", ")}); their sizes must be equal or 1`,
    );
  });
}

/** How an input is seen under the output's shape; null where it has it. */
function repeated(shape: Shape, outputShape: Shape, { name, className }: LayerConfig): View | null {
  if (shape.length === outputShape.length && shape.every((size, i) => size === outputShape[i])) return null;
  const strides = stridesOf(shape);
  const missing = outputShape.length - shape.length;
  const steps = outputShape.map((_, i) => {
    const size = shape[i - missing];
    return size === undefined || size === 1 ? 0 : strides[i - missing]!;
  });
  const view = viewOf(outputShape, steps, sizeOf(shape));
  if (view !== null) return view;
  throw new FleetError(
    "UNSUPPORTED",
    `layer "${name}" (${className}): the engine can't repeat (${shape.join(", ")}) to (${outputShape.join(", ")})`,
  );
}
