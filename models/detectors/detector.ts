import type { Layout } from "../../protocol/frame.ts";
import type { DetectorSpec, RoundTraining } from "../../protocol/task.ts";
import type { FitLevelOptions, Level } from "../scoring/alarm-level.ts";
import type { DriftReference } from "../scoring/drift.ts";
import type { Smoothing } from "../scoring/ladder.ts";
import type { Tail } from "../scoring/tail.ts";
import type { Input } from "./kind.ts";

/** Recent data of a device, raw units. Row-major (rows, channels); NaN = missing. */
export interface Recent {
  readonly values: Float32Array;
  readonly rows: number;
  readonly channels: number;
  /** (rows): classes, for kinds that learn from them. */
  readonly labels?: Uint8Array;
}

/** What a device learns about its own normal scores after a version is installed. Plain JSON: it is kept in the state folder. */
export interface Calibration {
  /** Usual size of every residual on held-back normal data, scaled units, before the floor. */
  readonly sigma: readonly number[];
  /** Mean and standard deviation of every channel of the training part, raw units: the scaler. */
  readonly scalerMean: readonly number[];
  readonly scalerSigma: readonly number[];
  /** What each rung of the smoothing usually reaches. */
  readonly levels: readonly number[];
  /** Rows over which the level of the residuals is followed, 0 where it is not; a calibration of before there was this: as the spec says. */
  readonly adaptRows?: number;
  /** Alarm level for the smoothed score. */
  readonly threshold: number;
  readonly basis: Level["basis"];
  /** Why the threshold is weaker than what was asked for, if it is. */
  readonly caution?: string;
  /** Rows per second that a budget was turned into a threshold with. */
  readonly rateHz?: number;
  /** How often a smoothed score is this high on held-back data, and their distribution, which live scores are compared with. */
  readonly tail: Tail;
  readonly drift: DriftReference;
  /** Held-back rows that it was computed from. */
  readonly rows: number;
}

/** How scores become alarms. */
export type AlarmLevel = FitLevelOptions & { readonly smooth: Smoothing };

export interface TrainOptions {
  readonly training: RoundTraining;
  /** The result is for this device alone and not for an average. */
  readonly personal?: boolean;
  /** The values of the data are no longer needed: they are scaled in place, which spares a copy of them. */
  readonly overwrite?: boolean;
  readonly seed: number;
  readonly signal?: AbortSignal;
  readonly onProgress?: (done: {
    readonly epoch: number;
    readonly epochs: number;
    readonly loss: number;
  }) => void;
}

export interface TrainResult {
  /** Windows trained on: the update's weight in the average. */
  readonly samples: number;
  /** Mean loss of the last epoch: in pretraining, of the pretext. */
  readonly loss: number;
  /** Loss of the weights before training, on the held-back part, in pretraining too at what the detector is for: one curve over all rounds. */
  readonly heldBackLoss: number;
}

/** Scores a stream, one row after the other. Same rows, same scores, streamed or in one batch. */
export interface StreamScorer {
  /** The smoothed score of one raw row (channels); NaN until the detector has seen enough rows to say something. No allocation. */
  push(row: Float32Array): number;
  /**
   * The probability, 1e-12..1, that a normal smoothed score is at least this high: uniform on data like the held-back ones, small where something is wrong. NaN
   * for NaN. No allocation.
   */
  probability(score: number): number;
  /** From here on, probabilities are by this tail: the scores' distribution was fitted anew. */
  setTail(tail: Tail): void;
  /** Terms of the last score before smoothing, one a channel where the kind has one a channel: a view, valid until the next push. */
  readonly contributions: Float32Array;
  /** Where the stream stands (hidden state, smoothing, last row), to go on after a restart. */
  state(): Float32Array;
  /** Throws CORRUPT where it is not a state of this detector. */
  restore(state: Float32Array): void;
  reset(): void;
}

/** One kind of the catalog with its preprocessing and its scoring rule, on one device. */
export interface Detector {
  readonly spec: DetectorSpec;
  /** Where rows stand alone (records, images) nothing is smoothed or tracked over them, and each that is over the threshold is an alarm. */
  readonly input: Input;
  readonly channels: number;
  readonly layout: Layout;
  weights(): Float32Array;
  setWeights(flat: Float32Array): void;
  /**
   * Trains on all but the held-back part; the weights afterwards are the trained ones. Series of several devices are each scaled by themselves, and those that are too
   * short left out; UNAVAILABLE where all are.
   */
  train(data: Recent | readonly Recent[], options: TrainOptions): Promise<TrainResult>;
  /** Mean loss of the present weights on the held-back parts. */
  heldBackLoss(data: Recent | readonly Recent[]): number;
  /**
   * What models of one device are compared by, less is better: the negative log-likelihood of its held-back rows, per channel and but for a constant of the kind. Of
   * squared residuals that is the mean over the channels of the log of their usual size, each channel in its own measure, as in the score: a mean of squares is
   * that of the few channels that are hard to forecast. UNAVAILABLE where there is too little data.
   */
  misfit(data: Recent): number;
  /** Scaler, sigma and threshold for the present weights. UNAVAILABLE where there is too little data. */
  calibrate(recent: Recent, alarm: AlarmLevel): Calibration;
  scorer(calibration: Calibration, smooth: Smoothing): StreamScorer;
  /** Of classifiers of single rows: rows as the network takes them (kinds that scale nothing: raw) -> (rows, classes), as `classMetrics` judges them. */
  probabilities?(values: Float32Array): Float32Array;
  /** Returns the engine's memory. */
  dispose(): void;
}
