import { FleetError } from "../../protocol/errors.ts";
import type { Machine } from "./machine.ts";

/**
 * Samples that are written straight into the arena, so the windows of a long series need never be materialised.
 * `read` fills x with (indexes.length, ...inputShape) and y with (indexes.length, ...outputShape); NaN in y marks a
 * missing target. It must fill both and keep neither.
 */
export interface Samples {
  readonly count: number;
  read(indexes: Uint32Array, x: Float32Array, y: Float32Array): void;
}

/** x: (n, ...inputShape), y: (n, ...outputShape), both flat. Throws BAD_SHAPE. */
export function samplesOf(machine: Machine, x: Float32Array, y: Float32Array): Samples {
  const { inputSize, outputSize } = machine;
  const count = countOf(machine, x);
  if (y.length !== count * outputSize) {
    const shape = machine.plan.outputShape.join(", ");
    throw new FleetError(
      "BAD_SHAPE",
      `y has ${y.length} values, ${count} samples of shape (${shape}) need ${count * outputSize}`,
    );
  }
  return {
    count,
    read(indexes, toX, toY) {
      for (let i = 0; i < indexes.length; i++) {
        const sample = indexes[i]!;
        copy(x, sample * inputSize, toX, i * inputSize, inputSize);
        copy(y, sample * outputSize, toY, i * outputSize, outputSize);
      }
    },
  };
}

/** How many samples x holds. Throws BAD_SHAPE when it holds none, or a part of one. */
export function countOf({ plan, inputSize }: Machine, x: Float32Array): number {
  if (x.length === 0 || x.length % inputSize !== 0) {
    const shape = plan.inputShape.join(", ");
    throw new FleetError(
      "BAD_SHAPE",
      `x has ${x.length} values, which is not a whole number of samples of shape (${shape})`,
    );
  }
  return x.length / inputSize;
}

/** Hands out one buffer of indexes per batch size, so that reading a batch allocates nothing. */
export function createReader(machine: Machine, data: Samples) {
  const buffers: Uint32Array[] = [];
  return (order: Uint32Array, start: number, batch: number): Uint32Array => {
    buffers[batch] ??= new Uint32Array(batch);
    const indexes = buffers[batch];
    for (let i = 0; i < batch; i++) indexes[i] = order[start + i]!;
    data.read(indexes, machine.input(batch), machine.targets(batch));
    machine.checkInput(batch);
    machine.checkTargets(batch);
    return indexes;
  };
}

/** 0, 1, ... count-1. Throws BAD_INPUT when there is nothing to read. */
export function naturalOrder(data: Samples): Uint32Array {
  if (!Number.isSafeInteger(data.count) || data.count < 1) {
    throw new FleetError("BAD_INPUT", `there are ${data.count} samples; at least one is needed`);
  }
  return Uint32Array.from({ length: data.count }, (_, i) => i);
}

/** `set(subarray)` would make a view for each sample. */
function copy(
  from: Float32Array,
  fromStart: number,
  to: Float32Array,
  toStart: number,
  length: number,
): void {
  for (let i = 0; i < length; i++) to[toStart + i] = from[fromStart + i]!;
}
