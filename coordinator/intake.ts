import { type ErrorCode, FleetError } from "../protocol/errors.ts";
import type { Layout } from "../protocol/frame.ts";
import type { Chunk, Offer } from "../protocol/messages.ts";
import type { TaskSpec } from "../protocol/task.ts";
import { chunkCount, chunksMissing } from "../protocol/transfer.ts";
import type { Blobs } from "./blobs.ts";
import { checkOffer, openUpdate } from "./gate.ts";
import type { Incoming } from "./incoming.ts";
import type { Journal } from "./journal.ts";
import type { Messenger } from "./messenger.ts";
import type { Receipt, Round } from "./round.ts";
import { lateWrite, readFinished, streams } from "./round-record.ts";

/** The round that updates are for, as the intake sees it. */
export interface OpenRound {
  present(): Round | undefined;
  /** Layout of the weights that the round started from. */
  layout(): Promise<Layout>;
  /** An update has passed the gate; `delta` is what the average needs of it. */
  accept(receipt: Receipt, delta: Float32Array): Promise<void>;
  /** An update came when the round collected no more. */
  late(receipt: Receipt): Promise<void>;
  /** An update was refused: the round goes on without the device. */
  refused(device: string, offer: Offer, error: FleetError, ofThisRound: boolean): Promise<void>;
}

export interface IntakeOptions {
  readonly task: TaskSpec;
  readonly journal: Journal;
  readonly blobs: Blobs;
  readonly incoming: Incoming;
  readonly messenger: Messenger;
  readonly round: OpenRound;
  readonly now: () => number;
}

/** The way of an update from its offer over its chunks to the gate. Whatever a device sends ends in an answer to it, never in a throw. */
export interface Intake {
  offer(device: string, offer: Offer): Promise<void>;
  /**
   * Stores one chunk. The offer whose last chunk it was, to be handed to `complete`; throws BAD_HASH for a damaged chunk, NOT_FOUND for one
   * that was never offered.
   */
  chunk(device: string, xfer: string, chunk: Chunk): Promise<Offer | undefined>;
  complete(device: string, offer: Offer): Promise<void>;
}

/** Refusals that say nothing about what the device would still send to the open round. */
const elsewhere: ReadonlySet<ErrorCode> = new Set(["FORBIDDEN", "STALE_ROUND", "NOT_FOUND", "BAD_HASH"]);

export function createIntake({
  task,
  journal,
  blobs,
  incoming,
  messenger,
  round,
  now,
}: IntakeOptions): Intake {
  /** The last transfer of each device that was answered for good: the rest of its chunks may still be under way. */
  const answered = new Map<string, string>();
  const rules = async () => ({ layout: await round.layout(), maxSamples: task.round.maxSamples });
  const receiptOf = (
    device: string,
    { xfer, samples, loss, heldBackLoss, trainMs }: Offer,
    sha256: string,
  ): Receipt => ({
    device,
    xfer,
    sha256,
    samples,
    loss,
    heldBackLoss,
    trainMs,
    atMs: now(),
  });

  /** True where the update is still needed. Answers itself where it is known already; throws what the device must be told. */
  const admit = async (device: string, offer: Offer): Promise<boolean> => {
    const known = await journal.find(streams.receipts(task.id), `${offer.round}/${device}`);
    if (known !== undefined && (known.value as Receipt).xfer === offer.xfer) {
      messenger.stored(device, offer.xfer);
      return false;
    }
    const present = round.present();
    if (present === undefined) throw new FleetError("STALE_ROUND", "no round is open");
    if (offer.round < present.number || (offer.nonce === present.nonce && present.phase !== "collecting")) {
      await noteLate(device, offer, present);
      throw new FleetError("STALE_ROUND", `round ${offer.round} is over; the update came too late`);
    }
    checkOffer(offer, device, present, await rules());
    return true;
  };

  const noteLate = async (device: string, offer: Offer, present: Round): Promise<void> => {
    if (present.number === offer.round) return round.late(receiptOf(device, offer, offer.manifest.sha256));
    const entry = await journal.find(streams.finished(task.id), String(offer.round));
    if (entry === undefined) return;
    const view = await readFinished(journal, task.id, entry);
    if (!view.invited.includes(device) || view.accepted.includes(device) || view.late.includes(device))
      return;
    await journal.write([lateWrite({ task: task.id, number: offer.round }, device)]);
  };

  /** Faults of our own are thrown on; everything else is told to the device, counted, and no harm to the round. */
  const turnAway = async (device: string, offer: Offer, error: unknown): Promise<void> => {
    if (!(error instanceof FleetError)) throw error;
    messenger.refused(device, offer.xfer, error);
    answered.set(device, offer.xfer);
    await incoming.drop(device);
    const present = round.present();
    const ofThisRound =
      offer.round === present?.number && offer.nonce === present.nonce && !elsewhere.has(error.code);
    await round.refused(device, offer, error, ofThisRound);
  };

  const take = async (device: string, offer: Offer): Promise<void> => {
    answered.set(device, offer.xfer);
    if (!(await admit(device, offer))) return incoming.drop(device);
    const bytes = await incoming.bytes(device);
    const delta = openUpdate(bytes, offer, await rules());
    await round.accept(receiptOf(device, offer, await blobs.put(bytes)), delta);
    await incoming.drop(device);
  };

  return {
    async offer(device, offer) {
      try {
        if (!(await admit(device, offer))) {
          answered.set(device, offer.xfer);
          return;
        }
        const have = await incoming.open(device, offer);
        if (chunksMissing(have, chunkCount(offer.manifest)) === 0) await take(device, offer);
        else messenger.open(device, offer.xfer, have);
      } catch (error) {
        await turnAway(device, offer, error);
      }
    },
    async chunk(device, xfer, { index, data }) {
      const offer = await incoming.offer(device, xfer);
      if (offer === undefined) {
        // The end of a transfer that was answered already: a device that does not know yet offers it again.
        if (answered.get(device) === xfer) return undefined;
        throw new FleetError("NOT_FOUND", "a chunk came of a transfer that was not offered: offer it first");
      }
      const { have, complete } = await incoming.add(device, index, data);
      if (complete) return offer;
      messenger.open(device, xfer, have);
      return undefined;
    },
    async complete(device, offer) {
      try {
        await take(device, offer);
      } catch (error) {
        await turnAway(device, offer, error);
      }
    },
  };
}
