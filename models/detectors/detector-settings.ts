import { z } from "zod";
import { firstIssue } from "../../protocol/codec.ts";
import { FleetError } from "../../protocol/errors.ts";
import { nearest } from "../../protocol/nearest.ts";
import { AlarmSpec, DetectorSpec, pretexts, TaskSpec, TrainingSpec } from "../../protocol/task.ts";
import { type DetectorName, detectorNames } from "./catalog.ts";

const task = TaskSpec.parse({});

/** As many epochs as the rounds of a fleet's task make in all. */
export const DEFAULT_FIT_EPOCHS = task.rounds * task.training.epochs;

/**
 * What a detector by itself can be told: a task's detector and training settings, side by side, and its alarm. Scaling over a fleet and the proximal term have no
 * meaning without a fleet.
 */
export const DetectorSettings = z.strictObject({
  ...DetectorSpec.omit({ name: true, scaling: true }).shape,
  ...TrainingSpec.omit({ mu: true }).shape,
  epochs: TrainingSpec.shape.epochs.unwrap().default(DEFAULT_FIT_EPOCHS),
  /** The first so many of the epochs of a fit, and not of what `partialFit` adds, teach the pretext. */
  pretrain: z.strictObject({ epochs: z.int().positive(), objective: z.enum(pretexts) }).exactOptional(),
  alarm: AlarmSpec.prefault({}),
  /** The same seed and rows give the same weights to the bit. */
  seed: TaskSpec.shape.seed,
});
export type DetectorSettings = z.infer<typeof DetectorSettings>;
/** Everything has a default. */
export type DetectorOptions = z.input<typeof DetectorSettings>;

/** Throws BAD_INPUT with the nearest name for a setting that is not there. */
export function detectorSettings(options: DetectorOptions): DetectorSettings {
  const parsed = DetectorSettings.safeParse(options);
  if (parsed.success) {
    const { pretrain, epochs } = parsed.data;
    if (pretrain !== undefined && pretrain.epochs >= epochs)
      throw new FleetError(
        "BAD_INPUT",
        `${pretrain.epochs} of ${epochs} epochs are for pretraining; leave some for the detector itself`,
      );
    return parsed.data;
  }
  const issue = parsed.error.issues[0]!;
  if (issue.code !== "unrecognized_keys")
    throw new FleetError("BAD_INPUT", `a detector's setting is refused: ${firstIssue(parsed.error)}`);
  const known =
    issue.path[0] === "alarm" ? Object.keys(AlarmSpec.shape) : Object.keys(DetectorSettings.shape);
  const near = nearest(issue.keys[0]!, known);
  const hint = near === undefined ? `known are ${known.join(", ")}` : `did you mean "${near}"?`;
  throw new FleetError(
    "BAD_INPUT",
    `a detector has no setting "${[...issue.path, issue.keys[0]].join(".")}": ${hint}`,
  );
}

/** Throws BAD_INPUT with the nearest name for a detector that is not in the catalog. */
export function knownDetector(name: string): DetectorName {
  const found = detectorNames.find((known) => known === name);
  if (found !== undefined) return found;
  const near = nearest(name, detectorNames);
  const hint = near === undefined ? `known are ${detectorNames.join(", ")}` : `did you mean "${near}"?`;
  throw new FleetError("BAD_INPUT", `there is no detector "${name}": ${hint}`);
}

/** The settings in the two forms in which the pipeline takes them. */
export function specsOf(
  name: DetectorName,
  settings: DetectorSettings,
): { spec: DetectorSpec; training: TrainingSpec } {
  // Each takes what is its own.
  return {
    spec: z.object(DetectorSpec.shape).parse({ ...settings, name }),
    training: z.object(TrainingSpec.shape).parse(settings),
  };
}
