import type { Recent } from "../models/detectors/detector.ts";
import { asFleetError, FleetError } from "../protocol/errors.ts";
import { allFinite, encodeFrame, type UpdateHeader } from "../protocol/frame.ts";
import { transferId } from "../protocol/idempotency.ts";
import type { Accept, Decline, Invite, Offer } from "../protocol/messages.ts";
import { describe } from "../protocol/transfer.ts";
import type { Installed } from "./checkpoint.ts";
import type { Clock } from "./clock.ts";
import type { InstallEvent } from "./installer.ts";
import type { Log } from "./log.ts";
import {
  type Base,
  type Participation,
  type Refusal,
  type RoundsEffect,
  type RoundsEvent,
  stepRounds,
} from "./rounds.ts";
import type { Trained, TrainWork } from "./trainer-messages.ts";
import type { Updates } from "./updates.ts";
import type { Versions } from "./versions.ts";

/** Takes part in rounds: runs the effects of rounds.ts. */
export interface Participant {
  invite(invite: Invite): Promise<void>;
  cancel(nonce: string): Promise<void>;
  /** What the installer does with versions. */
  install(event: InstallEvent): Promise<void>;
  readonly training: boolean;
  run(signal: AbortSignal): Promise<void>;
  /** Ends a training that is under way; the coordinator invites again at the next birth. */
  close(): Promise<void>;
}

export interface ParticipantOptions {
  readonly device: string;
  readonly bootSeq: number;
  readonly channels: number;
  readonly installed: () => Installed | undefined;
  readonly chunkBytes: () => number;
  readonly snapshot: () => Recent;
  readonly versions: Pick<Versions, "read">;
  readonly train: (work: TrainWork, signal: AbortSignal) => Promise<Trained>;
  readonly updates: Updates;
  readonly request: (message: Accept | Decline) => Promise<void>;
  readonly clock: Clock;
  readonly log: Log;
}

const tickMs = 250;
const messageLength = 512;

