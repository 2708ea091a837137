import { setImmediate as nextTurn } from "node:timers/promises";
import { FleetError } from "../../protocol/errors.ts";
import { createPatience } from "./early-stopping.ts";
import { checkSampleWeights, createEvaluation, type Evaluation, weigh } from "./evaluate.ts";
import { type EpochEvent, type FitOptions, type FitSettings, parseFit } from "./fit-options.ts";
import { createLoss, createLossMean, targetsFor } from "./losses.ts";
import type { Machine } from "./machine.ts";
import { createMetrics } from "./metrics.ts";
import { createOptimizer } from "./optimizer.ts";
import { createPrivateGradient } from "./private-gradient.ts";
import { createRandom } from "./random.ts";
import { createReader, type Data, naturalOrder, samplesOf } from "./samples.ts";
import { createTrainable } from "./trainable.ts";

export interface FitResult {
  /** One an epoch: the mean over the targets present, before each batch's step as Keras reports it, and the penalties of L1 and L2. */
  readonly losses: readonly number[];
  /** One an epoch where there is validation data, as `evaluate` gives it. */
  readonly validationLosses: readonly number[];
  readonly batches: number;
  /** Samples read, counted again in each epoch. */
  readonly samples: number;
  /** With early stopping: the epoch whose value was the best. */
  readonly bestEpoch?: number;
}

/** How long fit may keep the event loop before it lets others have a turn. */
const TURN_MS = 50;
/** Stream of the seed from which noise comes; shuffling has 0, layers have small ones. */
const NOISE_STREAM = 2 ** 20;

/**
 * Trains on `data`. Throws BAD_INPUT (options), UNSUPPORTED (loss, optimizer),
 * NOT_FINITE (data, or training diverged: the weights are then put back to the start) and ABORTED (the weights stay
 * as the last whole batch left them; so too when `disposal` fires).
 */
export async function train(
  machine: Machine,
  data: Data,
  options: FitOptions,
  disposal: AbortSignal,
): Promise<FitResult> {
  const settings = parseFit(options);
  checkBatchSize(machine, settings.batchSize);
  const { epochs, batchSize, maxBatches = Number.POSITIVE_INFINITY, sampleWeights, lossWeights } = settings;
  const targets = targetsFor(machine, settings.loss);
  const samples = samplesOf(machine, data, targets);
  checkSampleWeights(sampleWeights, samples.count);
  const trainable = createTrainable(machine, settings.freeze);
  const all = naturalOrder(samples);
  const order = all.subarray(0, all.length - heldBack(all.length, settings.validationSplit));
  const validation = validationOf(machine, settings, {
    samples,
    heldBack: all.subarray(order.length),
  });

  const read = createReader(machine, samples, targets);
  const lossOf = createLoss(machine, settings.loss, settings);
  const lossOptions = { gradient: true, weighted: sampleWeights !== undefined };
  const mean = createLossMean(machine.outputs.length, lossWeights);
  const metrics = createMetrics(machine, settings.loss, {
    metrics: settings.metrics,
    targets,
    samples: order.length,
  });
  const random = createRandom(settings.seed);
  const dp = settings.differentialPrivacy;
  const privately =
    dp &&
    createPrivateGradient(machine, trainable, {
      ...dp,
      random: createRandom(settings.seed, NOISE_STREAM),
    });
  const descend = createDescent(machine, settings, trainable);
  machine.anchor.set(machine.weights);
  machine.seed(settings.seed);

  const forward = (start: number, count: number) => {
    const indexes = read(order, start, count);
    if (sampleWeights) weigh(machine, sampleWeights, indexes);
    machine.forward(count, true);
    const value = lossOf(count, lossOptions);
    mean.add(value);
    metrics.add(count);
    return value;
  };
  /** Leaves the batch's gradients in the arena, where it has any. Of what was there to train for, the mean loss. */
  const backpropagate = (start: number, batch: number): { present: number; loss: number } => {
    if (!privately) {
      const value = forward(start, batch);
      if (value.present > 0) machine.backward(batch);
      return value;
    }
    const total = { present: 0, loss: 0 };
    privately.reset();
    for (let i = 0; i < batch; i++) {
      const { present, loss } = forward(start + i, 1);
      if (present === 0) continue;
      machine.backward(1);
      if (!Number.isFinite(privately.add())) throw diverged(machine);
      total.present += present;
      total.loss += loss / batch;
    }
    privately.finish(batch);
    return total;
  };

  const { earlyStopping } = settings;
  const watched = earlyStopping?.monitor ?? (validation ? "validationLoss" : "loss");
  const patience = earlyStopping && createPatience(earlyStopping);
  const bestWeights = earlyStopping?.restoreBest ? machine.weights.slice() : undefined;
  const mostBatches = Math.min(maxBatches, epochs * Math.ceil(order.length / batchSize));

  const losses: number[] = [];
  const validationLosses: number[] = [];
  let bestEpoch = 0;
  let batches = 0;
  let samplesRead = 0;
  const turn = createTurns();
  for (let epoch = 0; epoch < epochs && batches < maxBatches; epoch++) {
    if (settings.shuffle) random.shuffle(order);
    mean.reset();
    metrics.reset();
    let penalties = 0;
    let seen = 0;
    for (let start = 0; start < order.length && batches < maxBatches; start += batchSize) {
      throwIfAborted(options.signal, disposal);
      const batch = Math.min(batchSize, order.length - start);
      const { present, loss } = backpropagate(start, batch);
      // Without a single target there is no gradient, and momentum alone must not move the weights.
      const penalty = present > 0 ? descend() : 0;
      penalties += penalty * batch;
      seen += batch;
      batches += 1;
      options.onBatch?.({ epoch, batch: batches - 1, batches: mostBatches, loss: loss + penalty });
      if (turn.isOver()) await turn.next();
    }
    samplesRead += seen;
    const loss = mean.loss() + penalties / seen;
    losses.push(loss);
    const trained = metrics.values(0);

    validation?.reset();
    while (validation?.next()) {
      throwIfAborted(options.signal, disposal);
      if (turn.isOver()) await turn.next();
    }
    const result = validation?.result();
    if (result) validationLosses.push(result.loss);
    const event: EpochEvent = { epoch, loss, ...trained, ...(result && { validation: result }) };
    options.onEpoch?.(event);
    if (!patience) continue;
    const { best, stop } = patience.see(watched === "loss" ? loss : result!.loss);
    if (best) {
      bestEpoch = epoch;
      bestWeights?.set(machine.weights);
    }
    if (stop) break;
  }
  throwIfAborted(options.signal, disposal);
  if (bestWeights) machine.weights.set(bestWeights);
  if (!allFinite(machine)) throw diverged(machine);
  return { losses, validationLosses, batches, samples: samplesRead, ...(patience && { bestEpoch }) };
}

