import { setImmediate as nextTurn } from "node:timers/promises";
import { z } from "zod";
import { FleetError } from "../../protocol/errors.ts";
import { createLoss, type Loss, Losses } from "./losses.ts";
import type { Machine } from "./machine.ts";
import { createOptimizer, Optimizer } from "./optimizer.ts";
import { createRandom } from "./random.ts";
import { createReader, type MultiSamples, naturalOrder } from "./samples.ts";

const Settings = z.object({
  epochs: z.int().positive(),
  batchSize: z.int().positive(),
  optimizer: Optimizer,
  loss: Losses,
  seed: z.int(),
  shuffle: z.boolean().default(true),
  /** The largest norm of the gradient of all weights together. */
  clipNorm: z.number().positive().optional(),
  /** FedProx: pulls towards the weights at the start of `fit`. */
  proximal: z.object({ mu: z.number().nonnegative() }).optional(),
  /** Stops after so many batches, over all epochs. */
  maxBatches: z.int().positive().optional(),
  /** One weight a sample, by the sample's index. */
  sampleWeights: z.instanceof(Float32Array).optional(),
});

export interface FitOptions extends z.input<typeof Settings> {
  readonly signal?: AbortSignal;
  onEpoch?(event: { readonly epoch: number; readonly loss: number }): void;
  onBatch?(event: { readonly epoch: number; readonly batch: number; readonly loss: number }): void;
}

export interface FitResult {
  /** Mean over the targets present, one an epoch; before each batch's step, as Keras reports it. */
  readonly losses: readonly number[];
  readonly batches: number;
  /** Samples read, counted again in each epoch. */
  readonly samples: number;
}

/** How long fit may keep the event loop before it lets others have a turn. */
const TURN_MS = 50;

/**
 * Trains on `data`. The optimizer starts afresh each time. Throws BAD_INPUT (options), UNSUPPORTED (loss, optimizer),
 * NOT_FINITE (data, or training diverged: the weights are then put back to the start) and ABORTED (the weights stay
 * as the last whole batch left them; so too when `disposal` fires).
 */
export async function train(
  machine: Machine,
  data: MultiSamples,
  options: FitOptions,
  disposal: AbortSignal,
): Promise<FitResult> {
  const settings = parseSettings(options, machine.maxBatch);
  const { epochs, batchSize, maxBatches = Number.POSITIVE_INFINITY, sampleWeights } = settings;
  if (sampleWeights && sampleWeights.length !== data.count) {
    throw new FleetError(
      "BAD_SHAPE",
      `there are ${sampleWeights.length} sample weights for ${data.count} samples; give one each`,
    );
  }
  if (machine.plan.trained === 0) {
    throw new FleetError("BAD_INPUT", "the model has no weights, so there is nothing to train");
  }
  const order = naturalOrder(data);
  const read = createReader(machine, data);
  const random = createRandom(settings.seed);
  const optimize = createOptimizer(machine, settings.optimizer);
  const lossOf = createLoss(machine, settings.loss);
  const lossOptions = { gradient: true, weighted: sampleWeights !== undefined };
  machine.anchor.set(machine.weights);
  machine.seed(settings.seed);

  const losses: number[] = [];
  let batches = 0;
  let samples = 0;
  let turnStart = performance.now();
  for (let epoch = 0; epoch < epochs && batches < maxBatches; epoch++) {
    if (settings.shuffle) random.shuffle(order);
    let sum = 0;
    let present = 0;
    for (let start = 0; start < data.count && batches < maxBatches; start += batchSize) {
      throwIfAborted(options.signal, disposal);
      const batch = Math.min(batchSize, data.count - start);
      const indexes = read(order, start, batch);
      if (sampleWeights) {
        for (let i = 0; i < batch; i++) machine.sampleWeights[i] = sampleWeights[indexes[i]!]!;
      }
      machine.forward(batch, true);
      const { sum: batchSum, present: batchPresent } = lossOf(batch, lossOptions);
      // Without a single target there is no gradient, and momentum alone must not move the weights.
      if (batchPresent > 0) {
        machine.backward(batch);
        descend(machine, settings, optimize);
      }
      sum += batchSum;
      present += batchPresent;
      batches += 1;
      samples += batch;
      options.onBatch?.({ epoch, batch: batches - 1, loss: mean(batchSum, batchPresent) });
      if (performance.now() - turnStart > TURN_MS) {
        await nextTurn();
        turnStart = performance.now();
      }
    }
    losses.push(mean(sum, present));
    options.onEpoch?.({ epoch, loss: mean(sum, present) });
  }
  throwIfAborted(options.signal, disposal);
  if (!Number.isFinite(norm(machine, machine.addresses.weights))) throw diverged(machine);
  return { losses, batches, samples };
}

