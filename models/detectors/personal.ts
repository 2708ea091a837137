import { FleetError } from "../../protocol/errors.ts";
import type { PersonalLosses, PersonalModel } from "../../protocol/messages.ts";
import type { TaskSpec } from "../../protocol/task.ts";
import type { Detector, Recent, TrainOptions } from "./detector.ts";
import { type PretrainOptions, trainWhole } from "./pretraining.ts";

/**
 * Epochs of fine-tuning, in rounds' worth, and its part of the learning rate: enough to fit in, too little to forget the fleet. Losses on held-back
 * training rows against FedAvg's: .891, .913, .989 on SMD, jumpstarter2, SKAB with 3 rounds' worth, .898, .918, .992 with 1, .898, .922, .997 with 10.
 */
const FINE_TUNING = { rounds: 3, rate: 1 / 3 };

/** Of a task of many rounds, a model of the device alone has learned what it can by then; more would only keep the device busy. */
const MOST_OWN_EPOCHS = 200;

export interface PersonalOptions {
  /** Its weights are set and read. */
  readonly detector: Detector;
  /** The fleet's weights, and the fresh ones that the task began with. */
  readonly fleet: Float32Array;
  readonly first: Float32Array;
  readonly data: Recent;
  /** How the fleet trained. */
  readonly task: Pick<TaskSpec, "training" | "rounds" | "pretrain">;
  readonly seed: number;
  /** The model of the device alone where it is trained already, null where there are too little data for one. */
  readonly own?: Float32Array | null;
  readonly signal?: AbortSignal;
  /** After each training and each comparison: what it has left can be collected. */
  readonly onStep?: () => void;
}

export interface Personal {
  readonly model: PersonalModel;
  readonly weights: Float32Array;
  /** `Detector.misfit` of each; null where nothing could be compared. */
  readonly losses: PersonalLosses | null;
}

/** Epochs of a model of one device or place, as many as in all rounds, those of pretraining among them. */
export function wholeTraining({ training, rounds, pretrain }: PersonalOptions["task"]): {
  readonly training: TrainOptions["training"];
  readonly pretrain?: PretrainOptions;
} {
  return {
    training: { ...training, epochs: rounds * training.epochs },
    ...(pretrain && {
      pretrain: { epochs: pretrain.rounds * training.epochs, objective: pretrain.objective },
    }),
  };
}

/**
 * The model that a device scores with by the losses on its own held-back data (`misfit`): the fleet's as it is, the fleet's trained on a little more, or one of the device
 * alone from fresh weights; the fleet's where they are equal, and where there are too little data to train on or to compare with. Kinds that learn by sums mix
 * the fleet's with the device's in place of training on. Same options, same bits.
 */
export async function personalModel(options: PersonalOptions): Promise<Personal> {
  const { detector, fleet, data, task, onStep } = options;
  const { training } = task;
  const tuning = {
    ...training,
    epochs: training.epochs * FINE_TUNING.rounds,
    learningRate: training.learningRate * FINE_TUNING.rate,
  };
  const tuned = await trained(fleet, { training: tuning, personal: true }, options);
  onStep?.();
  const own =
    options.own === undefined
      ? await trained(options.first, shortened(wholeTraining(task)), options)
      : options.own;
  onStep?.();
  if (tuned === null && own === null) return { model: "fleet", weights: fleet, losses: null };

  const lossOf = (weights: Float32Array | null): number | null => {
    if (weights === null) return null;
    detector.setWeights(weights);
    const loss = detector.misfit(data);
    onStep?.();
    return Number.isFinite(loss) ? loss : null;
  };
  const losses = { fleet: lossOf(fleet), tuned: lossOf(tuned), own: lossOf(own) };
  const model = lowest(losses);
  return { model, weights: { fleet, tuned, own }[model]!, losses };
}

/** The fleet's stays unless another is known to be better. */
export function lowest(losses: PersonalLosses): PersonalModel {
  let best: PersonalModel = "fleet";
  for (const model of ["tuned", "own"] as const) {
    const loss = losses[model];
    if (loss !== null && loss < (losses[best] ?? Number.POSITIVE_INFINITY)) best = model;
  }
  return best;
}

type Training = Pick<TrainOptions, "training" | "personal"> & { readonly pretrain?: PretrainOptions };

function shortened(whole: Training): Training {
  const { training, pretrain } = whole;
  const part = MOST_OWN_EPOCHS / training.epochs;
  if (part >= 1) return whole;
  return {
    training: { ...training, epochs: MOST_OWN_EPOCHS },
    // At least one epoch of what the detector is for.
    ...(pretrain && {
      pretrain: {
        ...pretrain,
        epochs: Math.max(1, Math.min(MOST_OWN_EPOCHS - 1, Math.round(pretrain.epochs * part))),
      },
    }),
  };
}

/** Null where there are too little data for it, and where it diverges: then it is no candidate. */
async function trained(
  from: Float32Array,
  training: Training,
  { detector, data, seed, signal }: PersonalOptions,
): Promise<Float32Array | null> {
  detector.setWeights(from);
  try {
    await trainWhole(detector, data, { ...training, seed, ...(signal && { signal }) });
  } catch (error) {
    if (error instanceof FleetError && (error.code === "UNAVAILABLE" || error.code === "NOT_FINITE"))
      return null;
    throw error;
  }
  const weights = detector.weights();
  return weights.every(Number.isFinite) ? weights : null;
}
