import type { Layout } from "../../protocol/frame.ts";
import type { DetectorSpec, Pretext, RoundTraining } from "../../protocol/task.ts";
import type { AugmentName } from "./augment/names.ts";

/** A number that a kind of detector can be tuned by. */
export interface Hyperparameter {
  readonly default: number;
  readonly least: number;
  readonly most: number;
  /** true: any number within the limits; else whole ones. */
  readonly real?: boolean;
  readonly about: string;
  /** Where the default comes from. */
  readonly source: string;
  /** What `starling tune` tries. */
  readonly search?: readonly number[];
}

export type Hyperparameters = Readonly<Record<string, Hyperparameter>>;

/** A row is a moment of a stream, a record without neighbours, or an image, flat. */
export type Input = "series" | "records" | "images";

/**
 * One entry of the catalog: how a detector is made, apart from what all have in common (scaling, sigma, smoothing, threshold: `open.ts`).
 * Everything that it learns is one flat array, which a fleet averages weighted by samples. Kinds that learn by sums (a covariance) keep the mean of the sums'
 * terms there, so that one round of averaging is exact: the fleet's array is what all the data in one place would have given.
 */
export interface DetectorKind {
  /** One line for a list. */
  readonly title: string;
  /** When to take it, how it works, from where. */
  readonly about: string;
  readonly input: Input;
  /** By gradient steps over many rounds, or by sums, exactly, in one. */
  readonly learns: "by gradients" | "by sums";
  /** true: it needs the labels of what it trains on. */
  readonly supervised?: boolean;
  /** "channels": z-scores, channel by channel; "none": values as they are (images in 0..1). */
  readonly scaling: "channels" | "none";
  /** true: each residual is divided by its usual size on held-back data; false: residuals are comparable as they are. A kind may leave it to its hyperparameters. */
  readonly normalized: boolean | ((tuned: Readonly<Record<string, number>>) => boolean);
  readonly hyperparameters: Hyperparameters;
  /** What of `training.augment` it can use, and what it can be pretrained by; nothing where it does not say. */
  readonly augments?: readonly AugmentName[];
  readonly pretexts?: readonly Pretext[];
  /** Hyperparameters that nobody can guess, with an example of them and the channels that go with it. */
  readonly mustSet?: { readonly options: Readonly<Record<string, number>>; readonly channels: number };
  /** true: it learns from what is missing too, and its training parts have `targets`. */
  readonly marksMissing?: boolean;
  /** What a version carries beside the array, JSON: a LayersModel topology, or what the sums are of. */
  blueprint(options: BlueprintOptions): unknown;
  open(options: EstimatorOptions): Promise<Estimator>;
}

export interface BlueprintOptions {
  readonly channels: number;
  readonly spec: DetectorSpec;
  /** The kind's hyperparameters, defaults filled in. */
  readonly tuned: Readonly<Record<string, number>>;
  /** The task pretrains by it, so the network needs a head for it where its own will not do. */
  readonly pretext?: Pretext | undefined;
}

export interface EstimatorOptions extends BlueprintOptions {
  /** As `blueprint` gave it, possibly on another machine and some versions ago. */
  readonly blueprint: unknown;
  readonly seed: number;
  readonly maxBatch: number;
}

/** Gives rows first..first+count-1 of a series, (count, channels): a view, valid until the next call. */
export type ReadRows = (first: number, count: number) => Float32Array;

/** Rows from..to-1 of a scaled series without gaps. */
export interface ScaledPart {
  readonly read: ReadRows;
  readonly channels: number;
  readonly from: number;
  readonly to: number;
  /** (rows): classes, where they are known. */
  readonly labels?: Uint8Array;
  /** (rows, channels): the values with NaN for what is missing, for kinds that mark it. */
  readonly targets?: ReadRows;
}

export interface EstimatorTraining {
  readonly training: RoundTraining;
  /** The result is for this device alone and not for an average: what the fleet knows is mixed with what is its own. */
  readonly personal?: boolean;
  readonly seed: number;
  readonly signal?: AbortSignal;
  readonly onEpoch?: (done: { readonly epoch: number; readonly loss: number }) => void;
}

/** What has been learned of scaled rows, and how far a row is off it. */
export interface Estimator {
  readonly layout: Layout;
  /** A copy. */
  weights(): Float32Array;
  setWeights(flat: Float32Array): void;
  /** Training samples that these parts give, in pretraining or not: the update's weight. */
  samples(parts: readonly ScaledPart[], pretext?: Pretext): number;
  /** Goes on from the present weights; gives the mean loss of the last epoch, in pretraining the pretext's. */
  train(parts: readonly ScaledPart[], options: EstimatorTraining): Promise<number>;
  /** Mean loss of the present weights at what the detector is for, in pretraining too; parts that are too short for a window count nothing, NaN when all are. */
  loss(parts: readonly ScaledPart[]): number;
  /** true: the loss is a negative log-likelihood per channel, so models are compared by it as it is; else it is a mean of squared residuals. */
  readonly likelihood?: boolean;
  /** Length of a row of residuals: the channels, where each channel has its own. */
  readonly residuals: number;
  stream(): ResidualStream;
  /** Of supervised kinds: whether a class is normal. Thresholds are set from normal rows alone. */
  isNormal?(label: number): boolean;
  /** Of classifiers whose rows stand alone. values (rows, channels), scaled -> (rows, classes). */
  probabilities?(values: Float32Array): Float32Array;
  dispose(): void;
}

/** How far each row of a stream is off, one row after the other. No allocation per row. */
export interface ResidualStream {
  /**
   * row (channels): scaled, gaps filled; target: the same with NaN for what is missing. Gives the residuals, a view; NaN where there is no value or not
   * enough has been seen. The square is what counts.
   */
  push(row: Float32Array, target: Float32Array): Float32Array;
  readonly stateSize: number;
  state(): Float32Array;
  restore(state: Float32Array): void;
  reset(): void;
  dispose(): void;
}
