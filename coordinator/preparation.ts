import { checkSketchedChannels } from "../models/data/fleet-quantiles.ts";
import { blueprintFor, checkFleetSpec, kindOf } from "../models/detectors/catalog.ts";
import { checkLearning } from "../models/detectors/check-learning.ts";
import type { Statistics } from "../protocol/messages.ts";
import type { TaskSpec } from "../protocol/task.ts";
import { commonChannels, loadFixed, makeFirstVersion, saveFixed } from "./first-version.ts";
import type { Fleet } from "./fleet.ts";
import { type Gathering, gatheringIsDone, mergeAnswers, openGathering, takeStatistics } from "./gathering.ts";
import type { Journal } from "./journal.ts";
import type { Log } from "./log.ts";
import type { Messenger } from "./messenger.ts";
import type { Registry } from "./registry.ts";

export interface PreparationOptions {
  readonly task: TaskSpec;
  readonly journal: Journal;
  readonly registry: Registry;
  readonly fleet: Fleet;
  readonly messenger: Messenger;
  readonly log: Log;
  readonly now: () => number;
}

/** Before round one: enough devices, the channels that they share, where scaling is federated their statistics, then version 1. */
export interface Preparation {
  readonly gathering: boolean;
  /** The task's channels, once they are known. */
  readonly channels: number | undefined;
  /** Does what can be done now. True when version 1 has just been made. */
  advance(): Promise<boolean>;
  /** The device has come online: what it has missed is said again, and whether its channels fit. */
  born(device: string): void;
  /** Throws as takeStatistics does. */
  answer(device: string, statistics: Statistics): void;
}

/** Throws BAD_INPUT where the task's detector can't be, or the task was begun with another one. */
export async function openPreparation(options: PreparationOptions): Promise<Preparation> {
  const { task, journal, registry, fleet, messenger, log, now } = options;
  await checkFleetSpec(task.detector);
  checkLearning(task.detector.name, await kindOf(task.detector.name), {
    training: task.training,
    pretext: task.pretrain?.objective,
  });
  let fixed = await loadFixed(journal, task);
  let gathering: Gathering | undefined;

  const refuseOthers = (device: string) => {
    const channels = fleet.view(device)?.birth?.channels;
    if (fixed === undefined || channels === undefined || channels === fixed.channels) return;
    fleet.refused(device, "BAD_SHAPE");
    log.warn(
      { device, channels, expected: fixed.channels },
      "the device has other channels than the task and can't take part",
    );
  };

  const ask = (devices: readonly string[], fleet?: Uint8Array) => {
    gathering = openGathering(devices, now() + task.round.deadlineMs, fleet);
    for (const device of devices) messenger.askStatistics(device, gathering.nonce, fleet);
  };

  /** True once everything that version 1 needs is there. */
  const isReady = async (): Promise<boolean> => {
    if (gathering !== undefined) {
      if (gathering.answers.size === 0 && now() >= gathering.deadlineMs)
        gathering = undefined; // nobody is left: ask anew
      else if (!gatheringIsDone(gathering, now())) return false;
      else if (task.detector.scaling !== "quantile" || gathering.fleet) return true;
      else {
        // The second question, to those who have answered the first.
        ask([...gathering.answers.keys()], mergeAnswers(gathering));
        return false;
      }
    }
    const births = fleet
      .views()
      .flatMap(({ online, birth }) => (online && birth !== null ? [birth.channels] : []));
    if (births.length < task.minDevices) return false;
    const channels = fixed?.channels ?? commonChannels(births);
    const ready = fleet.online(channels);
    if (ready.length < task.minDevices) return false;
    // Before the task is bound to it: a detector that can't take these channels must not stay with the task.
    await blueprintFor(task.detector, channels, task.pretrain?.objective);
    if (task.detector.scaling === "quantile") checkSketchedChannels(channels);
    fixed = await saveFixed(journal, task, channels);
    for (const device of fleet.online()) refuseOthers(device);
    if (task.detector.scaling === "local") return true;
    ask(ready);
    return false;
  };

  return {
    get gathering() {
      return gathering !== undefined;
    },
    get channels() {
      return fixed?.channels;
    },
    async advance() {
      if (registry.latest() !== undefined || !(await isReady())) return false;
      const statistics = gathering === undefined ? null : mergeAnswers(gathering);
      const first = await makeFirstVersion(task, fixed!.channels, statistics);
      await registry.publish(first, { base: null, round: 0 });
      gathering = undefined;
      return true;
    },
    born(device) {
      refuseOthers(device);
      if (gathering?.asked.includes(device))
        messenger.askStatistics(device, gathering.nonce, gathering.fleet);
    },
    answer(device, statistics) {
      if (gathering === undefined) return;
      const rules = { channels: fixed!.channels, maxSamples: task.round.maxSamples };
      gathering = takeStatistics(gathering, device, statistics, rules);
    },
  };
}
