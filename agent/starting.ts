import type { Detector } from "../models/detectors/detector.ts";
import { openDetector } from "../models/detectors/open.ts";
import type { DeviceChannels } from "../protocol/device-channels.ts";
import { asFleetError, FleetError } from "../protocol/errors.ts";
import { sameLayout } from "../protocol/frame.ts";
import type { Checkpoint } from "./checkpoint.ts";
import type { Log } from "./log.ts";
import { type RecentData, ringData } from "./recent-data.ts";
import type { Source } from "./source.ts";
import type { StateFolder } from "./state.ts";
import { checkChannels, type Versions } from "./versions.ts";

/** Where an agent begins: where its checkpoint says, or at row 0 where there is none or it was made for other data. */
export function startingPoint(
  checkpoint: Checkpoint | undefined,
  { source, nowMs }: { readonly source: Pick<Source, "key">; readonly nowMs: number },
): Checkpoint {
  if (checkpoint?.source === source.key) return checkpoint;
  return {
    form: 1,
    source: source.key,
    startedMs: nowMs,
    row: 0,
    scored: 0,
    installed: checkpoint?.installed ?? null,
    scorer: null,
    alarm: null,
    watch: null,
    onset: null,
    raised: checkpoint?.raised ?? [],
  };
}

/** The window with what came before the first row to be read: from the state folder where the source can't be read again, else from the source. */
export async function openRecent(options: {
  readonly source: Pick<Source, "key" | "before" | "channels" | "seekable">;
  readonly checkpoint: Pick<Checkpoint, "source"> | undefined;
  readonly row: number;
  readonly capacity: number;
  readonly state: Pick<StateFolder, "readRecent">;
  readonly log: Log;
}): Promise<RecentData> {
  const { source, checkpoint, row, capacity, state, log } = options;
  const { channels } = source;
  const kept = source.seekable ? undefined : await state.readRecent();
  // Rows that were prepared in another way mean something else.
  const same = checkpoint === undefined || checkpoint.source === source.key;
  if (kept?.channels === channels && same) {
    const recent = ringData({ channels, capacity });
    recent.fill(kept.values);
    return recent;
  }
  if (kept !== undefined)
    log.warn(
      { before: kept.channels, now: channels },
      same
        ? "the recent data on disk have another number of channels; the agent starts without them"
        : "the recent data on disk are of another source or other kinds of columns; the agent starts without them",
    );
  return source.before(row, capacity);
}

/** The detector that scored before the restart. Undefined where there was none, or where it can't be had again: then it is fetched anew. */
export async function restoreDetector(
  { installed }: Checkpoint,
  options: DeviceChannels & { readonly versions: Versions; readonly log: Log },
): Promise<Detector | undefined> {
  if (installed === null) return undefined;
  const { versions, channels, log } = options;
  const { sha256, number, detector: spec, personal } = installed;
  let detector: Detector | undefined;
  try {
    const frame = await versions.read(sha256);
    if (frame === undefined) throw new FleetError("NOT_FOUND", "its file is not there");
    checkChannels(frame, options);
    const { topology, statistics, layout } = frame.header;
    detector = await openDetector({ spec, topology, statistics, channels, seed: 0, maxBatch: 1 });
    if (!sameLayout(detector.layout, layout))
      throw new FleetError("BAD_SHAPE", "its weights are not for its network");
    const own = personal?.weights ?? null;
    const weights = own === null ? frame.weights : await versions.readPersonal(sha256, own);
    if (weights === undefined) throw new FleetError("NOT_FOUND", "the device's own model of it is not there");
    detector.setWeights(weights);
    return detector;
  } catch (error) {
    detector?.dispose();
    const { code, message } = asFleetError(error, "CORRUPT");
    log.warn(
      { code, version: number, sha256 },
      `version ${number} can't be restored, it is installed again: ${message}`,
    );
    return undefined;
  }
}
