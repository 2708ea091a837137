import { FleetError } from "../../protocol/errors.ts";
import { type Address, instantiate, reach, type WasmModule } from "../kernels/load.ts";
import type { BoundLayer, Tensor } from "./layers/layer.ts";
import type { Plan } from "./plan.ts";
import { type Shape, sizeOf } from "./shape.ts";

/**
 * A plan laid out in one static arena inside the kernels' memory: every buffer has its address before the first batch,
 * and none moves or is added afterwards.
 */
export type Machine = Awaited<ReturnType<typeof createMachine>>;

const ALIGN_BYTES = 64; // a cache line
const INFINITY_BITS = 0x7f800000;

export async function createMachine(plan: Plan, options: { maxBatch: number; module?: WasmModule }) {
  const { maxBatch } = options;
  const kernels = await instantiate(0, options.module);
  const base = align(kernels.heapBase());
  let end = base;
  const allocate = (floats: number): Address => {
    const address = end;
    end = align(end + floats * 4);
    return address;
  };

  const P = plan.parameters;
  const inputSize = sizeOf(plan.inputShape);
  const outputSize = sizeOf(plan.outputShape);
  const parameters = {
    weights: allocate(P),
    gradients: allocate(P),
    /** The optimizer's own: momentum or first moment, and second moment. */
    first: allocate(P),
    second: allocate(P),
    /** The weights at the start of `fit`. */
    anchor: allocate(P),
  };
  const targets = allocate(maxBatch * outputSize); // (batch, ...outputShape)
  const sampleWeights = allocate(maxBatch); // (batch)
  const result = allocate(4); // two f64: weighted sum of squares, number of targets present
  const stateFloats = plan.layers.reduce((sum, layer) => sum + (layer.stateFloats ?? 0), 0);
  const states = allocate(stateFloats);

  const tensor = (shape: Shape, gradient: boolean): Tensor => {
    const floats = maxBatch * sizeOf(shape);
    return { shape, value: allocate(floats), gradient: gradient ? allocate(floats) : 0 };
  };
  const tensors = [tensor(plan.inputShape, false)];
  const rows = [allocate(plan.inputShape.at(-1)!)]; // stateful stepping: one row before and after each layer
  const layers: BoundLayer[] = [];
  let weightOffset = 0;
  let stateOffset = 0;
  let firstTrained = plan.layers.length;
  plan.layers.forEach((layer, i) => {
    if (layer.weights.length > 0) firstTrained = Math.min(firstTrained, i);
    // A gradient is asked for only where a weight stands before it.
    const output = tensor(layer.outputShape, firstTrained <= i);
    const offsets = layer.weights.map((weight) => {
      const offset = weightOffset * 4;
      weightOffset += sizeOf(weight.shape);
      return offset;
    });
    layers.push(
      layer.bind({
        kernels,
        maxBatch,
        allocate,
        inputs: [tensors[i]!],
        output,
        weights: offsets.map((offset) => parameters.weights + offset),
        weightGradients: offsets.map((offset) => parameters.gradients + offset),
        state: states + stateOffset * 4,
      }),
    );
    tensors.push(output);
    rows.push(allocate(layer.outputShape.at(-1)!));
    stateOffset += layer.stateFloats ?? 0;
  });
  reach(kernels.memory, end);

  // From here on the memory never grows, so views stay alive.
  const buffer = kernels.memory.buffer;
  const floats = (address: Address, count: number) => new Float32Array(buffer, address, count);
  const perBatch = (address: Address, size: number) => {
    const views: Float32Array[] = [];
    return (batch: number) => {
      views[batch] ??= floats(address, batch * size);
      return views[batch];
    };
  };
  const input = tensors[0]!;
  const output = tensors.at(-1)!;

  return {
    plan,
    kernels,
    maxBatch,
    inputSize,
    outputSize,
    addresses: parameters,
    arenaBytes: end - base,
    weights: floats(parameters.weights, P),
    gradients: floats(parameters.gradients, P),
    first: floats(parameters.first, P),
    second: floats(parameters.second, P),
    anchor: floats(parameters.anchor, P),
    states: floats(states, stateFloats),
    sampleWeights: floats(sampleWeights, maxBatch),
    input: perBatch(input.value, inputSize),
    targets: perBatch(targets, outputSize),
    output: perBatch(output.value, outputSize),
    inputRow: floats(rows[0]!, plan.inputShape.at(-1)!),
    outputRow: floats(rows.at(-1)!, plan.outputShape.at(-1)!),
    /** After `loss`: the weighted sum of squared errors, and how many targets were not missing. */
    result: new Float64Array(buffer, result, 2),

    /** Throws NOT_FINITE when the first `batch` inputs hold NaN or Inf. */
    checkInput(batch: number): void {
      if (kernels.maxAbsBits(input.value, batch * inputSize) >= INFINITY_BITS) throw badInput();
    },
    /** Throws NOT_FINITE when a target is Inf; NaN is a missing one. */
    checkTargets(batch: number): void {
      if (kernels.hasInfinity(targets, batch * outputSize)) {
        throw new FleetError("NOT_FINITE", "targets hold Inf; clean the data (NaN marks a missing target)");
      }
    },
    forward(batch: number): void {
      for (let i = 0; i < layers.length; i++) layers[i]!.forward(batch);
    },
    /** Squared error of the output against the targets; with `gradient`, also sets the output's gradient. */
    loss(batch: number, options: { gradient: boolean; weighted: boolean }): void {
      const weight = options.weighted ? sampleWeights : 0;
      const gradient = options.gradient ? output.gradient : 0;
      kernels.squaredError(output.value, targets, weight, batch, outputSize, gradient, result);
    },
    /** Sets the weights' gradients from the output's. */
    backward(batch: number): void {
      this.gradients.fill(0);
      for (let i = layers.length - 1; i >= firstTrained; i--) layers[i]!.backward(batch);
    },
    /** One row from `inputRow` through all layers to `outputRow`, moving `states` on. Throws NOT_FINITE. */
    step(): void {
      if (kernels.maxAbsBits(rows[0]!, this.inputRow.length) >= INFINITY_BITS) throw badInput();
      for (let i = 0; i < layers.length; i++) layers[i]!.step!(rows[i]!, rows[i + 1]!);
    },
  };
}

function badInput(): FleetError {
  return new FleetError(
    "NOT_FINITE",
    "inputs hold NaN or Inf; fill or drop those rows before the model sees them",
  );
}

function align(address: Address): Address {
  return Math.ceil(address / ALIGN_BYTES) * ALIGN_BYTES;
}