/** The mean loss over all samples, in order, without training. */
export function evaluate(
  machine: Machine,
  data: MultiSamples,
  losses: readonly Loss[],
): { loss: number; samples: number } {
  const order = naturalOrder(data);
  const read = createReader(machine, data);
  const lossOf = createLoss(machine, losses);
  const lossOptions = { gradient: false, weighted: false };
  let sum = 0;
  let present = 0;
  for (let start = 0; start < data.count; start += machine.maxBatch) {
    const batch = Math.min(machine.maxBatch, data.count - start);
    read(order, start, batch);
    machine.forward(batch, false);
    const value = lossOf(batch, lossOptions);
    sum += value.sum;
    present += value.present;
  }
  return { loss: mean(sum, present), samples: data.count };
}

/** Proximal term, then clipping, then the step: the term is part of the loss whose gradient is clipped. */
function descend(machine: Machine, settings: z.infer<typeof Settings>, optimize: () => void): void {
  const { kernels, addresses, plan } = machine;
  const mu = settings.proximal?.mu ?? 0;
  if (mu > 0) kernels.proximal(addresses.gradients, addresses.weights, addresses.anchor, plan.trained, mu);
  const length = norm(machine, addresses.gradients);
  if (!Number.isFinite(length)) throw diverged(machine);
  const { clipNorm } = settings;
  if (clipNorm !== undefined && length > clipNorm) {
    kernels.scale(addresses.gradients, plan.trained, clipNorm / length);
  }
  optimize();
}

function norm(machine: Machine, address: number): number {
  return Math.sqrt(machine.kernels.sumOfSquares(address, machine.plan.parameters));
}

/** Of no targets at all, the mean loss is 0. */
function mean(sum: number, present: number): number {
  return present > 0 ? sum / present : 0;
}

function diverged(machine: Machine): FleetError {
  machine.weights.set(machine.anchor);
  return new FleetError(
    "NOT_FINITE",
    "training diverged to NaN or Inf and was undone; lower the learning rate or set clipNorm",
  );
}

function throwIfAborted(...signals: readonly (AbortSignal | undefined)[]): void {
  const signal = signals.find((candidate) => candidate?.aborted);
  if (signal) throw new FleetError("ABORTED", "training was aborted", { cause: signal.reason });
}

function parseSettings(options: FitOptions, maxBatch: number): z.infer<typeof Settings> {
  const parsed = Settings.safeParse(options);
  if (!parsed.success) {
    const issue = parsed.error.issues[0]!;
    const path = issue.path.join(".");
    const unknown = path === "loss" || path === "optimizer.name";
    const reason = unknown ? "the engine does not have it" : issue.message;
    throw new FleetError(
      unknown ? "UNSUPPORTED" : "BAD_INPUT",
      `fit option ${path || "optimizer"}: ${reason}`,
    );
  }
  if (parsed.data.batchSize > maxBatch) {
    throw new FleetError(
      "BAD_INPUT",
      `batchSize is ${parsed.data.batchSize}, the model was compiled for at most ${maxBatch}; compile it with a larger maxBatch`,
    );
  }
  return parsed.data;
}
