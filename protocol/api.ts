import { z } from "zod";
import { DeviceId, Sha256, TaskId } from "./ids.ts";
import { Alert, Birth, Heartbeat, Running } from "./messages.ts";
import { TaskSpec } from "./task.ts";

/** What the coordinator's HTTP interface and live feed say. Times are milliseconds since 1970. */

export const DeviceView = z.object({
  device: DeviceId,
  online: z.boolean(),
  enrolledMs: z.number(),
  lastSeenMs: z.number().nullable(),
  birth: Birth.omit({ kind: true }).nullable(),
  heartbeat: Heartbeat.omit({ kind: true }).nullable(),
  running: Running.nullable(),
  alerts: z.int(),
  /** Messages and updates of this device that were refused, by code. */
  refused: z.record(z.string(), z.int()),
  /** Why the device can't take part, where it can't. */
  problem: z.string().exactOptional(),
});
export type DeviceView = z.infer<typeof DeviceView>;

export const RoundPhase = z.enum(["collecting", "aggregating", "publishing", "closed", "aborted"]);
export type RoundPhase = z.infer<typeof RoundPhase>;

export const RoundView = z.object({
  task: TaskId,
  round: z.int(),
  phase: RoundPhase,
  base: Sha256,
  openedMs: z.number(),
  closedMs: z.number().nullable(),
  invited: z.array(DeviceId),
  accepted: z.array(DeviceId),
  declined: z.array(z.object({ device: DeviceId, code: z.string() })),
  /** Devices whose update came after the round had closed. */
  late: z.array(DeviceId),
  /** Mean of the accepted updates' losses, weighted by samples. */
  loss: z.number().nullable(),
  heldBackLoss: z.number().nullable(),
  samples: z.int(),
  /** Sum of the accepted updates' training times, and time spent in the average, milliseconds. */
  trainMs: z.number(),
  aggregateMs: z.number().nullable(),
  version: Running.nullable(),
  reason: z.string().nullable(),
});
export type RoundView = z.infer<typeof RoundView>;

export const VersionView = z.object({
  task: TaskId,
  number: z.int(),
  sha256: Sha256,
  base: Sha256.nullable(),
  round: z.int(),
  createdMs: z.number(),
  bytes: z.int(),
  /** Devices that run it now. */
  installed: z.array(DeviceId),
});
export type VersionView = z.infer<typeof VersionView>;

export const AlertView = Alert.omit({ kind: true }).extend({
  device: DeviceId,
  /** When the coordinator stored it, and its place in the journal. */
  receivedMs: z.number(),
  seq: z.int(),
});
export type AlertView = z.infer<typeof AlertView>;

export const TaskView = z.object({
  task: TaskSpec,
  phase: z.enum(["waiting", "statistics", "training", "serving"]),
  version: Running.nullable(),
  roundsDone: z.int(),
  /** Devices whose scores have drifted away from their calibration, and those of them that are due for retraining. */
  drifting: z.int().default(0),
  retrainDue: z.int().default(0),
});
export type TaskView = z.infer<typeof TaskView>;

/** The live feed: each name is a socket.io event. */
export interface LiveEvents {
  device: (view: DeviceView) => void;
  round: (view: RoundView) => void;
  version: (view: VersionView) => void;
  alert: (view: AlertView) => void;
  task: (view: TaskView) => void;
}
export type LiveName = keyof LiveEvents;
export type LiveEvent = {
  [N in LiveName]: { readonly name: N; readonly view: Parameters<LiveEvents[N]>[0] };
}[LiveName];
