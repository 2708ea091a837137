import type { KeyObject } from "node:crypto";
import type { Calibration, Detector, Recent } from "../models/detectors/detector.ts";
import type { OpenDetectorOptions } from "../models/detectors/open.ts";
import type { PreparedChannels } from "../protocol/device-channels.ts";
import { asFleetError, FleetError } from "../protocol/errors.ts";
import { type Frame, sameLayout, type VersionHeader } from "../protocol/frame.ts";
import { limits } from "../protocol/limits.ts";
import { openManifest, type VersionManifest } from "../protocol/manifest.ts";
import type { ModelChunk, Pull, Status, Want } from "../protocol/messages.ts";
import type { AlarmSpec } from "../protocol/task.ts";
import { chunkCount } from "../protocol/transfer.ts";
import { openWindow, stepWindow, type WindowEvent } from "../protocol/window.ts";
import { backoffMs } from "./backoff.ts";
import { bell } from "./bell.ts";
import type { Installed } from "./checkpoint.ts";
import type { Clock } from "./clock.ts";
import { decideInstall, installRetry, worthRetrying } from "./install-decision.ts";
import type { Log } from "./log.ts";
import { type Personalizer, wantsPersonal } from "./personalizer.ts";
import type { Throttle } from "./throttle.ts";
import type { CalibrateWork } from "./trainer-messages.ts";
import { checkChannels, type Pulling, type Versions } from "./versions.ts";

/** Brings the device to the version that it should run: check, pull, check, calibrate, swap. The old one scores until the swap. */
export interface Installer {
  /** The desired state; the newest one counts. */
  want(want: Want): void;
  chunk(chunk: ModelChunk): void;
  connected(): void;
  readonly busy: boolean;
  run(signal: AbortSignal): Promise<void>;
}

export interface InstallerOptions {
  readonly publicKey: KeyObject;
  readonly versions: Versions;
  readonly channels: number;
  readonly prepared?: PreparedChannels | undefined;
  readonly openDetector: (options: OpenDetectorOptions) => Promise<Detector>;
  readonly snapshot: () => Recent;
  readonly calibrate: (work: CalibrateWork, signal: AbortSignal) => Promise<Calibration>;
  /** Rows per second, for an alarm budget; undefined where nobody knows. */
  readonly rateHz: (alarm: AlarmSpec) => number | undefined;
  readonly scoring: {
    readonly installed: Installed | undefined;
    install(installed: Installed, detector: Detector): Promise<void>;
  };
  /** QoS 1; rejects when the coordinator is away. */
  readonly request: (message: Pull | Status) => Promise<void>;
  readonly online: () => boolean;
  /** Bytes to come, before they are asked for. */
  readonly throttle: Throttle;
  /** What is done with a version once it is installed; gives after how long to try again, if at all. */
  readonly personalize: Personalizer["personalize"];
  /** Told of every version that is wanted, installed or can't be. */
  readonly watch: (event: InstallEvent) => void;
  readonly clock: Clock;
  readonly random: () => number;
  readonly log: Log;
  readonly retry?: { readonly firstMs: number; readonly maxMs: number };
}

export type InstallEvent =
  | { readonly kind: "wanted"; readonly manifest: VersionManifest }
  | { readonly kind: "installed"; readonly sha256: string }
  | { readonly kind: "failed"; readonly sha256: string; readonly code: string; readonly message: string };

const pullTimeoutMs = 3_000;
const maxPullTimeoutMs = 60_000;
const tickMs = 250;
const messageLength = 512;
const idleMs = 3_600_000;

interface Goal {
  readonly key: string;
  readonly want: Want;
  readonly superseded: AbortController;
}

