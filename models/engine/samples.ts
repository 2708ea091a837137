import { z } from "zod";
import { FleetError } from "../../protocol/errors.ts";
import type { Shape } from "./shape.ts";

/**
 * Samples that are written straight into the arena, so the windows of a long series need never be materialised.
 * `read` fills x with (indexes.length, ...inputShape) and y with (indexes.length, ...outputShape); NaN in y marks a
 * missing target. It must fill both and keep neither.
 */
export interface Samples {
  readonly count: number;
  read(indexes: Uint32Array, x: Float32Array, y: Float32Array): void;
}

/** As Samples, for a model of several inputs or outputs: one array each, in the model's order. */
export interface MultiSamples {
  readonly count: number;
  readAll(indexes: Uint32Array, xs: readonly Float32Array[], ys: readonly Float32Array[]): void;
}

/** The two ends of a model, where samples go in and targets stand beside outputs: of a `Machine`, or of another engine. */
export interface Ends {
  readonly inputs: readonly {
    readonly shape: Shape;
    readonly size: number;
    /** The buffer of the first `batch` samples. */
    at(batch: number): Float32Array;
  }[];
  readonly outputs: readonly {
    readonly shape: Shape;
    readonly size: number;
    at(batch: number): Float32Array;
    targetsAt(batch: number): Float32Array;
    /** The same buffer, with the number of a class in the place of a row. */
    classesAt(batch: number): Float32Array;
  }[];
  /** Throws NOT_FINITE. */
  checkInput(batch: number): void;
  /** Throws NOT_FINITE, BAD_INPUT. */
  checkTargets(batch: number, targets: readonly Targets[]): void;
}

/** The targets of one output, as its loss wants them. */
export interface Targets {
  /** Floats of one sample. */
  readonly size: number;
  /** Where a target is the number of a class: how many classes there are. */
  readonly classes: number | null;
  /** The buffer in the arena, of `batch` samples. */
  at(batch: number): Float32Array;
}

/** Numbers as an option takes them; they may stand in shared memory. */
export const Floats = z.custom<Float32Array>((value) => value instanceof Float32Array, "not a Float32Array");

/** One flat array, or one an input (or output). */
export type Arrays = Float32Array | readonly Float32Array[];

/** What fit and evaluate are given: samples to read, or x and y. */
export type Data = Samples | MultiSamples | readonly [x: Arrays, y: Arrays];

/** Whether it is a pair of x and y. */
export function isPair(data: Data): data is readonly [Arrays, Arrays] {
  return Array.isArray(data);
}

/** The two forms in which fit and evaluate are called: (x, y, options) and (samples, options). */
export function dataAndOptions<Options>(args: readonly unknown[]): { data: Data; options: Options } {
  const [first, second, third] = args;
  return first instanceof Float32Array || Array.isArray(first)
    ? { data: [first as Arrays, second as Arrays], options: third as Options }
    : { data: first as Samples | MultiSamples, options: second as Options };
}

/** As the engine reads it. Throws BAD_SHAPE where it does not fit the model. */
export function samplesOf(ends: Ends, data: Data, targets: readonly Targets[]): MultiSamples {
  if (isPair(data)) return samplesFrom(ends, data[0], data[1], targets);
  if ("readAll" in data) return data;
  const { inputs, outputs } = ends;
  if (inputs.length !== 1 || outputs.length !== 1) {
    throw new FleetError(
      "BAD_SHAPE",
      `the model has ${inputs.length} inputs and ${outputs.length} outputs; give samples with readAll`,
    );
  }
  return {
    count: data.count,
    readAll: (indexes, [x], [y]) => data.read(indexes, x!, y!),
  };
}

