import { FleetError } from "../../protocol/errors.ts";
import type { AugmentSpec, RoundTraining } from "../../protocol/task.ts";
import { createRandom } from "../engine/random.ts";
import type { ImageShape } from "./image-shape.ts";

/** Stream of the seed that changes are drawn from; the engine and hidden rows have lower ones. */
const CHANGE_STREAM = 2 ** 22;

export type AugmentName = Exclude<keyof AugmentSpec, "maskRows">;

/** Of samples that are rows of a series, and of those of which each is one record or image. */
export const seriesAugments = [
  "jitter",
  "scaling",
  "masking",
  "warp",
  "permutation",
  "mixup",
] as const satisfies readonly AugmentName[];

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

/** Whether any augmentation is on. */
export function augmentsOf({ augment }: Pick<RoundTraining, "augment">): readonly AugmentName[] {
  return seriesAugments.filter((name) => (augment?.[name] ?? 0) > (name === "permutation" ? 1 : 0));
}

/** What a fit does to its samples: nothing, unless its training says so; only then is the code loaded. The same seed gives the same draws. */
export async function changeFor(
  { training, seed }: { readonly training: RoundTraining; readonly seed: number },
  options: ChangeOptions,
): Promise<Change | undefined> {
  const on = augmentsOf(training);
  if (on.length === 0 && !options.pretext) return undefined;
  const inTime = on.find((name) => name === "warp" || name === "permutation");
  if (options.rows < 2 && inTime)
    throw new FleetError(
      "BAD_INPUT",
      `rows that stand alone have no time to change; leave ${inTime} out of training.augment`,
    );
  const { openChanges } = await import("./augment/changes.ts");
  return openChanges(createRandom(seed, CHANGE_STREAM), training.augment ?? {}, options);
}
