import { FleetError } from "../../protocol/errors.ts";
import { checkSampleWeights, createEvaluation, type Evaluation, scorer, weigh } from "./evaluate.ts";
import { type FitOptions, type FitSettings, parseFit } from "./fit-options.ts";
import {
  checkBatchSize,
  createEpochMean,
  diverged,
  type FitResult,
  heldBack,
  runFit,
  type Trainee,
} from "./loop.ts";
import { createLoss, type LossValue, targetsFor } from "./losses.ts";
import type { Machine } from "./machine.ts";
import { createMetrics } from "./metrics.ts";
import { createOptimizer } from "./optimizer.ts";
import { createPrivateGradient } from "./private-gradient.ts";
import { createRandom } from "./random.ts";
import { createReader, type Data, type MultiSamples, naturalOrder, samplesOf } from "./samples.ts";
import type { Crew, Crews } from "./threads/crew.ts";
import { checkThreads, createSharedGradient } from "./threads/gradient.ts";
import { createTrainable, type Trainable } from "./trainable.ts";

/** Stream of the seed from which noise comes; shuffling has 0, layers have small ones. */
const NOISE_STREAM = 2 ** 20;

/**
 * Trains on `data`. Throws BAD_INPUT (options), UNSUPPORTED (loss, optimizer, what several threads can't share),
 * NOT_FINITE (data, or training diverged: the weights are then put back to the start), ABORTED and, where a thread that
 * helps ends, UNAVAILABLE (the weights stay as the last whole batch left them; so too when `disposal` fires).
 */
export async function train(
  machine: Machine,
  data: Data,
  options: FitOptions,
  { disposal, crews }: { readonly disposal: AbortSignal; readonly crews?: Crews },
): Promise<FitResult> {
  const settings = parseFit(options);
  checkBatchSize(machine.maxBatch, settings.batchSize);
  const samples = samplesOf(machine, data, targetsFor(machine, settings.loss));
  checkSampleWeights(settings.sampleWeights, samples.count);
  const all = naturalOrder(samples);
  const order = all.subarray(0, all.length - heldBack(all.length, settings.validationSplit));
  const validation = validationOf(machine, settings, { samples, heldBack: all.subarray(order.length) });
  const trainable = createTrainable(machine, settings.freeze);
  const threads = Math.min(settings.threads, settings.batchSize);
  if (threads > 1) checkThreads(settings, trainable);
  const crew = threads > 1 ? await crews?.open(threads) : undefined;
  try {
    const trainee = createTrainee(machine, samples, { settings, trainable, crew });
    machine.anchor.set(machine.weights);
    machine.seed(settings.seed);
    return await runFit(trainee, { settings, callbacks: options, order, validation, disposal });
  } finally {
    crew?.rest();
  }
}

interface Training {
  readonly settings: FitSettings;
  readonly trainable: Trainable;
  readonly crew: Crew | undefined;
}

function createTrainee(
  machine: Machine,
  samples: MultiSamples,
  { settings, trainable, crew }: Training,
): Trainee {
  const { sampleWeights, loss, lossWeights } = settings;
  const targets = targetsFor(machine, loss);
  const read = createReader(machine, samples, targets);
  const lossOf = createLoss(machine, loss, settings);
  const lossOptions = { gradient: true, weighted: sampleWeights !== undefined };
  const { metrics: names } = settings;
  const metrics = createMetrics(machine, loss, { metrics: names, targets, samples: samples.count });
  const epoch = createEpochMean(machine.outputs.length, { lossWeights, metrics });
  const dp = settings.differentialPrivacy;
  const noise = createRandom(settings.seed, NOISE_STREAM);
  const privately = dp && createPrivateGradient(machine, trainable, { ...dp, random: noise });
  const descend = createDescent(machine, settings, trainable);
  const shared = crew && createSharedGradient(machine, crew, { settings, trainable, targets, read, lossOf });

  const forward = (order: Uint32Array, start: number, count: number) => {
    const indexes = read(order, start, count);
    if (sampleWeights) weigh(machine.sampleWeights, sampleWeights, indexes);
    machine.forward(count, true);
    const value = lossOf(count, lossOptions);
    epoch.add(value, count);
    return value;
  };
  const total = { present: 0, loss: 0 };
  /** Leaves the batch's gradients in the arena, where it has any. Of what was there to train for, the mean loss. */
  const backpropagate = (order: Uint32Array, start: number, batch: number) => {
    if (!privately) {
      const value = forward(order, start, batch);
      if (value.present > 0) machine.backward(batch);
      return value;
    }
    total.present = 0;
    total.loss = 0;
    privately.reset();
    for (let i = 0; i < batch; i++) {
      const value = forward(order, start + i, 1);
      if (value.present === 0) continue;
      machine.backward(1);
      if (!Number.isFinite(privately.add())) throw undone(machine);
      total.present += value.present;
      total.loss += value.loss / batch;
    }
    privately.finish(batch);
    return total;
  };

  const finish = ({ present, loss }: Pick<LossValue, "present" | "loss">, batch: number) => {
    // Without a single target there is no gradient, and momentum alone must not move the weights.
    const penalty = present > 0 ? descend() : 0;
    epoch.addPenalty(penalty, batch);
    return loss + penalty;
  };
  const finishShared = (value: LossValue, batch: number) => {
    epoch.add(value, batch);
    return finish(value, batch);
  };

  return {
    epoch,
    step(order, start, batch) {
      if (!shared) return finish(backpropagate(order, start, batch), batch);
      const value = shared(order, start, batch);
      return value instanceof Promise
        ? value.then((late) => finishShared(late, batch))
        : finishShared(value, batch);
    },
    weights: () => machine.weights.slice(),
    setWeights: (flat) => machine.weights.set(flat),
    check() {
      const { kernels, addresses, plan } = machine;
      if (!Number.isFinite(kernels.sumOfSquares(addresses.weights, plan.parameters))) throw undone(machine);
    },
  };
}

