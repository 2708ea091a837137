import { FleetError } from "../../protocol/errors.ts";
import { compile, type Model } from "../engine/compile.ts";
import type { FitOptions } from "../engine/fit-options.ts";
import type { MultiSamples, Samples } from "../engine/samples.ts";
import type { EstimatorOptions, EstimatorTraining } from "./kind.ts";

/** The network of a version. Throws BAD_SHAPE where it is for another number of channels; `width`: what the network takes a row, where that is more. */
export async function compileNetwork(
  options: EstimatorOptions,
  width: number = options.channels,
): Promise<Model> {
  const { blueprint, channels, seed, maxBatch } = options;
  const model = await compile(blueprint, { seed, maxBatch });
  const own = model.inputShape.at(-1)! - (width - channels);
  if (own === channels) return model;
  model.dispose();
  throw new FleetError("BAD_SHAPE", `the network takes ${own} channels, this device has ${channels}`);
}

/** Trains a detector's network as a task says; gives the mean loss of the last epoch. */
export async function fitNetwork(
  model: Model,
  samples: Samples | MultiSamples,
  { training, seed, signal, onEpoch }: EstimatorTraining,
  more: Pick<FitOptions, "freeze"> & { readonly loss?: FitOptions["loss"] } = {},
): Promise<number> {
  const { epochs, batchSize, optimizer, learningRate, clipNorm, mu } = training;
  const { losses } = await model.fit(samples, {
    epochs,
    batchSize,
    optimizer: { name: optimizer, learningRate },
    loss: "mse",
    seed,
    shuffle: true,
    ...more,
    ...(clipNorm > 0 ? { clipNorm } : {}),
    ...(mu > 0 ? { proximal: { mu } } : {}),
    ...(signal === undefined ? {} : { signal }),
    ...(onEpoch === undefined ? {} : { onEpoch }),
  });
  return losses.at(-1)!;
}

/** NaN where there is no sample. */
export function meanLoss(
  model: Model,
  samples: Samples | MultiSamples,
  loss: FitOptions["loss"] = "mse",
): number {
  return samples.count === 0 ? Number.NaN : model.evaluate(samples, { loss }).loss;
}

/** The samples of several series, one after the other: no window reaches from one into the next. */
export function joined(parts: readonly Samples[]): Samples {
  const starts: number[] = [];
  let count = 0;
  for (const part of parts) {
    starts.push(count);
    count += part.count;
  }
  if (parts.length === 1) return parts[0]!;
  const one = new Uint32Array(1);
  return {
    count,
    read(indexes, x, y) {
      const size = x.length / indexes.length;
      const targets = y.length / indexes.length;
      for (let k = 0; k < indexes.length; k++) {
        const index = indexes[k]!;
        if (index >= count)
          throw new FleetError("BAD_INPUT", `there is no sample ${index}, there are ${count}`);
        let part = 0;
        while (part + 1 < starts.length && starts[part + 1]! <= index) part++;
        one[0] = index - starts[part]!;
        parts[part]!.read(
          one,
          x.subarray(k * size, (k + 1) * size),
          y.subarray(k * targets, (k + 1) * targets),
        );
      }
    },
  };
}
