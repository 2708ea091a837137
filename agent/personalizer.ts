import type { Detector, Recent } from "../models/detectors/detector.ts";
import type { OpenDetectorOptions } from "../models/detectors/open.ts";
import { asFleetError, FleetError } from "../protocol/errors.ts";
import type { Heartbeat, Want } from "../protocol/messages.ts";
import type { AlarmSpec } from "../protocol/task.ts";
import { backoffMs } from "./backoff.ts";
import type { Chosen, Installed } from "./checkpoint.ts";
import { installRetry, worthRetrying } from "./install-decision.ts";
import type { Log } from "./log.ts";
import type { Personalized, PersonalizeWork } from "./trainer-messages.ts";
import type { Versions } from "./versions.ts";

/**
 * Makes the device's own models of the version that it runs, once the task's rounds are over, and lets the one score that is best on its held-back data: the rule
 * stands in models/detectors/personal.ts. Whatever goes wrong, the fleet's model goes on scoring.
 */
export interface Personalizer {
  /** Of the version that is wanted, which is installed. Gives after how long to try again; undefined when there is nothing left to do. */
  personalize(want: Want, signal: AbortSignal): Promise<number | undefined>;
  readonly busy: boolean;
  /** Whether the model that scores will go on scoring, as far as the device has a say. */
  settled(want: Want): boolean;
  /** As a heartbeat says it; undefined in a task without personal models. */
  state(want: Want | undefined): Heartbeat["personal"] | undefined;
}

export interface PersonalizerOptions {
  readonly versions: Pick<Versions, "read" | "savePersonal">;
  readonly channels: number;
  readonly openDetector: (options: OpenDetectorOptions) => Promise<Detector>;
  readonly snapshot: () => Recent;
  readonly train: (work: PersonalizeWork, signal: AbortSignal) => Promise<Personalized>;
  /** Rows per second, for an alarm budget; undefined where nobody knows. */
  readonly rateHz: (alarm: AlarmSpec) => number | undefined;
  readonly scoring: {
    readonly installed: Installed | undefined;
    readonly alarmed: boolean;
    install(installed: Installed, detector: Detector): Promise<void>;
    settle(chosen: Chosen): Promise<void>;
  };
  readonly random: () => number;
  readonly log: Log;
}

/** A thread that ran out of memory three times will do so again. */
const mostTries = 3;
const problemLength = 200;
/** The rows of an open alarm are no normal ones: nothing is learned or calibrated until it has ended. */
const alarmWaitMs = 1_000;

/** A model of the device's own after every round would cost more than the rounds, so it is made after the last. */
export function wantsPersonal({ task, phase }: Want): boolean {
  return task.personal === true && phase === "serving";
}

export function openPersonalizer(options: PersonalizerOptions): Personalizer {
  const { versions, channels, scoring, log } = options;
  let busy = false;
  /** How often it went wrong for a version, and in the end why it has none. A restart tries it again. */
  let failed: { readonly sha256: string; readonly times: number; readonly problem?: string } | undefined;

  const failures = ({ sha256 }: Installed) => (failed?.sha256 === sha256 ? failed : undefined);
  const problemOf = (installed: Installed) => failures(installed)?.problem;
  const isSettled = (installed: Installed) =>
    installed.personal !== undefined || problemOf(installed) !== undefined;

  const make = async ({ task }: Want, installed: Installed, signal: AbortSignal): Promise<void> => {
    const { detector: spec, alarm, number, sha256 } = installed;
    const frame = await versions.read(sha256);
    if (frame === undefined) throw new FleetError("NOT_FOUND", "the version is not on this device any more");
    const { topology, statistics } = frame.header;
    const { training, rounds, pretrain, seed } = task;
    const { model, losses, made } = await options.train(
      {
        ...{ ...alarm, rateHz: options.rateHz(alarm), detector: spec, topology, statistics },
        ...{ weights: frame.weights, recent: options.snapshot(), seed },
        task: { training, rounds, ...(pretrain && { pretrain }) },
      },
      signal,
    );
    signal.throwIfAborted();
    const said = { version: number, model, ...losses };
    if (made === null) {
      await scoring.settle({ model, losses, weights: null });
      log.info(said, "the fleet's model is the best one here");
      return;
    }
    const { calibration } = made;
    const weights = await versions.savePersonal(sha256, made.weights);
    const detector = await options.openDetector({
      ...{ spec, topology, statistics, channels },
      ...{ seed: 0, maxBatch: 1 },
    });
    let kept = false;
    try {
      detector.setWeights(made.weights);
      signal.throwIfAborted();
      kept = true;
      await scoring.install({ ...installed, calibration, personal: { model, losses, weights } }, detector);
    } finally {
      if (!kept) detector.dispose();
    }
    log.info({ ...said, threshold: calibration.threshold }, "a model of the device's own scores");
  };

  return {
    get busy() {
      return busy;
    },
    settled(want) {
      const { installed } = scoring;
      return !wantsPersonal(want) || (installed !== undefined && isSettled(installed));
    },
    state(want) {
      if (want?.task.personal !== true) return undefined;
      const { installed } = scoring;
      if (installed === undefined) return null;
      const problem = problemOf(installed);
      if (problem !== undefined) return { model: "fleet", losses: null, problem };
      const { personal } = installed;
      return personal === undefined ? null : { model: personal.model, losses: personal.losses };
    },
    async personalize(want, signal) {
      const { installed } = scoring;
      if (!wantsPersonal(want) || installed === undefined || isSettled(installed)) return undefined;
      if (scoring.alarmed) return alarmWaitMs;
      busy = true;
      try {
        await make(want, installed, signal);
        return undefined;
      } catch (error) {
        if (signal.aborted) return undefined;
        const { code, message } = asFleetError(error, "CORRUPT");
        const times = (failures(installed)?.times ?? 0) + 1;
        const again = worthRetrying(code) && times < mostTries;
        log.warn(
          { code, again },
          `the fleet's model goes on scoring, the device could make no other: ${message}`,
        );
        const problem = again ? {} : { problem: `${code}: ${message}`.slice(0, problemLength) };
        failed = { sha256: installed.sha256, times, ...problem };
        return again ? backoffMs(installRetry, times, options.random) : undefined;
      } finally {
        busy = false;
      }
    },
  };
}