export function openParticipant(options: ParticipantOptions): Participant {
  const { updates, clock, log } = options;
  const last = updates.entry?.offer;
  let state: Participation =
    last === undefined ? { phase: "idle" } : { phase: "sending", nonce: last.nonce, round: last.round };
  let training: { readonly stop: AbortController; readonly done: Promise<void> } | undefined;
  /** Versions that can't be installed here, and why. */
  const impossible = new Map<string, Refusal>();
  let queue: Promise<void> = Promise.resolve();

  /** Events one after the other: an effect is over before the next event is looked at. */
  const handle = (event: RoundsEvent): Promise<void> => {
    const handled = queue.then(async () => {
      const step = stepRounds(state, event, clock.steadyMs());
      state = step.state;
      for (const effect of step.effects) await perform(effect);
    });
    queue = handled.catch((error) =>
      log.error({ error: String(error) }, "a round's message was not handled"),
    );
    return queue;
  };

  const perform = async (effect: RoundsEffect): Promise<void> => {
    switch (effect.kind) {
      case "accept": {
        const { task, round, nonce } = effect.invite;
        return say({ kind: "accept", task, round, nonce });
      }
      case "decline": {
        const { task, round, nonce } = effect.invite;
        const { code, message } = effect;
        log.info({ round, code }, `declining round ${round}: ${message}`);
        return say({ kind: "decline", task, round, nonce, code, message: message.slice(0, messageLength) });
      }
      case "train": {
        const stop = new AbortController();
        training = { stop, done: trainFor(effect.invite, stop.signal) };
        return;
      }
      case "stop": {
        training?.stop.abort();
        await training?.done;
        training = undefined;
        return;
      }
      case "repeat": {
        const refused = updates.entry?.outcome?.state === "refused" ? updates.entry.outcome : undefined;
        if (refused !== undefined) {
          const { code = "FORBIDDEN", message = "the update was refused" } = refused;
          return perform({ kind: "decline", invite: effect.invite, code, message });
        }
        await perform({ kind: "accept", invite: effect.invite });
        return updates.offerAgain();
      }
      case "drop-update":
        return updates.drop();
    }
  };

  /** Lost when the coordinator is away: it invites again at the next birth, and is answered then. */
  const say = (message: Accept | Decline) =>
    options
      .request(message)
      .catch((error: Error) => log.debug({ error: error.message }, "an answer was not sent"));

  const trainFor = async (invite: Invite, signal: AbortSignal): Promise<void> => {
    const { nonce, round } = invite;
    try {
      const began = clock.steadyMs();
      const update = await makeUpdate(options, invite, signal);
      if (signal.aborted) return;
      await updates.put(update.offer, update.bytes);
      log.info(
        {
          round,
          samples: update.offer.samples,
          loss: update.offer.loss,
          trainMs: Math.round(clock.steadyMs() - began),
        },
        `trained for round ${round}`,
      );
      void handle({ kind: "trained", nonce });
    } catch (error) {
      if (signal.aborted) return;
      const { code, message } = asFleetError(error, "UNAVAILABLE");
      void handle({ kind: "broke", nonce, code, message });
    }
  };

  const baseOf = (sha256: string): Base => {
    if (options.installed()?.sha256 === sha256) return { kind: "installed" };
    const why = impossible.get(sha256);
    return why === undefined ? { kind: "coming" } : { kind: "impossible", ...why };
  };

  return {
    get training() {
      return state.phase === "training";
    },
    invite: (invite) => handle({ kind: "invite", invite, base: baseOf(invite.base) }),
    cancel: (nonce) => handle({ kind: "cancel", nonce }),
    async install(event) {
      if (event.kind === "wanted") {
        impossible.clear(); // one version at a time is on the way
        const { task, round } = event.manifest;
        return handle({ kind: "published", task, round });
      }
      if (event.kind === "failed") {
        const { code, message } = event;
        impossible.set(event.sha256, { code: code === "BAD_SHAPE" ? "UNAVAILABLE" : code, message });
      }
      return handle({ kind: "base", sha256: event.sha256, base: baseOf(event.sha256) });
    },
    async run(signal) {
      while (!signal.aborted) {
        await clock.sleep(tickMs, signal);
        if (state.phase === "waiting" || state.phase === "training") await handle({ kind: "tick" });
      }
    },
    async close() {
      await queue;
      training?.stop.abort();
      await training?.done;
    },
  };
}

/** Trains from the invitation's base and makes the update: the trained weights minus the base's. */
async function makeUpdate(
  options: ParticipantOptions,
  invite: Invite,
  signal: AbortSignal,
): Promise<{ readonly offer: Offer; readonly bytes: Uint8Array }> {
  const { device, bootSeq } = options;
  const { task, round, nonce, base, training, seed } = invite;
  const installed = options.installed();
  const frame = await options.versions.read(base);
  if (frame === undefined || installed === undefined)
    throw new FleetError("STALE_BASE", "the round's base version is not on this device any more");
  const { topology, statistics, layout } = frame.header;
  const { weights, samples, loss, heldBackLoss, trainMs } = await options.train(
    {
      detector: installed.detector,
      topology,
      statistics,
      weights: frame.weights,
      recent: options.snapshot(),
      training,
      seed,
    },
    signal,
  );
  for (let i = 0; i < weights.length; i++) weights[i] = weights[i]! - frame.weights[i]!;
  if (!allFinite(weights) || !Number.isFinite(loss) || !Number.isFinite(heldBackLoss))
    throw new FleetError("NOT_FINITE", "training diverged on this device's data; its update would be NaN");
  const bytes = encodeFrame<UpdateHeader>({ kind: "update", layout, base, samples }, weights);
  const manifest = describe(bytes, options.chunkBytes());
  const xfer = transferId({ device, task, round, nonce, bootSeq, sha256: manifest.sha256 });
  const offer: Offer = {
    kind: "offer",
    xfer,
    task,
    round,
    nonce,
    bootSeq,
    base,
    samples,
    loss,
    heldBackLoss,
    trainMs,
    manifest,
  };
  return { offer, bytes };
}
