import { FleetError } from "../../protocol/errors.ts";
import type { RoundTraining } from "../../protocol/task.ts";
import { createRandom } from "../engine/random.ts";
import type { Change, ChangeOptions } from "./augment/change.ts";
import { type AugmentName, seriesAugments } from "./augment/names.ts";

/** Stream of the seed that changes are drawn from; the engine and hidden rows have lower ones. */
const CHANGE_STREAM = 2 ** 22;

/** The augmentations that are on. */
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
