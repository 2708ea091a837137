import { z } from "zod";
import { FleetError } from "../../protocol/errors.ts";
import { type Loss, Losses, lossProblem } from "./loss-spec.ts";
import { createLoss, createLossMean, type LossValue, targetsFor } from "./losses.ts";
import type { Machine } from "./machine.ts";
import { createMetrics, Metric, type MetricValues } from "./metrics.ts";
import {
  createReader,
  type Data,
  type Ends,
  Floats,
  type MultiSamples,
  naturalOrder,
  samplesOf,
} from "./samples.ts";

const Settings = z.strictObject({
  loss: Losses.default([{ name: "mse" }]),
  lossWeights: z.array(z.number().nonnegative()).readonly().optional(),
  metrics: z.array(Metric).readonly().default([]),
  /** One weight a sample, by the sample's index; of the loss, not of the metrics. */
  sampleWeights: Floats.optional(),
});
export type ModelEvaluateOptions = z.input<typeof Settings>;
export type ModelEvaluateSettings = z.infer<typeof Settings>;

/** Metrics are those of the first output; of several, `outputs` has each one's. */
export interface ModelEvaluation extends MetricValues {
  readonly loss: number;
  readonly samples: number;
  readonly outputs?: readonly OutputResult[];
}

export interface OutputResult extends MetricValues {
  readonly loss: number;
}

/** The mean loss over all samples, in order, without training and, as in tfjs, without the penalties of L1 and L2. */
export function evaluate(machine: Machine, data: Data, options: ModelEvaluateOptions = {}): ModelEvaluation {
  const settings = parseEvaluate(options);
  const samples = samplesOf(machine, data, targetsFor(machine, settings.loss));
  checkSampleWeights(settings.sampleWeights, samples.count);
  const { maxBatch } = machine;
  const order = naturalOrder(samples);
  const score = scorer(machine, settings);
  const run = createEvaluation(machine, samples, { ...settings, order, maxBatch, score });
  run.reset();
  while (run.next());
  return run.result();
}

/** An evaluation batch by batch, so that a long one can be interrupted; it may be run again and again. */
export interface Evaluation {
  reset(): void;
  /** One batch more; false when there is none. */
  next(): boolean;
  result(): ModelEvaluation;
}

export interface EvaluationOptions {
  /** Of the samples, in turn. */
  readonly order: Uint32Array;
  readonly maxBatch: number;
  readonly loss: readonly Loss[];
  readonly lossWeights?: readonly number[] | undefined;
  readonly metrics: readonly Metric[];
  /** The outputs and their loss for the samples in hand, which have these numbers. */
  score(batch: number, indexes: Uint32Array): LossValue;
}

export function createEvaluation(ends: Ends, data: MultiSamples, options: EvaluationOptions): Evaluation {
  const { order, maxBatch, loss, lossWeights } = options;
  const targets = targetsFor(ends, loss);
  const read = createReader(ends, data, targets);
  const mean = createLossMean(ends.outputs.length, lossWeights);
  const metrics = createMetrics(ends, loss, { metrics: options.metrics, targets, samples: order.length });
  let start = 0;
  return {
    reset() {
      start = 0;
      mean.reset();
      metrics.reset();
    },
    next() {
      const batch = Math.min(maxBatch, order.length - start);
      if (batch <= 0) return false;
      mean.add(options.score(batch, read(order, start, batch)));
      metrics.add(batch);
      start += batch;
      return true;
    },
    result() {
      const each = ends.outputs.map((_, i) => ({ loss: mean.of(i), ...metrics.values(i) }));
      return {
        ...each[0]!,
        loss: mean.loss(),
        samples: order.length,
        ...(each.length > 1 && { outputs: each }),
      };
    },
  };
}

/** How a machine scores a batch without training. */
export function scorer(
  machine: Machine,
  { loss, lossWeights, sampleWeights }: Pick<ModelEvaluateSettings, "loss" | "lossWeights" | "sampleWeights">,
): EvaluationOptions["score"] {
  const lossOf = createLoss(machine, loss, { lossWeights });
  const options = { gradient: false, weighted: sampleWeights !== undefined };
  return (batch, indexes) => {
    if (sampleWeights !== undefined) weigh(machine.sampleWeights, sampleWeights, indexes);
    machine.forward(batch, false);
    return lossOf(batch, options);
  };
}

/** Puts the weights of the samples in hand where the loss looks for them. */
export function weigh(to: Float32Array, weights: Float32Array, indexes: Uint32Array): void {
  for (let i = 0; i < indexes.length; i++) to[i] = weights[indexes[i]!]!;
}

export function checkSampleWeights(weights: Float32Array | undefined, count: number): void {
  if (weights === undefined) return;
  if (weights.length !== count)
    throw new FleetError(
      "BAD_SHAPE",
      `there are ${weights.length} sample weights for ${count} samples; give one each`,
    );
  if (!weights.every((weight) => weight >= 0 && weight < Number.POSITIVE_INFINITY))
    throw new FleetError("NOT_FINITE", "sample weights must be finite and not negative");
}

export function parseEvaluate(options: ModelEvaluateOptions): ModelEvaluateSettings {
  const parsed = Settings.safeParse(options);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0]!;
  if (issue.path[0] === "loss") throw lossProblem(options.loss);
  if (issue.code === "unrecognized_keys")
    throw new FleetError("UNSUPPORTED", `evaluate: the engine has no option "${issue.keys[0]}"`);
  throw new FleetError("BAD_INPUT", `evaluate option ${issue.path.join(".")}: ${issue.message}`);
}
