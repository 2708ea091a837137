import { z } from "zod";
import { AlarmSpec, TaskSpec } from "../../protocol/task.ts";
import { json, port } from "../commands/common.ts";

/** Devices of the built-in plant. */
export const plantStations = 6;

/** What `starling demo` can be told. */
export const DemoOptions = z.strictObject({
  data: z.string().min(1, "give the path of a folder").optional(),
  devices: z.int().min(1).max(256).optional(),
  rounds: TaskSpec.shape.rounds,
  detector: TaskSpec.shape.detector.unwrap().shape.name,
  topology: z.string().min(1, "give the path of a file").optional(),
  scaling: TaskSpec.shape.detector.unwrap().shape.scaling,
  alarmBudget: AlarmSpec.shape.budget,
  personal: z.boolean().default(false),
  seed: TaskSpec.shape.seed,
  rate: z.number().positive().optional(),
  mqttPort: port.default(0),
  httpPort: port.default(0),
  timeoutMs: z
    .int()
    .positive()
    .default(15 * 60_000),
  headless: z.boolean().default(false),
  keep: z.boolean().default(false),
  json,
});
export type DemoOptions = z.output<typeof DemoOptions>;
