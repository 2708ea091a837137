import { z } from "zod";
import { Calibration } from "../models/detectors/calibration.ts";
import type { AlarmLevel } from "../models/detectors/detector.ts";
import { PersonalLosses, personalModels } from "../protocol/messages.ts";
import type { DetectorSpec, RoundTraining, TaskSpec } from "../protocol/task.ts";

/** What the training thread works on: a version and the device's recent data (raw units), both handed over for good. */
interface Work {
  readonly id: number;
  readonly detector: DetectorSpec;
  /** LayersModel JSON of the version's frame. */
  readonly topology: string;
  readonly statistics: Uint8Array | null;
  readonly weights: Float32Array;
  readonly recent: { readonly values: Float32Array; readonly rows: number; readonly channels: number };
}

/** To the thread. Made by our own typed code in the same process, so it is not parsed there: zod would cost the thread megabytes. */
export type Job =
  | (Work & { readonly kind: "train"; readonly training: RoundTraining; readonly seed: number })
  | (Work & AlarmLevel & { readonly kind: "calibrate" })
  | (Work &
      AlarmLevel & {
        readonly kind: "personalize";
        readonly task: Pick<TaskSpec, "training" | "rounds" | "pretrain">;
        readonly seed: number;
      });

export type TrainWork = Omit<Extract<Job, { kind: "train" }>, "id" | "kind">;
export type CalibrateWork = Omit<Extract<Job, { kind: "calibrate" }>, "id" | "kind">;
export type PersonalizeWork = Omit<Extract<Job, { kind: "personalize" }>, "id" | "kind">;

export const Trained = z.object({
  kind: z.literal("trained"),
  id: z.number(),
  /** The weights after training. */
  weights: z.instanceof(Float32Array),
  samples: z.number(),
  loss: z.number(),
  heldBackLoss: z.number(),
  trainMs: z.number(),
});
export type Trained = z.infer<typeof Trained>;

export const Personalized = z.object({
  kind: z.literal("personalized"),
  id: z.number(),
  model: z.enum(personalModels),
  losses: PersonalLosses.nullable(),
  /** The better model, ready to score; null where the fleet's is the best. */
  made: z.object({ weights: z.instanceof(Float32Array), calibration: Calibration }).nullable(),
});
export type Personalized = z.infer<typeof Personalized>;

/** From the thread. */
export const JobAnswer = z.discriminatedUnion("kind", [
  Trained,
  Personalized,
  z.object({ kind: z.literal("calibrated"), id: z.number(), calibration: Calibration }),
  z.object({ kind: z.literal("failed"), id: z.number(), code: z.string(), message: z.string() }),
]);
export type JobAnswer = z.infer<typeof JobAnswer>;