/** What happens between the gradient of the loss and the next batch. Gives the penalties of L1 and L2. */
function createDescent(machine: Machine, settings: FitSettings, trainable: Trainable): () => number {
  const { kernels, addresses } = machine;
  const { gradients, weights, anchor, correction } = addresses;
  const { segments } = trainable;
  const { clipNorm, clipValue, optimizer, optimizerState } = settings;
  const mu = settings.proximal?.mu ?? 0;
  const corrected = settings.controlVariate !== undefined;
  if (settings.controlVariate) writeCorrection(machine, settings.controlVariate);
  const run = createOptimizer(machine, optimizer, { segments, state: optimizerState });
  return () => {
    const penalty = trainable.penalize();
    for (let i = 0; i < segments.length; i++) {
      const { offset, count } = segments[i]!;
      const at = offset * 4;
      if (mu > 0) kernels.proximal(gradients + at, weights + at, anchor + at, count, mu);
      if (corrected) kernels.addTo(gradients + at, correction + at, count);
    }
    // All terms are part of the loss whose gradient is clipped. Clipped last, for no clipping may hide what is not finite.
    let norm = trainable.norm(gradients);
    if (!Number.isFinite(norm)) throw undone(machine);
    if (clipValue !== undefined) {
      for (let i = 0; i < segments.length; i++)
        kernels.clampTo(gradients + segments[i]!.offset * 4, segments[i]!.count, clipValue);
      if (clipNorm !== undefined) norm = trainable.norm(gradients);
    }
    if (clipNorm !== undefined && norm > clipNorm) {
      for (let i = 0; i < segments.length; i++)
        kernels.scale(gradients + segments[i]!.offset * 4, segments[i]!.count, clipNorm / norm);
    }
    run.step();
    trainable.constrain();
    return penalty;
  };
}

function writeCorrection(
  { correction, plan }: Machine,
  variate: NonNullable<FitSettings["controlVariate"]>,
): void {
  checkVariate(variate, plan.parameters);
  for (let i = 0; i < correction.length; i++) correction[i] = variate.server[i]! - variate.client[i]!;
}

export function checkVariate(
  { server, client }: NonNullable<FitSettings["controlVariate"]>,
  parameters: number,
): void {
  for (const part of [server, client]) {
    if (part.length !== parameters)
      throw new FleetError(
        "BAD_SHAPE",
        `a control variate has ${part.length} values, the model ${parameters} weights; give one each`,
      );
    if (!part.every(Number.isFinite))
      throw new FleetError("NOT_FINITE", "a control variate holds NaN or Inf; start it again from zeros");
  }
}

function validationOf(
  machine: Machine,
  settings: FitSettings,
  own: { readonly samples: MultiSamples; readonly heldBack: Uint32Array },
): Evaluation | undefined {
  const { loss, lossWeights, metrics, sampleWeights, validationData } = settings;
  const { maxBatch } = machine;
  if (validationData !== undefined) {
    const samples = samplesOf(machine, validationData, targetsFor(machine, loss));
    const score = scorer(machine, { loss, lossWeights });
    const order = naturalOrder(samples);
    return createEvaluation(machine, samples, { loss, lossWeights, metrics, maxBatch, order, score });
  }
  const order = own.heldBack;
  if (order.length === 0) return undefined;
  const score = scorer(machine, { loss, lossWeights, sampleWeights });
  return createEvaluation(machine, own.samples, { loss, lossWeights, metrics, maxBatch, order, score });
}

/** The weights are put back to where they began. */
function undone(machine: Machine): FleetError {
  machine.weights.set(machine.anchor);
  machine.optimizer.name = null; // its moments are not finite either
  return diverged();
}
