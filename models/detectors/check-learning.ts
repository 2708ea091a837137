import { FleetError } from "../../protocol/errors.ts";
import type { Pretext, TrainingSpec } from "../../protocol/task.ts";
import { augmentsOf } from "./augmentation.ts";
import type { DetectorKind } from "./kind.ts";

/** Throws BAD_INPUT for an augmentation or a pretext that the kind can't use. */
export function checkLearning(
  name: string,
  { learns, augments = [], pretexts = [] }: DetectorKind,
  {
    training,
    pretext,
  }: { readonly training: Pick<TrainingSpec, "augment">; readonly pretext?: Pretext | undefined },
): void {
  const wrong = augmentsOf(training).find((one) => !augments.includes(one));
  if (learns === "by sums" && (wrong !== undefined || pretext !== undefined))
    throw new FleetError(
      "BAD_INPUT",
      `${name} learns by sums, exactly; leave ${wrong === undefined ? "pretrain" : "training.augment"} out`,
    );
  if (wrong !== undefined)
    throw new FleetError(
      "BAD_INPUT",
      `${name} can't learn from samples changed by ${wrong}; leave it out of training.augment, which ${listed(augments)}`,
    );
  if (pretext !== undefined && !pretexts.includes(pretext))
    throw new FleetError(
      "BAD_INPUT",
      `${name} can't be pretrained by ${pretext}; pretrain ${listed(pretexts)}`,
    );
}

function listed(names: readonly string[]): string {
  return names.length === 0 ? "can hold nothing for it" : `can hold ${names.join(", ")}`;
}
