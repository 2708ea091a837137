import { z } from "zod";
import { FleetError } from "../../protocol/errors.ts";
import type { Kernels } from "../kernels/load.ts";
import type { Machine } from "./machine.ts";
import type { Plan } from "./plan.ts";
import type { Ends, Targets } from "./samples.ts";

const fromLogits = z.boolean().default(false);
const PLAIN = ["mse", "mae", "logCosh", "poisson", "kld", "cosineSimilarity"] as const;
const CROSS = ["binaryCrossentropy", "categoricalCrossentropy", "sparseCategoricalCrossentropy"] as const;

const Described = z.discriminatedUnion("name", [
  z.strictObject({ name: z.enum(PLAIN) }),
  /** Squared up to `delta`, linear beyond. */
  z.strictObject({ name: z.literal("huber"), delta: z.number().positive().default(1) }),
  /** `fromLogits`: the model's outputs are not probabilities yet, the loss makes them so. */
  z.strictObject({ name: z.enum(CROSS), fromLogits }),
]);

/** What one output is trained for: a name, or a name with its options. */
export const Loss = z.union([
  z.enum([...PLAIN, "huber", ...CROSS]).transform((name): z.infer<typeof Described> => {
    if (name === "huber") return { name, delta: 1 };
    return isCross(name) ? { name, fromLogits: false } : { name };
  }),
  Described,
]);
export type Loss = z.infer<typeof Loss>;

/** One loss for every output, or one each. */
export const Losses = z.union([Loss.transform((loss) => [loss]), z.array(Loss).min(1).readonly()]);

const NAMES: readonly string[] = [...PLAIN, "huber", ...CROSS];

function isCross(name: string): name is (typeof CROSS)[number] {
  return (CROSS as readonly string[]).includes(name);
}

/** Why `Losses` refused it. */
export function lossProblem(given: unknown): FleetError {
  for (const one of Array.isArray(given) ? given : [given]) {
    const name = typeof one === "string" ? one : (one as { name?: unknown } | null)?.name;
    if (typeof name === "string" && !NAMES.includes(name)) {
      return new FleetError("UNSUPPORTED", `the engine has no loss "${name}"; it has ${NAMES.join(", ")}`);
    }
    const parsed = Described.safeParse(one);
    if (typeof one === "object" && !parsed.success) {
      const issue = parsed.error.issues[0]!;
      return new FleetError(
        "BAD_INPUT",
        `loss ${String(name)}: ${issue.path.join(".") || "option"}: ${issue.message}`,
      );
    }
  }
  return new FleetError("BAD_INPUT", `a loss is a name or { name, ... }, one of ${NAMES.join(", ")}`);
}

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

/** By the number of the class; a class that is left out of a record counts 1. */
export type ClassWeights = readonly number[] | Readonly<Record<string, number>>;

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
  each.forEach((loss, i) => void checkProbabilities(plan, i, loss));
  if (classWeights !== undefined) writeClassWeights(machine, each, classWeights);

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

/** Refuses a loss that would take probabilities for logits. */
function checkProbabilities({ steps, outputs }: Plan, output: number, loss: Loss): void {
  if (!("fromLogits" in loss) || !loss.fromLogits) return;
  let step = steps.find((candidate) => candidate.output === outputs[output]);
  // Other shapes and orders of the same numbers do not change what they are.
  while (step && (step.layer.alias === true || step.layer.className === "Reorder")) {
    const [before] = step.inputs;
    step = steps.find((candidate) => candidate.output === before);
  }
  const ending = step?.layer.probabilities;
  if (ending === undefined) return;
  throw new FleetError(
    "BAD_INPUT",
    `${loss.name} is told fromLogits, but layer "${step!.layer.name}" ends in ${ending}, so its outputs are probabilities; leave fromLogits out or drop the ${ending}`,
  );
}

function writeClassWeights(machine: Machine, each: readonly Loss[], given: ClassWeights): void {
  const { outputs, kernels } = machine;
  const [loss, ...others] = each;
  const [output] = outputs;
  const cols = output!.shape.at(-1)!;
  const binary = loss!.name === "binaryCrossentropy" && cols === 1;
  if (others.length > 0)
    throw new FleetError("BAD_INPUT", "classWeights need a model of one output; give sampleWeights instead");
  if (!binary && loss!.name !== "categoricalCrossentropy" && loss!.name !== "sparseCategoricalCrossentropy")
    throw new FleetError(
      "BAD_INPUT",
      `classWeights need targets that are classes, ${loss!.name} of ${cols} columns has none; give sampleWeights instead`,
    );
  const classes = binary ? 2 : cols;
  const stray = Object.keys(given).find((key) => !(Number(key) >= 0 && Number(key) < classes));
  if (stray !== undefined)
    throw new FleetError(
      "BAD_INPUT",
      `classWeights has a class ${stray}, the classes are 0 to ${classes - 1}`,
    );
  const table = new Float32Array(kernels.memory.buffer, output!.classWeights, Math.max(2, cols)).fill(1);
  for (const [key, weight] of Object.entries(given)) table[Number(key)] = weight;
}