/** What happens between the gradient of the loss and the next batch. Gives the penalties of L1 and L2. */
function createDescent(
  machine: Machine,
  settings: FitSettings,
  trainable: ReturnType<typeof createTrainable>,
): () => number {
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
    if (!Number.isFinite(norm)) throw diverged(machine);
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
  { server, client }: NonNullable<FitSettings["controlVariate"]>,
): void {
  for (const part of [server, client]) {
    if (part.length !== plan.parameters)
      throw new FleetError(
        "BAD_SHAPE",
        `a control variate has ${part.length} values, the model ${plan.parameters} weights; give one each`,
      );
    if (!part.every(Number.isFinite))
      throw new FleetError("NOT_FINITE", "a control variate holds NaN or Inf; start it again from zeros");
  }
  for (let i = 0; i < correction.length; i++) correction[i] = server[i]! - client[i]!;
}

/** How many of `count` samples the split holds back: as tfjs and Keras round. */
function heldBack(count: number, split: number): number {
  const held = count - Math.floor(count * (1 - split));
  if (split > 0 && (held === 0 || held === count))
    throw new FleetError(
      "BAD_INPUT",
      `validationSplit ${split} of ${count} samples leaves none to train on or none to validate; give more samples`,
    );
  return held;
}

function validationOf(
  machine: Machine,
  settings: FitSettings,
  own: { readonly samples: ReturnType<typeof samplesOf>; readonly heldBack: Uint32Array },
): Evaluation | undefined {
  const { loss, lossWeights, metrics, sampleWeights, validationData } = settings;
  const options = { loss, lossWeights, metrics };
  if (validationData !== undefined) {
    const samples = samplesOf(machine, validationData, targetsFor(machine, loss));
    return createEvaluation(machine, samples, { ...options, order: naturalOrder(samples) });
  }
  if (own.heldBack.length === 0) return undefined;
  return createEvaluation(machine, own.samples, { ...options, order: own.heldBack, sampleWeights });
}

/** Lets others have a turn once `TURN_MS` have gone by. */
function createTurns() {
  let start = performance.now();
  return {
    isOver: () => performance.now() - start > TURN_MS,
    async next() {
      await nextTurn();
      start = performance.now();
    },
  };
}

function allFinite({ kernels, addresses, plan }: Machine): boolean {
  return Number.isFinite(kernels.sumOfSquares(addresses.weights, plan.parameters));
}

function diverged(machine: Machine): FleetError {
  machine.weights.set(machine.anchor);
  machine.optimizer.name = null; // its moments are not finite either
  return new FleetError(
    "NOT_FINITE",
    "training diverged to NaN or Inf and was undone; lower the learning rate or set clipNorm",
  );
}

function throwIfAborted(...signals: readonly (AbortSignal | undefined)[]): void {
  const signal = signals.find((candidate) => candidate?.aborted);
  if (signal) throw new FleetError("ABORTED", "training was aborted", { cause: signal.reason });
}

function checkBatchSize({ maxBatch }: Machine, batchSize: number): void {
  if (batchSize <= maxBatch) return;
  throw new FleetError(
    "BAD_INPUT",
    `batchSize is ${batchSize}, the model was compiled for at most ${maxBatch}; compile it with a larger maxBatch`,
  );
}