/** x: (n, ...inputShape), y: (n, ...outputShape) or classes (n, ...outputShape without the last axis), flat, one each. Throws BAD_SHAPE. */
function samplesFrom(ends: Ends, x: Arrays, y: Arrays, targets: readonly Targets[]): MultiSamples {
  const xs = listOf(x);
  const ys = listOf(y);
  const count = countOf(ends, xs);
  if (ys.length !== ends.outputs.length)
    throw new FleetError(
      "BAD_SHAPE",
      `there are ${ys.length} arrays of targets for ${ends.outputs.length} outputs`,
    );
  ends.outputs.forEach(({ shape }, i) => {
    const { size, classes } = targets[i]!;
    if (ys[i]!.length === count * size) return;
    const wanted =
      classes === null ? `shape ${text(shape)}` : `${size === 1 ? "a class" : `${size} classes`}`;
    throw new FleetError(
      "BAD_SHAPE",
      `y has ${ys[i]!.length} values, ${count} samples of ${wanted} need ${count * size}`,
    );
  });
  return {
    count,
    readAll(indexes, toXs, toYs) {
      for (let k = 0; k < toXs.length; k++) gather(indexes, xs[k]!, toXs[k]!, ends.inputs[k]!.size);
      for (let k = 0; k < toYs.length; k++) gather(indexes, ys[k]!, toYs[k]!, targets[k]!.size);
    },
  };
}

export function listOf(arrays: Arrays): readonly Float32Array[] {
  return arrays instanceof Float32Array ? [arrays] : arrays;
}

/** How many samples x holds. Throws BAD_SHAPE when it holds none, a part of one, or not as many for each input. */
export function countOf({ inputs }: Pick<Ends, "inputs">, xs: readonly Float32Array[]): number {
  if (xs.length !== inputs.length)
    throw new FleetError(
      "BAD_SHAPE",
      `there are ${xs.length} arrays of inputs, the model has ${inputs.length} inputs`,
    );
  const counts = inputs.map(({ shape, size }, i) => {
    const { length } = xs[i]!;
    if (length > 0 && length % size === 0) return length / size;
    throw new FleetError(
      "BAD_SHAPE",
      `x has ${length} values, which is not a whole number of samples of shape ${text(shape)}`,
    );
  });
  const [count] = counts;
  if (counts.some((other) => other !== count))
    throw new FleetError("BAD_SHAPE", `the inputs hold ${counts.join(", ")} samples; give each as many`);
  return count!;
}

/** Hands out one buffer of indexes per batch size, so that reading a batch allocates nothing. */
export function createReader(ends: Ends, data: MultiSamples, targets: readonly Targets[]) {
  const buffers: {
    readonly indexes: Uint32Array;
    readonly xs: Float32Array[];
    readonly ys: Float32Array[];
  }[] = [];
  return (order: Uint32Array, start: number, batch: number): Uint32Array => {
    buffers[batch] ??= {
      indexes: new Uint32Array(batch),
      xs: ends.inputs.map((input) => input.at(batch)),
      ys: targets.map((target) => target.at(batch)),
    };
    const { indexes, xs, ys } = buffers[batch];
    for (let i = 0; i < batch; i++) indexes[i] = order[start + i]!;
    data.readAll(indexes, xs, ys);
    ends.checkInput(batch);
    ends.checkTargets(batch, targets);
    return indexes;
  };
}

/** 0, 1, ... count-1. Throws BAD_INPUT when there is nothing to read. */
export function naturalOrder({ count }: { readonly count: number }): Uint32Array {
  if (!Number.isSafeInteger(count) || count < 1)
    throw new FleetError("BAD_INPUT", `there are ${count} samples; at least one is needed`);
  return Uint32Array.from({ length: count }, (_, i) => i);
}

/** A loop copies up to so many floats faster than `set` does, which needs a view that lives for the call. */
const SHORT = 32;

/** Samples of `size` floats. */
function gather(indexes: Uint32Array, from: Float32Array, to: Float32Array, size: number): void {
  for (let i = 0; i < indexes.length; i++) {
    const start = indexes[i]! * size;
    const toStart = i * size;
    if (size > SHORT) to.set(from.subarray(start, start + size), toStart);
    else for (let j = 0; j < size; j++) to[toStart + j] = from[start + j]!;
  }
}

function text(shape: Shape): string {
  return `(${shape.join(", ")})`;
}
