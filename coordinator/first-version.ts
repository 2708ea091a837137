import { z } from "zod";
import { blueprintFor } from "../models/detectors/catalog.ts";
import { openDetector } from "../models/detectors/open.ts";
import { type DeviceChannels, PreparedChannels } from "../protocol/device-channels.ts";
import { FleetError } from "../protocol/errors.ts";
import { encodeFrame, type VersionHeader } from "../protocol/frame.ts";
import { DetectorSpec, pretexts, type TaskSpec } from "../protocol/task.ts";
import type { Journal } from "./journal.ts";

/** What may not change once a task has a version: devices and their weights depend on it. */
const Fixed = z.object({
  detector: DetectorSpec,
  channels: z.number(),
  /** Where columns of several kinds are prepared. */
  prepared: PreparedChannels.exactOptional(),
  /** The network may have a head for it. */
  pretext: z.enum(pretexts).optional(),
});
export type Fixed = z.infer<typeof Fixed>;

const cell = (task: string) => `task/${task}`;

/** The task as it was begun, or undefined. Throws BAD_INPUT where it was begun with another detector. */
export async function loadFixed(journal: Journal, task: TaskSpec): Promise<Fixed | undefined> {
  const found = await journal.get(cell(task.id));
  if (found === undefined) return undefined;
  const fixed = Fixed.parse(found.value);
  if (JSON.stringify(fixed.detector) !== JSON.stringify(task.detector)) {
    throw new FleetError(
      "BAD_INPUT",
      `task "${task.id}" was begun with another detector (${fixed.detector.name}): give the new one another task id, or start with an empty --state folder`,
    );
  }
  if (fixed.pretext !== task.pretrain?.objective)
    throw new FleetError(
      "BAD_INPUT",
      `task "${task.id}" was begun ${fixed.pretext === undefined ? "without pretraining" : `with pretraining by ${fixed.pretext}`}: give the new one another task id, or start with an empty --state folder`,
    );
  return fixed;
}

export async function saveFixed(
  journal: Journal,
  task: TaskSpec,
  { channels, prepared }: DeviceChannels,
): Promise<Fixed> {
  const pretext = task.pretrain?.objective;
  const fixed = {
    detector: task.detector,
    channels,
    ...(prepared && { prepared }),
    ...(pretext !== undefined && { pretext }),
  };
  await journal.write([{ kind: "put", cell: cell(task.id), value: fixed }]);
  return fixed;
}

/** Version 1: seeded random weights, and the scaler that the fleet agreed on. The same inputs give the same bytes. */
export async function makeFirstVersion(
  task: TaskSpec,
  { channels, prepared }: DeviceChannels,
  statistics: Uint8Array | null,
): Promise<Uint8Array> {
  const topology = JSON.stringify(await blueprintFor(task.detector, channels, task.pretrain?.objective));
  const detector = await openDetector({
    spec: task.detector,
    topology,
    channels,
    seed: task.seed,
    statistics,
    maxBatch: 1,
  });
  const layout = [...detector.layout].map(({ name, shape }) => ({ name, shape: [...shape] }));
  const frame = encodeFrame<VersionHeader>(
    { kind: "version", layout, topology, statistics, ...(prepared && { prepared }) },
    detector.weights(),
  );
  detector.dispose();
  return frame;
}

/** The channels that most of these devices have: the others can't take part and are told so. Where as many have others, the fewest. */
export function commonChannels(births: readonly DeviceChannels[]): DeviceChannels {
  const votes = new Map<string, { readonly of: DeviceChannels; count: number }>();
  for (const of of births) {
    const key = JSON.stringify([of.channels, of.prepared?.kinds, of.prepared?.names]);
    const vote = votes.get(key) ?? { of, count: 0 };
    vote.count += 1;
    votes.set(key, vote);
  }
  return [...votes.values()].sort((a, b) => b.count - a.count || a.of.channels - b.of.channels)[0]!.of;
}
