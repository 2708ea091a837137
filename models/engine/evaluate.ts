import { z } from "zod";
import { FleetError } from "../../protocol/errors.ts";
import { createLoss, createLossMean, type Loss, Losses, lossProblem, targetsFor } from "./losses.ts";
import type { Machine } from "./machine.ts";
import { createMetrics, Metric, type MetricValues } from "./metrics.ts";
import { createReader, type Data, type MultiSamples, naturalOrder, samplesOf } from "./samples.ts";

const Settings = z.strictObject({
  loss: Losses.default([{ name: "mse" }]),
  lossWeights: z.array(z.number().nonnegative()).optional(),
  metrics: z.array(Metric).default([]),
  /** One weight a sample, by the sample's index; of the loss, not of the metrics. */
  sampleWeights: z.instanceof(Float32Array).optional(),
});
export type ModelEvaluateOptions = z.input<typeof Settings>;
export type EvaluateSettings = z.infer<typeof Settings>;

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
  const run = createEvaluation(machine, samples, { ...settings, order: naturalOrder(samples) });
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

export function createEvaluation(
  machine: Machine,
  data: MultiSamples,
  options: {
    readonly order: Uint32Array;
    readonly loss: readonly Loss[];
    readonly lossWeights?: readonly number[] | undefined;
    readonly metrics: readonly Metric[];
    readonly sampleWeights?: Float32Array | undefined;
  },
): Evaluation {
  const { order, loss, lossWeights, sampleWeights } = options;
  const { maxBatch, outputs } = machine;
  const targets = targetsFor(machine, loss);
  const read = createReader(machine, data, targets);
  const lossOf = createLoss(machine, loss, { lossWeights });
  const lossOptions = { gradient: false, weighted: sampleWeights !== undefined };
  const mean = createLossMean(outputs.length, lossWeights);
  const metrics = createMetrics(machine, loss, {
    metrics: options.metrics,
    targets,
    samples: order.length,
  });
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
      const indexes = read(order, start, batch);
      if (sampleWeights !== undefined) weigh(machine, sampleWeights, indexes);
      machine.forward(batch, false);
      mean.add(lossOf(batch, lossOptions));
      metrics.add(batch);
      start += batch;
      return true;
    },
    result() {
      const each = outputs.map((_, i) => ({ loss: mean.of(i), ...metrics.values(i) }));
      return {
        ...each[0]!,
        loss: mean.loss(),
        samples: order.length,
        ...(each.length > 1 && { outputs: each }),
      };
    },
  };
}

/** Puts the weights of the samples in hand where the loss looks for them. */
export function weigh(machine: Machine, weights: Float32Array, indexes: Uint32Array): void {
  for (let i = 0; i < indexes.length; i++) machine.sampleWeights[i] = weights[indexes[i]!]!;
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

export function parseEvaluate(options: ModelEvaluateOptions): EvaluateSettings {
  const parsed = Settings.safeParse(options);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0]!;
  if (issue.path[0] === "loss") throw lossProblem(options.loss);
  if (issue.code === "unrecognized_keys")
    throw new FleetError("UNSUPPORTED", `evaluate: the engine has no option "${issue.keys[0]}"`);
  throw new FleetError("BAD_INPUT", `evaluate option ${issue.path.join(".")}: ${issue.message}`);
}
