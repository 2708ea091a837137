import { FleetError } from "../../../protocol/errors.ts";
import { weigh } from "../evaluate.ts";
import type { FitSettings } from "../fit-options.ts";
import type { createLoss, LossValue } from "../losses.ts";
import type { Machine } from "../machine.ts";
import type { Targets } from "../samples.ts";
import type { Trainable } from "../trainable.ts";
import type { Crew } from "./crew.ts";
import { type Copy, copyAll, gradientCopies, partOf, partStart, shareGradients } from "./exchange.ts";

/** The gradient of a batch that several threads share. Nothing here allocates per batch unless a thread is late. */
export type SharedGradient = (
  order: Uint32Array,
  start: number,
  batch: number,
) => LossValue | Promise<LossValue>;

/** Throws UNSUPPORTED for what needs the whole batch in one place. */
export function checkThreads(settings: FitSettings, trainable: Trainable): void {
  if (settings.differentialPrivacy !== undefined)
    throw new FleetError(
      "UNSUPPORTED",
      "fit option threads: differentialPrivacy goes example by example, on one thread; leave threads out",
    );
  if (trainable.averaging !== undefined)
    throw new FleetError(
      "UNSUPPORTED",
      `fit option threads: layer "${trainable.averaging}" takes averages over the whole batch; freeze it, use LayerNormalization, or leave threads out`,
    );
}

/**
 * Each thread has the same network and takes a fixed part of every batch, forward and back; the parts' gradients, each its share of the mean over
 * the whole batch, are added in the threads' order, so that the same number of threads gives the same bits.
 */
export function createSharedGradient(
  machine: Machine,
  crew: Crew,
  options: {
    readonly settings: FitSettings;
    readonly trainable: Trainable;
    readonly targets: readonly Targets[];
    read(order: Uint32Array, start: number, batch: number): Uint32Array;
    readonly lossOf: ReturnType<typeof createLoss>;
  },
): SharedGradient {
  const { settings, trainable, targets, read, lossOf } = options;
  const { loss, lossWeights, classWeights, freeze, seed, sampleWeights, metrics } = settings;
  const { kernels, addresses, outputs } = machine;
  const { exchange, threads } = crew;
  const { segments } = trainable;
  const weighted = sampleWeights !== undefined;
  const lossOptions = { gradient: true, weighted };
  // The sum of clipped gradients has no use here, as there is no differential privacy: its place takes what a helper brings.
  const brought = exchange.helpers.map(({ gradients }) =>
    gradientCopies(segments, machine.clipped, gradients),
  );
  const judged = metrics.length > 0;
  crew.begin({ loss, lossWeights, classWeights, freeze, seed, segments, weighted, outputs: judged });

  /** By size of the batch. */
  const cuts: { readonly own: number; readonly out: readonly Copy[]; readonly back: readonly Copy[] }[] = [];
  const cutFor = (batch: number) => {
    const own = partStart(batch, 1, threads);
    const others = partOf(exchange, machine, targets, [own, batch]);
    const behind = (array: Float32Array, size: number) => array.subarray(own * size, batch * size);
    return {
      own,
      out: [
        { to: exchange.weights, from: machine.weights },
        ...machine.inputs.map(({ size, at }, i) => ({
          to: others.inputs[i]!,
          from: behind(at(batch), size),
        })),
        ...targets.map(({ size, at }, i) => ({ to: others.targets[i]!, from: behind(at(batch), size) })),
        ...(weighted ? [{ to: others.sampleWeights, from: behind(machine.sampleWeights, 1) }] : []),
      ],
      back: judged
        ? [
            ...outputs.map(({ size, at }, i) => ({ to: behind(at(batch), size), from: others.outputs[i]! })),
            ...targets.map(({ size, at }, i) => ({ to: behind(at(batch), size), from: others.targets[i]! })),
          ]
        : [],
    };
  };

  const sums = new Float64Array(outputs.length);
  const counts = new Float64Array(outputs.length);
  const whole = { sum: 0, present: 0, loss: 0, sums, counts };
  let size = 0; // of the batch in hand
  let value: LossValue; // of the caller's own part

  const addUp = () => {
    whole.sum = 0;
    whole.present = 0;
    whole.loss = 0;
    for (let i = 0; i < outputs.length; i++) {
      let sum = value.sums[i]!;
      let count = value.counts[i]!;
      for (let h = 0; h < exchange.helpers.length; h++) {
        sum += exchange.helpers[h]!.sums[i]!;
        count += exchange.helpers[h]!.counts[i]!;
      }
      sums[i] = sum;
      counts[i] = count;
      whole.sum += sum;
      whole.present += count;
      if (count > 0) whole.loss += ((lossWeights?.[i] ?? 1) * sum) / count;
    }
  };

  const turnBack = () => {
    addUp();
    exchange.present.set(counts);
    crew.release(size);
    const { own } = cuts[size]!;
    shareGradients(machine, own, value.counts, counts);
    machine.backward(own);
    return crew.met() ? gather() : crew.meet().then(gather);
  };

  const gather = () => {
    for (let h = 0; h < brought.length; h++) {
      // Of a batch with fewer samples than threads, the last threads bring nothing.
      if (partStart(size, h + 1, threads) === partStart(size, h + 2, threads)) continue;
      copyAll(brought[h]!);
      for (let i = 0; i < segments.length; i++) {
        const { offset, count } = segments[i]!;
        kernels.addTo(addresses.gradients + offset * 4, addresses.clipped + offset * 4, count);
      }
    }
    copyAll(cuts[size]!.back);
    crew.done();
    return whole;
  };

  return (order, start, batch) => {
    size = batch;
    const indexes = read(order, start, batch);
    if (sampleWeights) weigh(machine.sampleWeights, sampleWeights, indexes);
    cuts[batch] ??= cutFor(batch);
    const { own, out } = cuts[batch];
    copyAll(out);
    crew.release(batch);
    machine.forward(own, true);
    value = lossOf(own, lossOptions);
    return crew.met() ? turnBack() : crew.meet().then(turnBack);
  };
}
