import { encode } from "../protocol/codec.ts";
import { limits } from "../protocol/limits.ts";
import type { Offer, TransferAck } from "../protocol/messages.ts";
import { chunkCount, verifyChunk } from "../protocol/transfer.ts";
import { bell } from "./bell.ts";
import type { Clock } from "./clock.ts";
import type { Log } from "./log.ts";
import type { Outbox, OutboxEntry } from "./outbox.ts";
import { type Sending, type SendingEvent, startSending, stepSending } from "./sending.ts";
import type { Throttle } from "./throttle.ts";

/** Sends what is in the outbox, over as many connections and starts of the agent as it takes. */
export interface Updates {
  readonly entry: OutboxEntry | undefined;
  readonly sending: boolean;
  /** On disk when it resolves; sent from then on. */
  put(offer: Offer, bytes: Uint8Array): Promise<void>;
  /** The coordinator asked again: it is offered at once. */
  offerAgain(): Promise<void>;
  drop(): Promise<void>;
  ack(ack: TransferAck): Promise<void>;
  connected(): void;
  run(signal: AbortSignal): Promise<void>;
}

export interface UpdatesOptions {
  readonly outbox: Outbox;
  readonly sendOffer: (payload: Uint8Array) => Promise<void>;
  readonly sendChunk: (xfer: string, payload: Uint8Array) => Promise<void>;
  readonly online: () => boolean;
  readonly throttle: Throttle;
  readonly clock: Clock;
  readonly log: Log;
  readonly ended: (entry: OutboxEntry) => void;
  readonly timeouts?: { readonly timeoutMs: number; readonly maxTimeoutMs: number };
}

const defaultTimeouts = { timeoutMs: 3_000, maxTimeoutMs: 60_000 };
const tickMs = 250;
const idleMs = 3_600_000;
/** Room for a chunk's index and the msgpack around it. */
const chunkOverhead = 64;

export function openUpdates(options: UpdatesOptions): Updates {
  const { outbox, throttle, clock, log, timeouts = defaultTimeouts } = options;
  const work = bell(clock);
  let sending: Sending = startSending();
  let events: SendingEvent[] = [];

  const open = () => outbox.entry !== undefined && outbox.entry.outcome === null;
  const restart = () => {
    sending = startSending();
    events = options.online() ? [{ kind: "connected" }] : [];
    work.ring();
  };

  const sendChunk = async ({ xfer, manifest }: Offer, index: number, signal: AbortSignal): Promise<void> => {
    const data = await outbox.chunk(index);
    verifyChunk(manifest, index, data);
    await throttle.take(data.length, signal);
    if (signal.aborted) return;
    const payload = encode({ index, data }, { maxBytes: limits.chunkBytes + chunkOverhead });
    // Not waited for: a window's worth is under way at once.
    options.sendChunk(xfer, payload).then(
      () => {
        events.push({ kind: "delivered", index });
        work.ring();
      },
      (error: Error) => log.debug({ xfer, index, error: error.message }, "a chunk will be sent again"),
    );
  };

  const step = async (event: SendingEvent, signal: AbortSignal): Promise<void> => {
    const { offer } = outbox.entry!;
    const { chunkBytes } = offer.manifest;
    const atSpeedMs = throttle.durationMs(limits.window * chunkBytes);
    const next = stepSending(sending, event, clock.steadyMs(), {
      chunks: chunkCount(offer.manifest),
      size: limits.window,
      timeoutMs: timeouts.timeoutMs + atSpeedMs,
      maxTimeoutMs: timeouts.maxTimeoutMs + atSpeedMs,
    });
    sending = next.sending;
    if (next.offer) {
      log.debug({ xfer: offer.xfer, round: offer.round }, "offering an update");
      await options.sendOffer(encode(offer)).catch(() => {}); // offered again by the clock
    }
    for (const index of next.chunks) {
      if (outbox.entry?.offer.xfer !== offer.xfer) return;
      await sendChunk(offer, index, signal);
    }
  };

  return {
    get entry() {
      return outbox.entry;
    },
    get sending() {
      return open();
    },
    async put(offer, bytes) {
      await outbox.put(offer, bytes);
      restart();
    },
    async offerAgain() {
      const offer = outbox.entry?.offer;
      if (open()) restart();
      else if (offer !== undefined) await options.sendOffer(encode(offer)).catch(() => {}); // asked for again
    },
    async drop() {
      await outbox.drop();
      restart();
    },
    async ack({ xfer, state, have, code, message }) {
      const entry = outbox.entry;
      if (entry?.offer.xfer !== xfer) return;
      if (state !== "open") {
        if (entry.outcome?.state === state) return;
        const outcome = {
          state,
          ...(code === undefined ? {} : { code }),
          ...(message === undefined ? {} : { message }),
        };
        await outbox.end(outcome);
        log.info({ xfer, round: entry.offer.round, state, code }, `the update was ${state}`);
        options.ended({ ...entry, outcome });
      } else if (entry.outcome === null) events.push({ kind: "open", have });
      else {
        // Stored once, and not there now: the coordinator lost it (its folder was replaced). We still have the bytes.
        if (entry.outcome.state === "stored") await outbox.reopen();
        events.push({ kind: "connected" });
      }
      work.ring();
    },
    connected() {
      events = [{ kind: "connected" }];
      work.ring();
    },
    async run(signal) {
      while (!signal.aborted) {
        if (!open() || !options.online()) {
          await work.wait(idleMs, signal);
          continue;
        }
        const event = events.shift() ?? { kind: "tick" };
        try {
          await step(event, signal);
        } catch (error) {
          // The update's own bytes are gone or damaged: it can't be sent, and the round goes on without it.
          log.error({ error: String(error) }, "the update on disk is damaged; it is given up");
          await outbox.drop();
        }
        if (events.length === 0) await work.wait(tickMs, signal);
      }
    },
  };
}
