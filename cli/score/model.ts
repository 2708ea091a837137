import { readFile, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { type Installed, parseCheckpoint } from "../../agent/checkpoint.ts";
import { detectorNames } from "../../models/detectors/catalog.ts";
import type { Calibration } from "../../models/detectors/detector.ts";
import { decodeDetector } from "../../models/detectors/detector-file.ts";
import { specsOf } from "../../models/detectors/detector-settings.ts";
import type { PreparedChannels } from "../../protocol/device-channels.ts";
import { asFleetError, FleetError } from "../../protocol/errors.ts";
import { decodeFrame, type Layout } from "../../protocol/frame.ts";
import { sha256 } from "../../protocol/hash.ts";
import { AlarmSpec, DetectorSpec, type TaskSpec } from "../../protocol/task.ts";

/** A trained detector from disk. */
export interface Model {
  readonly spec: DetectorSpec;
  readonly alarm: AlarmSpec;
  readonly topology: string;
  readonly statistics: Uint8Array | null;
  readonly layout: Layout;
  /** What the rows that a version is for are made of; null where nobody knows, in a detector's own file. */
  readonly prepared: PreparedChannels | undefined | null;
  readonly weights: Float32Array;
  /** Where an agent has learned what is normal on its device. */
  readonly calibration: Calibration | undefined;
}

/**
 * Reads an agent's state folder, a version in one, a version alone as a coordinator keeps it, or a detector's own file (models/detectors/detector-file.ts). A version alone says nothing of its task: what
 * `task` does not say is read from the network. Throws BAD_INPUT for anything else.
 */
export async function loadModel(path: string, task: TaskSpec | undefined): Promise<Model> {
  const is = await stat(path).catch((cause: NodeJS.ErrnoException) => {
    throw bad(path, `can't be opened (${cause.code}); check the path`, cause);
  });
  if (is.isDirectory()) {
    const installed = await installedIn(path);
    if (installed === undefined)
      throw bad(path, "has no checkpoint.json; give an agent's state folder or a version's file");
    if (installed === null)
      throw bad(path, "is of an agent that has no version yet; let it join a round first");
    return agentModel(path, installed);
  }
  const folder = dirname(path);
  const installed = basename(folder) === "versions" ? await installedIn(dirname(folder)) : undefined;
  if (task === undefined && installed && basename(path).startsWith(installed.sha256))
    return agentModel(dirname(folder), installed);
  const bytes = await readFile(path);
  if (bytes.subarray(0, 3).toString("latin1") === "SDF") return savedModel(path, bytes);
  const network = versionOf(path, bytes);
  return {
    ...network,
    spec: task?.detector ?? specOf(network.topology, path),
    alarm: task?.alarm ?? AlarmSpec.parse({}),
    calibration: undefined,
  };
}

async function agentModel(folder: string, installed: Installed): Promise<Model> {
  const { sha256: hash, detector: spec, alarm, calibration } = installed;
  const file = join(folder, "versions", `${hash}.frame`);
  const bytes = await readFile(file).catch((cause: NodeJS.ErrnoException) => {
    throw bad(file, `can't be opened (${cause.code}); the agent fetches it again when it starts`, cause);
  });
  if (sha256(bytes) !== hash) throw bad(file, "is damaged; the agent fetches it again when it starts");
  return { ...versionOf(file, bytes), spec, alarm, calibration };
}

function savedModel(path: string, bytes: Uint8Array): Model {
  try {
    const { name, settings, calibration, topology, layout, weights } = decodeDetector(bytes);
    const { spec } = specsOf(name, settings);
    return {
      spec,
      alarm: settings.alarm,
      calibration,
      topology,
      layout,
      weights,
      statistics: null,
      prepared: null,
    };
  } catch (cause) {
    throw bad(path, asFleetError(cause, "BAD_INPUT").message, cause);
  }
}

/** undefined: no agent's folder; null: nothing is installed. */
async function installedIn(folder: string): Promise<Installed | null | undefined> {
  const path = join(folder, "checkpoint.json");
  const bytes = await readFile(path).catch(() => undefined);
  if (bytes === undefined) return undefined;
  try {
    return parseCheckpoint(bytes).installed;
  } catch (cause) {
    throw bad(path, asFleetError(cause, "CORRUPT").message, cause);
  }
}

function versionOf(
  path: string,
  bytes: Uint8Array,
): Pick<Model, "topology" | "statistics" | "layout" | "weights" | "prepared"> {
  try {
    // Decoded from bytes of its own: floats must lie at multiples of four.
    const { header, weights } = decodeFrame(new Uint8Array(bytes));
    if (header.kind !== "version")
      throw new FleetError("BAD_INPUT", "this is a device's update and no version");
    const { topology, statistics, layout, prepared } = header;
    return { topology, statistics, layout, weights, prepared };
  } catch (cause) {
    throw bad(path, asFleetError(cause, "BAD_INPUT").message, cause);
  }
}

/** Networks carry the name of their detector, and the window in the shape of their input. */
function specOf(topology: string, path: string): DetectorSpec {
  const { config } = JSON.parse(topology) as {
    config?: { name?: string; layers?: { config?: { batch_input_shape?: (number | null)[] } }[] };
  };
  const name = detectorNames.find((one) => one.replaceAll("-", "_") === config?.name);
  if (name === undefined)
    throw bad(path, "does not say which detector it is of; give its task as --config task.yaml");
  const [, window, channels] = config?.layers?.[0]?.config?.batch_input_shape ?? [];
  return DetectorSpec.parse({ name, ...(channels !== undefined && window && { window }) });
}

function bad(path: string, what: string, cause?: unknown): FleetError {
  return new FleetError("BAD_INPUT", `${path}: ${what}`, { cause });
}
