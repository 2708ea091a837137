import { FleetError } from "../../protocol/errors.ts";
import type { Kernels } from "../kernels/load.ts";
import { type ClassWeights, classTable } from "./class-weights.ts";
import type { Loss } from "./loss-spec.ts";
import type { Machine } from "./machine.ts";
import type { Plan } from "./plan.ts";
import type { Ends, Targets } from "./samples.ts";

/** One loss each. Throws BAD_INPUT where losses and outputs do not fit. */
export function lossPerOutput(outputs: number, losses: readonly Loss[]): readonly Loss[] {
  if (losses.length === outputs) return losses;
  if (losses.length === 1) return Array.from({ length: outputs }, () => losses[0]!);
  throw new FleetError(
    "BAD_INPUT",
    `there are ${losses.length} losses for ${outputs} outputs; give one, or one each`,
  );
}

export function targetsFor({ outputs }: Pick<Ends, "outputs">, losses: readonly Loss[]): readonly Targets[] {
  const each = lossPerOutput(outputs.length, losses);
  return outputs.map(({ size, shape, targetsAt, classesAt }, i) =>
    each[i]!.name === "sparseCategoricalCrossentropy"
      ? { size: size / shape.at(-1)!, classes: shape.at(-1)!, at: classesAt }
      : { size, classes: null, at: targetsAt },
  );
}

/** Of one batch. */
export interface LossValue {
  /** Over all outputs: the sum over the targets present, times the samples' weights. */
  readonly sum: number;
  /** Targets that were not missing, over all outputs. */
  readonly present: number;
  /** The mean of each output times its lossWeight, summed: what the gradients are of. */
  readonly loss: number;
  /** By output. */
  readonly sums: Float64Array;
  readonly counts: Float64Array;
}

export interface LossOptions {
  /** Also sets the gradients of all outputs. */
  readonly gradient: boolean;
  /** Each sample's part times `machine.sampleWeights`. */
  readonly weighted: boolean;
}

export interface LossSettings {
  /** What each output's mean counts in the whole; 1 where left out. */
  readonly lossWeights?: readonly number[] | undefined;
  /** By class: what a row of that class counts. */
  readonly classWeights?: ClassWeights | undefined;
}

type Kernel = (
  ...args: [
    p: number,
    y: number,
    w: number,
    rows: number,
    cols: number,
    factor: number,
    dp: number,
    out: number,
  ]
) => void;

/**
 * The loss of the outputs in the arena against the targets beside them, for one batch: for each output the mean over its targets that are present,
 * then those means summed. A target is one number, or for losses over classes (categorical, sparse, kld, cosine) a row along the last axis. NaN
 * marks a missing one; so are all at steps that the output's mask leaves out. Weights multiply a target's loss and are not counted in the mean,
 * as in Keras and tfjs. The value it gives is the same object every time, so that nothing is allocated. Throws BAD_INPUT where losses and
 * outputs do not fit.
 */
export function createLoss(
  machine: Machine,
  losses: readonly Loss[],
  { lossWeights, classWeights }: LossSettings = {},
): (batch: number, options: LossOptions) => LossValue {
  const { kernels, addresses, outputs, result, plan } = machine;
  const each = lossPerOutput(outputs.length, losses);
  if (lossWeights !== undefined && lossWeights.length !== outputs.length)
    throw new FleetError(
      "BAD_INPUT",
      `there are ${lossWeights.length} lossWeights for ${outputs.length} outputs; give one each`,
    );
  each.forEach((loss, i) => void checkLogits(loss, endingOf(plan, i)));
  if (classWeights !== undefined) {
    const table = classTable(outputs, each, classWeights);
    new Float32Array(kernels.memory.buffer, outputs[0]!.classWeights, table.length).set(table);
  }

  const parts = outputs.map((output, i) => {
    const { shape, size, value, targets, mask, gradient, rowWeights } = output;
    const loss = each[i]!;
    const { kernel, byRow } = kernelOf(kernels, loss);
    const cols = shape.at(-1)!;
    const rows = size / cols; // of one sample
    const factor = lossWeights?.[i] ?? 1;
    const targetCols = loss.name === "sparseCategoricalCrossentropy" ? 1 : cols;
    const steps = shape.length > 1 ? shape[0]! : 1;
    return (batch: number, options: LossOptions) => {
      if (mask !== 0) kernels.maskTargets(targets, mask, batch * steps, (rows * targetCols) / steps);
      let weight = options.weighted ? addresses.sampleWeights : 0;
      let spread = false;
      if (classWeights !== undefined || (byRow && rows > 1 && weight !== 0)) {
        kernels.spreadWeights(weight, rowWeights, batch, rows);
        weight = rowWeights;
        spread = true;
      }
      if (classWeights !== undefined) {
        const classes = Math.max(2, cols);
        kernels.weighClasses(targets, batch * rows, targetCols, output.classWeights, classes, rowWeights);
      }
      const whole = byRow || spread;
      const lines = whole ? batch * rows : batch;
      const columns = whole ? cols : size;
      kernel(
        value,
        targets,
        weight,
        lines,
        columns,
        factor,
        options.gradient ? gradient : 0,
        addresses.result,
      );
    };
  });

  const sums = new Float64Array(outputs.length);
  const counts = new Float64Array(outputs.length);
  const value = { sum: 0, present: 0, loss: 0, sums, counts };
  return (batch, options) => {
    value.sum = 0;
    value.present = 0;
    value.loss = 0;
    for (let i = 0; i < parts.length; i++) {
      parts[i]!(batch, options);
      const sum = result[0]!;
      const count = result[1]!;
      sums[i] = sum;
      counts[i] = count;
      value.sum += sum;
      value.present += count;
      if (count > 0) value.loss += ((lossWeights?.[i] ?? 1) * sum) / count;
    }
    return value;
  };
}

