import type { Layout } from "../../protocol/frame.ts";
import type { DetectorSpec, TrainingSpec } from "../../protocol/task.ts";

/** The recent data of a device, raw units. Row-major (rows, channels); NaN = missing. */
export interface Recent {
  readonly values: Float32Array;
  readonly rows: number;
  readonly channels: number;
}

/** What a device learns about its own normal scores after a version is installed. Plain JSON: it is kept in the state folder. */
export interface Calibration {
  /** Standard deviation of the residual of every channel on held-back normal data, scaled units, floored. */
  readonly sigma: readonly number[];
  /** Mean and standard deviation of every channel of the training part, raw units: the scaler. */
  readonly scalerMean: readonly number[];
  readonly scalerSigma: readonly number[];
  /** Alarm level for the smoothed score. */
  readonly threshold: number;
  /** Held-back rows that it was computed from. */
  readonly rows: number;
}

export interface TrainOptions {
  readonly training: TrainingSpec;
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
  /** Mean loss of the last epoch. */
  readonly loss: number;
  /** Loss of the weights before training, on the held-back part. */
  readonly heldBackLoss: number;
}

/** Scores a stream, one row after the other. Same rows, same scores, streamed or in one batch. */
export interface StreamScorer {
  /** The smoothed score of one raw row (channels); NaN until the detector has seen enough rows to say something. No allocation. */
  push(row: Float32Array): number;
  /** Per-channel terms of the last score before smoothing (channels): a view, valid until the next push. */
  readonly contributions: Float32Array;
  /** Where the stream stands (hidden state, smoothing, last row), to go on after a restart. */
  state(): Float32Array;
  restore(state: Float32Array): void;
  reset(): void;
}

/** A network with its preprocessing and its scoring rule, on one device. */
export interface Detector {
  readonly spec: DetectorSpec;
  readonly channels: number;
  readonly layout: Layout;
  weights(): Float32Array;
  setWeights(flat: Float32Array): void;
  /** Trains on all but the held-back part of `recent`; the weights afterwards are the trained ones. UNAVAILABLE where there is too little data. */
  train(recent: Recent, options: TrainOptions): Promise<TrainResult>;
  /** Scaler, sigma and threshold for the present weights. UNAVAILABLE where there is too little data. */
  calibrate(recent: Recent, alarm: { readonly quantile: number; readonly smooth: number }): Calibration;
  scorer(calibration: Calibration, smooth: number): StreamScorer;
  /** Returns the engine's memory. */
  dispose(): void;
}
