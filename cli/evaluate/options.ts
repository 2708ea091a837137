import { z } from "zod";
import { arms } from "../../models/evaluation/arms.ts";
import { TaskSpec } from "../../protocol/task.ts";

const path = z.string().min(1, "give a path");

/** The window and the thresholds of VUS-PR that our tables and goals are stated with; TSB-AD takes 250 thresholds. */
const VUS = { window: 20, thresholds: 100 };

export const EvaluateOptions = z.strictObject({
  data: path,
  set: z.string().min(1).optional(),
  setTask: z.string().min(1).optional(),
  labelColumn: z.string().min(1).optional(),
  devices: z.array(z.string().min(1)).optional(),
  /** Names, or all; the task's own without it. */
  detectors: z.array(z.string()).min(1).optional(),
  /** `gru-forecaster.units=64` */
  options: z.array(z.string()).default([]),
  arms: z
    .array(z.enum(arms))
    .min(1)
    .default([...arms]),
  seeds: z.int().min(1).max(1000).default(5),
  jobs: z.int().min(1).max(64).default(1),
  vusWindow: z.int().min(0).max(10_000).default(VUS.window),
  vusThresholds: z.int().min(2).max(10_000).default(VUS.thresholds),
  /** A file with the network of layers-model. */
  topology: path.optional(),
  json: path.optional(),
  report: path.optional(),
  task: TaskSpec.prefault({}),
});
export type EvaluateOptions = z.infer<typeof EvaluateOptions>;