/** The mean over many batches: of each output over all its targets that were present. */
export function createLossMean(outputs: number, lossWeights: readonly number[] | undefined) {
  const sums = new Float64Array(outputs);
  const counts = new Float64Array(outputs);
  const meanOf = (i: number) => (counts[i]! > 0 ? sums[i]! / counts[i]! : 0);
  return {
    reset() {
      sums.fill(0);
      counts.fill(0);
    },
    add(value: LossValue) {
      for (let i = 0; i < outputs; i++) {
        sums[i]! += value.sums[i]!;
        counts[i]! += value.counts[i]!;
      }
    },
    /** Of no targets at all, the mean loss is 0. */
    loss() {
      let total = 0;
      for (let i = 0; i < outputs; i++) total += (lossWeights?.[i] ?? 1) * meanOf(i);
      return total;
    },
    of: meanOf,
  };
}

/** The kernel of a loss, and whether it takes a row for one target. */
function kernelOf(kernels: Kernels, loss: Loss): { readonly kernel: Kernel; readonly byRow: boolean } {
  switch (loss.name) {
    case "mse":
      return { kernel: kernels.squaredError, byRow: false };
    case "mae":
      return { kernel: kernels.absoluteError, byRow: false };
    case "huber": {
      const { delta } = loss;
      return {
        kernel: (p, y, w, rows, cols, factor, dp, out) =>
          kernels.huber(p, y, w, rows, cols, factor, dp, out, delta),
        byRow: false,
      };
    }
    case "logCosh":
      return { kernel: kernels.logCosh, byRow: false };
    case "poisson":
      return { kernel: kernels.poisson, byRow: false };
    case "kld":
      return { kernel: kernels.kullbackLeibler, byRow: true };
    case "cosineSimilarity":
      return { kernel: kernels.cosineDistance, byRow: true };
    case "binaryCrossentropy":
      return {
        kernel: loss.fromLogits ? kernels.binaryCrossentropyLogits : kernels.binaryCrossentropy,
        byRow: false,
      };
    case "categoricalCrossentropy":
      return {
        kernel: loss.fromLogits ? kernels.categoricalCrossentropyLogits : kernels.categoricalCrossentropy,
        byRow: true,
      };
    case "sparseCategoricalCrossentropy":
      return {
        kernel: loss.fromLogits ? kernels.sparseCrossentropyLogits : kernels.sparseCrossentropy,
        byRow: true,
      };
  }
}

/** The layer that makes an output's values probabilities, if one does. */
export interface Ending {
  readonly layer: string;
  readonly kind: "softmax" | "sigmoid";
}

export function endingOf({ steps, outputs }: Plan, output: number): Ending | undefined {
  let step = steps.find((candidate) => candidate.output === outputs[output]);
  // Other shapes and orders of the same numbers do not change what they are.
  while (step && (step.layer.alias === true || step.layer.className === "Reorder")) {
    const [before] = step.inputs;
    step = steps.find((candidate) => candidate.output === before);
  }
  const kind = step?.layer.probabilities;
  return kind && { layer: step!.layer.name, kind };
}

/** Refuses a loss that would take probabilities for logits. */
export function checkLogits(loss: Loss, ending: Ending | undefined): void {
  if (!("fromLogits" in loss) || !loss.fromLogits || ending === undefined) return;
  const { layer, kind } = ending;
  throw new FleetError(
    "BAD_INPUT",
    `${loss.name} is told fromLogits, but layer "${layer}" ends in ${kind}, so its outputs are probabilities; leave fromLogits out or drop the ${kind}`,
  );
}
