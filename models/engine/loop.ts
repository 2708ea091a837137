import { setImmediate as nextTurn } from "node:timers/promises";
import { FleetError } from "../../protocol/errors.ts";
import { createPatience } from "./early-stopping.ts";
import type { Evaluation } from "./evaluate.ts";
import type { EpochEvent, FitOptions, FitSettings } from "./fit-options.ts";
import { createLossMean, type LossValue } from "./losses.ts";
import type { Metrics, MetricValues } from "./metrics.ts";
import { createRandom } from "./random.ts";

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

/** What an engine does for the loop of epochs and batches. */
export interface Trainee {
  /** Trains on the samples order[start] .. order[start + batch - 1]. Gives their mean loss with its penalties; later only where it has to wait for another thread. */
  step(order: Uint32Array, start: number, batch: number): number | Promise<number>;
  readonly epoch: EpochMean;
  /** A copy. */
  weights(): Float32Array;
  setWeights(flat: Float32Array): void;
  /** Throws NOT_FINITE, once the start is put back, where the weights are not finite. */
  check(): void;
}

/** How long fit may keep the event loop before it lets others have a turn. */
const TURN_MS = 50;

/** Epochs and batches until they are done, or early stopping, `maxBatches` or a signal ends them. `order`: the samples to train on; it is shuffled. */
export async function runFit(
  trainee: Trainee,
  options: {
    readonly settings: FitSettings;
    readonly callbacks: FitOptions;
    readonly order: Uint32Array;
    readonly validation: Evaluation | undefined;
    readonly disposal: AbortSignal;
  },
): Promise<FitResult> {
  const { settings, callbacks, order, validation, disposal } = options;
  const { epochs, batchSize, maxBatches = Number.POSITIVE_INFINITY, earlyStopping } = settings;
  const random = createRandom(settings.seed);
  const watched = earlyStopping?.monitor ?? (validation ? "validationLoss" : "loss");
  const patience = earlyStopping && createPatience(earlyStopping);
  let bestWeights = earlyStopping?.restoreBest ? trainee.weights() : undefined;
  const mostBatches = Math.min(maxBatches, epochs * Math.ceil(order.length / batchSize));
  const turn = createTurns();

  const losses: number[] = [];
  const validationLosses: number[] = [];
  let bestEpoch = 0;
  let batches = 0;
  let samples = 0;
  for (let epoch = 0; epoch < epochs && batches < maxBatches; epoch++) {
    if (settings.shuffle) random.shuffle(order);
    trainee.epoch.reset();
    for (let start = 0; start < order.length && batches < maxBatches; start += batchSize) {
      throwIfAborted(callbacks.signal, disposal);
      const batch = Math.min(batchSize, order.length - start);
      const stepped = trainee.step(order, start, batch);
      const loss = typeof stepped === "number" ? stepped : await stepped;
      batches += 1;
      samples += batch;
      callbacks.onBatch?.({ epoch, batch: batches - 1, batches: mostBatches, loss });
      if (turn.isOver()) await turn.next();
    }
    const { loss, ...metrics } = trainee.epoch.result();
    losses.push(loss);

    validation?.reset();
    while (validation?.next()) {
      throwIfAborted(callbacks.signal, disposal);
      if (turn.isOver()) await turn.next();
    }
    const validated = validation?.result();
    if (validated) validationLosses.push(validated.loss);
    const event: EpochEvent = { epoch, loss, ...metrics, ...(validated && { validation: validated }) };
    callbacks.onEpoch?.(event);
    if (!patience) continue;
    const { best, stop } = patience.see(watched === "loss" ? loss : validated!.loss);
    if (best) {
      bestEpoch = epoch;
      if (bestWeights) bestWeights = trainee.weights();
    }
    if (stop) break;
  }
  throwIfAborted(callbacks.signal, disposal);
  if (bestWeights) trainee.setWeights(bestWeights);
  trainee.check();
  return { losses, validationLosses, batches, samples, ...(patience && { bestEpoch }) };
}

/** Loss, penalties and metrics of one epoch. */
export interface EpochMean {
  reset(): void;
  /** The outputs and targets in hand, of so many samples. */
  add(value: LossValue, count: number): void;
  addPenalty(penalty: number, batch: number): void;
  result(): MetricValues & { readonly loss: number };
}

export function createEpochMean(
  outputs: number,
  {
    lossWeights,
    metrics,
  }: { readonly lossWeights: readonly number[] | undefined; readonly metrics: Metrics },
): EpochMean {
  const mean = createLossMean(outputs, lossWeights);
  let penalties = 0;
  let samples = 0;
  return {
    reset() {
      mean.reset();
      metrics.reset();
      penalties = 0;
      samples = 0;
    },
    add(value, count) {
      mean.add(value);
      metrics.add(count);
    },
    addPenalty(penalty, batch) {
      penalties += penalty * batch;
      samples += batch;
    },
    result: () => ({ ...metrics.values(0), loss: mean.loss() + penalties / samples }),
  };
}

/** How many of `count` samples the split holds back: as tfjs and Keras round. */
export function heldBack(count: number, split: number): number {
  const held = count - Math.floor(count * (1 - split));
  if (split > 0 && (held === 0 || held === count))
    throw new FleetError(
      "BAD_INPUT",
      `validationSplit ${split} of ${count} samples leaves none to train on or none to validate; give more samples`,
    );
  return held;
}

export function diverged(): FleetError {
  return new FleetError(
    "NOT_FINITE",
    "training diverged to NaN or Inf and was undone; lower the learning rate or set clipNorm",
  );
}

export function checkBatchSize(maxBatch: number, batchSize: number): void {
  if (batchSize <= maxBatch) return;
  throw new FleetError(
    "BAD_INPUT",
    `batchSize is ${batchSize}, the model was compiled for at most ${maxBatch}; compile it with a larger maxBatch`,
  );
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

/** Called for every batch, so it makes no list of the two. */
function throwIfAborted(signal: AbortSignal | undefined, disposal: AbortSignal): void {
  if (!signal?.aborted && !disposal.aborted) return;
  const cause = signal?.aborted ? signal.reason : disposal.reason;
  throw new FleetError("ABORTED", "training was aborted", { cause });
}
