import { checkSketchedChannels } from "../models/data/fleet-quantiles.ts";
import { blueprintFor, checkFleetSpec, kindOf } from "../models/detectors/catalog.ts";
import { checkLearning } from "../models/detectors/check-learning.ts";
import { channelsOfBirth, type DeviceChannels, unlikeChannels } from "../protocol/device-channels.ts";
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
  /** Called where a device that is there has begun or ceased to be one that can't take part; the fleet's view of it says why. */
  readonly barred: (device: string) => void;
}

/** Before round one: enough devices, the channels that they share, where scaling is federated their statistics, then version 1. */
export interface Preparation {
  readonly gathering: boolean;
  /** The task's channels, once they are known. */
  readonly channels: DeviceChannels | undefined;
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

  /** Until the task has channels, those that most devices had when too few of them had the same. */
  let expected: DeviceChannels | undefined;

  /** Looks whether the device can take part; true where that has changed. */
  const judge = (device: string): boolean => {
    const view = fleet.view(device);
    const channels = fixed ?? expected;
    if (channels === undefined || !view?.birth) return false;
    const problem = unlikeChannels(channelsOfBirth(view.birth), channels);
    if (problem === view.problem) return false;
    fleet.barred(device, problem);
    if (problem === undefined) return true;
    fleet.refused(device, "BAD_SHAPE");
    log.warn({ device }, `the device can't take part: ${problem}`);
    return true;
  };
  const judgeAll = () => {
    for (const device of fleet.online()) if (judge(device)) options.barred(device);
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
      .flatMap(({ online, birth }) => (online && birth !== null ? [channelsOfBirth(birth)] : []));
    if (births.length < task.minDevices) return false;
    const common = fixed ?? commonChannels(births);
    const ready = fleet.online(common);
    if (ready.length < task.minDevices) {
      // Enough devices, but unlike ones: without a word they would wait for ever.
      expected = common;
      judgeAll();
      return false;
    }
    const { channels } = common;
    // Before the task is bound to it: a detector that can't take these channels must not stay with the task.
    await blueprintFor(task.detector, channels, task.pretrain?.objective);
    if (task.detector.scaling === "quantile") checkSketchedChannels(channels);
    fixed = await saveFixed(journal, task, common);
    judgeAll();
    if (task.detector.scaling === "local") return true;
    ask(ready);
    return false;
  };

  return {
    get gathering() {
      return gathering !== undefined;
    },
    get channels() {
      return fixed;
    },
    async advance() {
      if (registry.latest() !== undefined || !(await isReady())) return false;
      const statistics = gathering === undefined ? null : mergeAnswers(gathering);
      const first = await makeFirstVersion(task, fixed!, statistics);
      await registry.publish(first, { base: null, round: 0 });
      gathering = undefined;
      return true;
    },
    born(device) {
      fleet.barred(device, undefined); // counted anew at every birth
      judge(device);
      if (gathering?.asked.includes(device) && fleet.view(device)?.problem === undefined)
        messenger.askStatistics(device, gathering.nonce, gathering.fleet);
    },
    answer(device, statistics) {
      if (gathering === undefined) return;
      const rules = { channels: fixed!.channels, maxSamples: task.round.maxSamples };
      gathering = takeStatistics(gathering, device, statistics, rules);
    },
  };
}
