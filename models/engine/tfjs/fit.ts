import { FleetError } from "../../../protocol/errors.ts";
import {
  checkSampleWeights,
  createEvaluation,
  type EvaluationOptions,
  type ModelEvaluateOptions,
  type ModelEvaluation,
  parseEvaluate,
  weigh,
} from "../evaluate.ts";
import { checkVariate } from "../fit.ts";
import { type FitOptions, type FitSettings, parseFit } from "../fit-options.ts";
import {
  checkBatchSize,
  createEpochMean,
  diverged,
  type FitResult,
  heldBack,
  runFit,
  type Trainee,
} from "../loop.ts";
import type { Loss } from "../loss-spec.ts";
import { targetsFor } from "../losses.ts";
import { createMetrics } from "../metrics.ts";
import { createReader, type Data, type MultiSamples, naturalOrder, samplesOf } from "../samples.ts";
import { checkLayerName } from "../trainable.ts";
import type { TfTensor } from "./api.ts";
import { createTfLoss } from "./loss.ts";
import type { PlacedVariable, TfMachine } from "./machine.ts";
import { createTfOptimizer, nameOf, type TfRun } from "./optimizer.ts";

/** What is kept from one fit to the next. */
export interface TfSession {
  optimizer: TfRun | undefined;
  /** Layers that the topology freezes. */
  readonly frozen: readonly string[];
}

/** As `train` in ../fit.ts; what tfjs lacks is refused with UNSUPPORTED. */
export async function trainTf(
  machine: TfMachine,
  data: Data,
  options: FitOptions,
  context: { readonly session: TfSession; readonly disposal: AbortSignal },
): Promise<FitResult> {
  const settings = parseFit(options);
  if (settings.differentialPrivacy)
    throw new FleetError(
      "UNSUPPORTED",
      'the tfjs engine has no differentialPrivacy, as it has no gradients of single examples; use engine "starling"',
    );
  if (settings.threads > 1)
    throw new FleetError(
      "UNSUPPORTED",
      'the tfjs engine has threads of its own, which fit can\'t set; leave threads out or use engine "starling"',
    );
  checkBatchSize(machine.maxBatch, settings.batchSize);
  const { loss, lossWeights, metrics, sampleWeights, validationData } = settings;
  const targets = targetsFor(machine, loss);
  const samples = samplesOf(machine, data, targets);
  checkSampleWeights(sampleWeights, samples.count);
  const all = naturalOrder(samples);
  const order = all.subarray(0, all.length - heldBack(all.length, settings.validationSplit));
  const common = { loss, lossWeights, metrics, maxBatch: machine.maxBatch };
  const evaluation = (from: MultiSamples, part: Uint32Array, weights?: Float32Array) =>
    createEvaluation(machine, from, {
      ...common,
      order: part,
      score: scorerTf(machine, { loss, lossWeights, sampleWeights: weights }),
    });
  const others = validationData && samplesOf(machine, validationData, targets);
  const held = all.subarray(order.length);
  const validation = others
    ? evaluation(others, naturalOrder(others))
    : held.length > 0
      ? evaluation(samples, held, sampleWeights)
      : undefined;
  const trainee = createTrainee(machine, samples, settings, context.session);
  return runFit(trainee, { settings, callbacks: options, order, validation, disposal: context.disposal });
}

export function evaluateTf(
  machine: TfMachine,
  data: Data,
  options: ModelEvaluateOptions = {},
): ModelEvaluation {
  const settings = parseEvaluate(options);
  const samples = samplesOf(machine, data, targetsFor(machine, settings.loss));
  checkSampleWeights(settings.sampleWeights, samples.count);
  const { maxBatch } = machine;
  const run = createEvaluation(machine, samples, {
    ...settings,
    maxBatch,
    order: naturalOrder(samples),
    score: scorerTf(machine, settings),
  });
  run.reset();
  while (run.next());
  return run.result();
}

function scorerTf(
  machine: TfMachine,
  options: {
    readonly loss: readonly Loss[];
    readonly lossWeights?: readonly number[] | undefined;
    readonly sampleWeights?: Float32Array | undefined;
  },
): EvaluationOptions["score"] {
  const { tf } = machine;
  const lossOf = createTfLoss(machine, options.loss, { lossWeights: options.lossWeights });
  const weights = options.sampleWeights && new Float32Array(machine.maxBatch);
  return (batch, indexes) => {
    if (weights) weigh(weights, options.sampleWeights!, indexes);
    tf.tidy(() => {
      const outputs = machine.apply(batch, false);
      outputs.forEach((tensor, i) => void machine.outputs[i]!.at(batch).set(tensor.dataSync()));
      lossOf.read(lossOf.sums(outputs, batch, weights));
    });
    return lossOf.value;
  };
}

