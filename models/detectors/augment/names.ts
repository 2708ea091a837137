import type { AugmentSpec } from "../../../protocol/task.ts";

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