export function openInstaller(options: InstallerOptions): Installer {
  const { versions, scoring, throttle, clock, log, random, watch, retry = installRetry } = options;
  let goal: Goal | undefined;
  let report: Status | undefined;
  let busy = false;
  const news = bell(clock);
  const pullEvents: (WindowEvent | ModelChunk)[] = [];
  const pullBell = bell(clock);
  let pulling: string | undefined;

  const tell = async (status: Status) => {
    report = status;
    await options
      .request(status)
      .then(() => {
        if (report === status && status.state === "installed") report = undefined;
      })
      .catch((error: Error) => log.debug({ error: error.message }, "the status will be sent when connected"));
  };

  const pull = async ({ transfer, task }: VersionManifest, signal: AbortSignal): Promise<void> => {
    const part = await versions.begin(transfer);
    pulling = transfer.sha256;
    pullEvents.length = 0;
    try {
      const roundTrip = throttle.durationMs(limits.window * transfer.chunkBytes);
      let window = openWindow({
        count: chunkCount(transfer),
        size: limits.window,
        timeoutMs: pullTimeoutMs + roundTrip,
        maxTimeoutMs: maxPullTimeoutMs + roundTrip,
      });
      pullEvents.push({ kind: "have", have: part.have });
      while (!part.complete() && !signal.aborted) {
        const next = pullEvents.shift() ?? { kind: "tick" };
        const event = "data" in next ? await take(part, next) : next;
        // Nothing can be asked for now; "reconnected" starts it again.
        if (!options.online() && event.kind === "tick") {
          await pullBell.wait(idleMs, signal);
          continue;
        }
        const step = stepWindow(window, event, clock.steadyMs());
        window = step.window;
        if (step.send.length > 0) {
          await throttle.take(step.send.length * transfer.chunkBytes, signal);
          const ask: Pull = { kind: "pull", task, sha256: transfer.sha256, indexes: [...step.send] };
          await options.request(ask).catch(() => {}); // asked again by the window
        }
        if (pullEvents.length === 0 && !part.complete()) await pullBell.wait(tickMs, signal);
      }
      signal.throwIfAborted();
      await part.finish();
    } finally {
      pulling = undefined;
      await part.close();
    }
  };

  const take = async (part: Pulling, chunk: ModelChunk): Promise<WindowEvent> => {
    try {
      await part.add(chunk.index, chunk.data);
      return { kind: "chunk", index: chunk.index };
    } catch (error) {
      const { code, message } = asFleetError(error, "CORRUPT");
      if (code !== "BAD_HASH") throw error;
      log.warn({ code, index: chunk.index }, message);
      return { kind: "tick" };
    }
  };

  const install = async ({ want }: Goal, manifest: VersionManifest, signal: AbortSignal): Promise<void> => {
    const { detector: spec, alarm, id: task } = want.task;
    const sha = manifest.transfer.sha256;
    let frame = await versions.read(sha);
    if (frame === undefined) {
      log.info(
        { version: manifest.number, sha256: sha, bytes: manifest.transfer.size },
        "fetching a version",
      );
      await pull(manifest, signal);
      frame = await versions.read(sha);
      if (frame === undefined)
        throw new FleetError("CORRUPT", "the version was damaged on the way to the disk");
    }
    checkChannels(frame, options);
    const { header, weights } = frame;
    const { topology, statistics } = header;
    const detector = await options
      .openDetector({ spec, topology, statistics, channels: options.channels, seed: 0, maxBatch: 1 })
      .catch((error: unknown) => {
        throw asFleetError(error, "UNSUPPORTED");
      });
    let kept = false;
    try {
      load(detector, frame);
      const recent = options.snapshot();
      if (recent.rows < 2) throw new FleetError("UNAVAILABLE", "the device has no data to calibrate on yet");
      const calibration = await options.calibrate(
        { ...alarm, rateHz: options.rateHz(alarm), detector: spec, topology, statistics, weights, recent },
        signal,
      );
      signal.throwIfAborted();
      kept = true;
      const before = scoring.installed?.sha256;
      await scoring.install(
        { task, number: manifest.number, sha256: sha, detector: spec, alarm, calibration },
        detector,
      );
      await versions.keepOnly(before === undefined ? [sha] : [sha, before]);
      log.info(
        { version: manifest.number, sha256: sha, threshold: calibration.threshold },
        "a version was installed",
      );
      if (calibration.caution !== undefined) log.warn({ basis: calibration.basis }, calibration.caution);
    } finally {
      if (!kept) detector.dispose();
    }
  };

  /** A number: milliseconds after which to try again. */
  const reach = async (
    target: Goal,
    tries: number,
    signal: AbortSignal,
  ): Promise<"there" | "given up" | number> => {
    const { want } = target;
    if (want.version === null) return "given up";
    let manifest: VersionManifest;
    try {
      manifest = openManifest(want.version, options.publicKey);
    } catch (error) {
      // Nothing in it can be believed, so there is no version to name in a status.
      const { code, message } = asFleetError(error, "BAD_SIGNATURE");
      log.error({ code }, `the wanted version is refused: ${message}`);
      return "given up";
    }
    const version = { number: manifest.number, sha256: manifest.transfer.sha256 };
    const { detector, alarm, id: task, personal = false } = want.task;
    try {
      const decision = decideInstall({ manifest, task, detector, alarm, personal }, scoring.installed);
      if (decision.kind === "nothing") return "there";
      if (decision.kind === "refuse") throw new FleetError(decision.code, decision.message);
      watch({ kind: "wanted", manifest });
      await install(target, manifest, signal);
      watch({ kind: "installed", sha256: version.sha256 });
      await tell({ kind: "status", task, state: "installed", version });
      return "there";
    } catch (error) {
      if (signal.aborted) return "given up";
      const { code, message } = asFleetError(error, "CORRUPT");
      const again = worthRetrying(code);
      log.warn({ code, version: version.number, again }, `a version could not be installed: ${message}`);
      // Too little data may last for hours: the rounds of that time need not wait for this device.
      if (!again || code === "UNAVAILABLE") watch({ kind: "failed", sha256: version.sha256, code, message });
      if (report?.code !== code || report.version.sha256 !== version.sha256) {
        const said = message.slice(0, messageLength);
        await tell({ kind: "status", task, state: "failed", version, code, message: said });
      }
      return again ? backoffMs(retry, tries, random) : "given up";
    }
  };

  return {
    get busy() {
      return busy;
    },
    want(want) {
      const key = JSON.stringify([
        want.version === null ? null : Buffer.from(want.version.manifest).toString("base64"),
        want.version === null ? null : Buffer.from(want.version.signature).toString("base64"),
        want.task.id,
        want.task.detector,
        want.task.alarm,
        want.task.personal === true,
        wantsPersonal(want),
      ]);
      if (goal?.key === key) return;
      goal?.superseded.abort();
      goal = { key, want, superseded: new AbortController() };
      report = undefined;
      news.ring();
    },
    chunk(chunk) {
      if (chunk.sha256 !== pulling) return; // asked for twice, or of a version that is no longer wanted
      pullEvents.push(chunk);
      pullBell.ring();
    },
    connected() {
      pullEvents.push({ kind: "reconnected" });
      pullBell.ring();
      if (report !== undefined) void tell(report);
    },
    async run(signal) {
      let done: Goal | undefined;
      let tries = 0;
      while (!signal.aborted) {
        const target = goal;
        if (target === undefined || target === done) {
          await news.wait(idleMs, signal);
          tries = 0;
          continue;
        }
        const either = AbortSignal.any([signal, target.superseded.signal]);
        busy = true;
        const reached = await reach(target, tries, either);
        busy = false;
        const again = reached === "there" ? await options.personalize(target.want, either) : reached;
        if (typeof again !== "number") done = target;
        else {
          if (reached !== "there") tries += 1;
          await news.wait(again, signal);
        }
      }
    },
  };
}

/** Gives a detector a version's weights. Throws BAD_SHAPE where they are not for this network. */
function load(detector: Detector, { header, weights }: Frame<VersionHeader>): void {
  if (!sameLayout(detector.layout, header.layout)) {
    throw new FleetError("BAD_SHAPE", "the version's weights do not have the layout of its own network");
  }
  detector.setWeights(weights);
}
