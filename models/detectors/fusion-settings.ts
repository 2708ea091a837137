import { z } from "zod";
import { firstIssue } from "../../protocol/codec.ts";
import { FleetError } from "../../protocol/errors.ts";
import { nearest } from "../../protocol/nearest.ts";
import { AlarmSpec } from "../../protocol/task.ts";
import { fusionRules } from "../scoring/fusion.ts";

/** The detectors' own scores are smoothed; what is fused of them is not smoothed again. */
const { smooth: _, ...alarm } = AlarmSpec.shape;

export const FusionSettings = z.strictObject({
  /** `fisher`: all modalities together; `max`: the most alarmed one. */
  rule: z.enum(fusionRules).default("fisher"),
  /**
   * By modality: for how many rows after its own a probability counts on, for one that comes at a slower rate. A picture every tenth row is held for 9. Without it,
   * the modality is missing in between.
   */
  hold: z.record(z.string(), z.int().nonnegative().max(1_000_000)).readonly().default({}),
  alarm: z
    .strictObject(alarm)
    .refine(({ k, n }) => k <= n, { path: ["k"], message: "k of the last n rows can't be with k over n" })
    .prefault({}),
});
export type FusionSettings = z.infer<typeof FusionSettings>;
/** Everything has a default. */
export type FusionOptions = z.input<typeof FusionSettings>;

/** Throws BAD_INPUT for a setting that can't be, and for a modality to hold that is not there. */
export function fusionSettings(options: FusionOptions, modalities: readonly string[]): FusionSettings {
  const parsed = FusionSettings.safeParse(options);
  if (!parsed.success)
    throw new FleetError("BAD_INPUT", `a fusion's setting is refused: ${firstIssue(parsed.error)}`);
  for (const name of Object.keys(parsed.data.hold)) knownModality(name, modalities);
  return parsed.data;
}

/** Throws BAD_INPUT with the nearest name for one that is not there. */
export function knownModality(name: string, modalities: readonly string[]): void {
  if (modalities.includes(name)) return;
  const near = nearest(name, modalities);
  const hint = near === undefined ? `known are ${modalities.join(", ")}` : `did you mean "${near}"?`;
  throw new FleetError("BAD_INPUT", `the fusion has no modality "${name}": ${hint}`);
}
