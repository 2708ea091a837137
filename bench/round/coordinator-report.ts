import { z } from "zod";
import { TaskSpec } from "../../protocol/task.ts";

/** What the benchmark and its coordinator's process say to each other: coordinator-process.ts. */
export const CoordinatorProcessOptions = z.object({
  stateDir: z.string(),
  task: TaskSpec,
  devices: z.array(z.string()),
  /** The join strings of all devices go there, in their order: they are secrets, so not through stdout. */
  joinsFile: z.string(),
});
export type CoordinatorProcessOptions = z.input<typeof CoordinatorProcessOptions>;

export const Ready = z.object({ ready: z.literal(true), mqtt: z.string(), http: z.string() });
export type Ready = z.infer<typeof Ready>;

/** All counts are since the start of the process. */
export const Closed = z.object({
  phase: z.enum(["closed", "aborted"]),
  receivedBytes: z.number(),
  sentBytes: z.number(),
  /** User and system. */
  cpuMs: z.number(),
});
export type Closed = z.infer<typeof Closed>;
