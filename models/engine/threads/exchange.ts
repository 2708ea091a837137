import type { FitSettings } from "../fit-options.ts";
import type { Machine } from "../machine.ts";
import type { Targets } from "../samples.ts";
import type { Segment } from "../trainable.ts";
import { WORDS } from "./meeting.ts";

/** Told to a thread as it starts, so that a script that runs threads of several kinds knows which one this is. */
export const HELPER_ROLE = "starling-helper";

/** What all threads of a crew share. Every array stands in shared memory; of a batch, each has room for `maxBatch` samples. */
export interface Exchange {
  readonly words: Int32Array;
  readonly weights: Float32Array;
  readonly inputs: readonly Float32Array[];
  readonly targets: readonly Float32Array[];
  readonly outputs: readonly Float32Array[];
  readonly sampleWeights: Float32Array;
  /** By output: targets present in the whole batch, by which each thread divides its part. */
  readonly present: Float64Array;
  readonly helpers: readonly Contribution[];
}

/** What one helper adds to a batch. */
export interface Contribution {
  readonly gradients: Float32Array;
  /** By output. */
  readonly sums: Float64Array;
  readonly counts: Float64Array;
}

/** `threads`: with the one that calls. What of the memory is never touched costs none. */
export function createExchange(machine: Machine, threads: number): Exchange {
  const { plan, maxBatch, inputs, outputs } = machine;
  const floats = (count: number) => new Float32Array(new SharedArrayBuffer(4 * count));
  const doubles = () => new Float64Array(new SharedArrayBuffer(8 * outputs.length));
  return {
    words: new Int32Array(new SharedArrayBuffer(4 * WORDS)),
    weights: floats(plan.parameters),
    inputs: inputs.map(({ size }) => floats(maxBatch * size)),
    targets: outputs.map(({ size }) => floats(maxBatch * size)),
    outputs: outputs.map(({ size }) => floats(maxBatch * size)),
    sampleWeights: floats(maxBatch),
    present: doubles(),
    helpers: Array.from({ length: threads - 1 }, () => ({
      gradients: floats(plan.parameters),
      sums: doubles(),
      counts: doubles(),
    })),
  };
}

/** What a helper is started with. */
export interface HelperData {
  readonly role: typeof HELPER_ROLE;
  /** As JSON text. */
  readonly topology: string;
  /** Of its part of the batch. */
  readonly maxBatch: number;
  readonly module: unknown;
  readonly exchange: Exchange;
  /** From 1; 0 is the thread that calls. */
  readonly thread: number;
  readonly threads: number;
}

/** One fit. */
export interface Job extends Pick<FitSettings, "loss" | "lossWeights" | "classWeights" | "freeze" | "seed"> {
  readonly segments: readonly Segment[];
  /** There are sample weights. */
  readonly weighted: boolean;
  /** Outputs are wanted back, for metrics, and targets as the mask left them. */
  readonly outputs: boolean;
  /** The count of turns before the first. */
  readonly turn: number;
}

/** The first sample of a thread's part; the next one's first ends it. The caller's part is never empty, nor smaller than another. */
export function partStart(batch: number, thread: number, threads: number): number {
  return Math.ceil((batch * thread) / threads);
}

/** One array is copied onto another of its length. */
export interface Copy {
  readonly to: Float32Array | Float64Array;
  readonly from: Float32Array | Float64Array;
}

export function copyAll(copies: readonly Copy[]): void {
  for (let i = 0; i < copies.length; i++) copies[i]!.to.set(copies[i]!.from);
}

/** The samples `start` to `end` of what the exchange has of one batch. */
export function partOf(
  exchange: Exchange,
  machine: Machine,
  targets: readonly Targets[],
  [start, end]: readonly [number, number],
) {
  const cut = (array: Float32Array, size: number) => array.subarray(start * size, end * size);
  return {
    inputs: machine.inputs.map(({ size }, i) => cut(exchange.inputs[i]!, size)),
    targets: targets.map(({ size }, i) => cut(exchange.targets[i]!, size)),
    outputs: machine.outputs.map(({ size }, i) => cut(exchange.outputs[i]!, size)),
    sampleWeights: cut(exchange.sampleWeights, 1),
  };
}

/** The gradients of what is trained. */
export function gradientCopies(
  segments: readonly Segment[],
  to: Float32Array,
  from: Float32Array,
): readonly Copy[] {
  return segments.map(({ offset, count }) => ({
    to: to.subarray(offset, offset + count),
    from: from.subarray(offset, offset + count),
  }));
}

/** The outputs' gradients, of the mean over a thread's own targets, become their part of the mean over all of the batch. */
export function shareGradients(
  { kernels, outputs }: Machine,
  batch: number,
  own: Float64Array,
  whole: Float64Array,
): void {
  for (let i = 0; i < outputs.length; i++) {
    const { gradient, size } = outputs[i]!;
    if (gradient !== 0 && whole[i]! > 0) kernels.scale(gradient, batch * size, own[i]! / whole[i]!);
  }
}
