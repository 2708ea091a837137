import type { ImageShape } from "../image-shape.ts";

export interface ChangeOptions {
  /** Of a sample, its target's included. */
  readonly rows: number;
  readonly channels: number;
  /** Samples are images: what is hidden is a square. */
  readonly image?: ImageShape;
  /**
   * The target is foretold by the rows before it: hidden values look as a gap does, for a forecaster's forecast begins with what it saw, and rows that have another past than
   * their own are no target. Else hidden values are 0.
   */
  readonly forecasts?: boolean;
  /** A round of pretraining by hidden values: the target of a forecaster is all of it, of others what was hidden. */
  readonly pretext?: boolean;
}

/** Views that hold until the next sample. */
export interface Changed {
  /** (rows, channels): what the input is made of, and the target. NaN in the target counts nothing. */
  readonly seen: Float32Array;
  readonly wanted: Float32Array;
  /** The sample that this one was mixed with, and its own part; 1 where it was not. */
  readonly other: number;
  readonly own: number;
}

/** Draws sample `index` of `count` anew: every call is another draw. */
export type Change = (index: number, count: number, rowsOf: (index: number) => Float32Array) => Changed;