function createTrainee(
  machine: TfMachine,
  samples: MultiSamples,
  settings: FitSettings,
  session: TfSession,
): Trainee {
  const { tf, model, outputs } = machine;
  const { loss, lossWeights, sampleWeights } = settings;
  for (const name of settings.freeze) checkLayerName(name, machine.layers);
  const frozen = [...settings.freeze, ...session.frozen];
  const trained = machine.variables.filter((placed) => placed.trained && !frozen.includes(placed.layer));
  if (trained.length === 0)
    throw new FleetError(
      "BAD_INPUT",
      "the model has no weights that are not frozen, so there is nothing to train",
    );
  const averaging = machine.variables.find((placed) => !placed.trained && frozen.includes(placed.layer));
  if (averaging)
    throw new FleetError(
      "UNSUPPORTED",
      `the tfjs engine can't freeze layer "${averaging.layer}", as it would go on keeping averages; use engine "starling"`,
    );
  const variables = trained.map(({ variable }) => variable);
  const targets = targetsFor(machine, loss);
  const read = createReader(machine, samples, targets);
  const lossOf = createTfLoss(machine, loss, settings);
  const metrics = createMetrics(machine, loss, {
    metrics: settings.metrics,
    targets,
    samples: samples.count,
  });
  const epoch = createEpochMean(outputs.length, { lossWeights, metrics });
  const start = machine.weights();
  const weights = sampleWeights && new Float32Array(machine.maxBatch);
  const finish = createFinish(machine, settings, { trained, start });
  const optimizer = optimizerFor(machine, settings, session, variables);
  const undone = () => {
    machine.setWeights(start);
    session.optimizer?.dispose();
    session.optimizer = undefined;
    return diverged();
  };

  return {
    epoch,
    step: (order, from, batch) => {
      const indexes = read(order, from, batch);
      if (weights) weigh(weights, sampleWeights!, indexes);
      let penalty = 0;
      tf.tidy(() => {
        let sums: TfTensor[] = [];
        let penalties: TfTensor[] = [];
        const { grads } = tf.variableGrads(() => {
          const given = machine.apply(batch, true);
          given.forEach((tensor, i) => void outputs[i]!.at(batch).set(tensor.dataSync()));
          sums = lossOf.sums(given, batch, weights).map((sum) => tf.keep(sum));
          penalties = model.calculateLosses().map((penalty) => tf.keep(penalty));
          const means = sums.map((sum, i) =>
            tf.mul(sum, lossOf.counts[i]! > 0 ? lossOf.factors[i]! / lossOf.counts[i]! : 0),
          );
          return [...means, ...penalties].reduce((total, part) => tf.add(total, part));
        }, variables);
        lossOf.read(sums);
        const { value } = lossOf;
        for (const part of penalties) penalty += part.dataSync()[0]!;
        tf.dispose([...sums, ...penalties]);
        epoch.add(value, batch);
        // Without a single target there is no gradient, and momentum alone must not move the weights.
        if (value.present === 0) penalty = 0;
        else {
          const finished = finish(grads);
          if (finished === undefined) throw undone();
          optimizer.step(finished);
          for (const { variable, weight } of trained)
            if (weight.constraint) variable.assign(weight.constraint.apply(variable));
        }
      });
      epoch.addPenalty(penalty, batch);
      return lossOf.value.loss + penalty;
    },
    weights: () => machine.weights(),
    setWeights: (flat) => machine.setWeights(flat),
    check() {
      if (!machine.weights().every(Number.isFinite)) throw undone();
    },
  };
}

/** Adds what belongs to the gradients and clips them; undefined where they are not finite. */
function createFinish(
  { tf, parameters }: TfMachine,
  settings: FitSettings,
  { trained, start }: { readonly trained: readonly PlacedVariable[]; readonly start: Float32Array },
): (grads: Record<string, TfTensor>) => Record<string, TfTensor> | undefined {
  const { clipNorm, clipValue, controlVariate } = settings;
  const mu = settings.proximal?.mu ?? 0;
  if (controlVariate) checkVariate(controlVariate, parameters);
  const part = (flat: Float32Array, { offset, size, variable }: PlacedVariable) =>
    tf.tensor(flat.slice(offset, offset + size), [...variable.shape]);
  const normOf = (grads: readonly TfTensor[]) => {
    const squares = grads.map((gradient) => tf.sum(tf.square(gradient)));
    return Math.sqrt(squares.reduce((a, b) => tf.add(a, b)).dataSync()[0]!);
  };
  return (grads) => {
    const present = trained.filter(({ variable }) => grads[variable.name] !== undefined);
    let all = present.map((placed) => {
      const { variable } = placed;
      let gradient = grads[variable.name]!;
      if (mu > 0) gradient = tf.add(gradient, tf.mul(mu, tf.sub(variable, part(start, placed))));
      if (controlVariate) {
        const change = tf.sub(part(controlVariate.server, placed), part(controlVariate.client, placed));
        gradient = tf.add(gradient, change);
      }
      return gradient;
    });
    let norm = normOf(all);
    if (!Number.isFinite(norm)) return undefined;
    if (clipValue !== undefined) {
      all = all.map((gradient) => tf.clipByValue(gradient, -clipValue, clipValue));
      norm = normOf(all);
    }
    if (clipNorm !== undefined && norm > clipNorm)
      all = all.map((gradient) => tf.mul(gradient, clipNorm / norm));
    return Object.fromEntries(present.map(({ variable }, i) => [variable.name, all[i]!]));
  };
}

function optimizerFor(
  { tf }: TfMachine,
  { optimizer, optimizerState }: FitSettings,
  session: TfSession,
  variables: Parameters<typeof createTfOptimizer>[2],
): TfRun {
  const kept = session.optimizer;
  if (optimizerState === "keep" && kept) {
    const name = nameOf(optimizer, variables);
    if (kept.name === name) return kept;
    throw new FleetError(
      "BAD_INPUT",
      `the kept optimizer state is of ${kept.name}, not of ${name}; start with optimizerState "fresh"`,
    );
  }
  kept?.dispose();
  session.optimizer = createTfOptimizer(tf, optimizer, variables);
  return session.optimizer;
}
