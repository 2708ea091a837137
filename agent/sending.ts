import type { TransferAck } from "../protocol/messages.ts";
import { openWindow, type SendWindow, stepWindow, type WindowEvent, windowDone } from "../protocol/window.ts";

/**
 * One update on its way. Offered until the coordinator says what it has of it; then its missing chunks, a window at a time; then offered
 * again until it is stored. A PUBACK moves the window on, but only the coordinator's own ack ends the transfer: the broker may not be ours.
 */
export type Sending =
  /** Not offered on this connection yet. */
  | { readonly phase: "waiting"; readonly offers: number }
  | { readonly phase: "offered"; readonly atMs: number; readonly offers: number }
  | { readonly phase: "chunks"; readonly window: SendWindow; readonly offers: number }
  /** All chunks are handed over. */
  | { readonly phase: "settling"; readonly atMs: number; readonly offers: number };

export interface SendingOptions {
  readonly chunks: number;
  /** Chunks in flight at once. */
  readonly size: number;
  readonly timeoutMs: number;
  readonly maxTimeoutMs: number;
}

export type SendingEvent =
  | { readonly kind: "connected" }
  | { readonly kind: "open"; readonly have: TransferAck["have"] }
  /** The broker has this chunk. */
  | { readonly kind: "delivered"; readonly index: number }
  | { readonly kind: "tick" };

export interface SendingStep {
  readonly sending: Sending;
  readonly offer: boolean;
  readonly chunks: readonly number[];
}

export function startSending(): Sending {
  return { phase: "waiting", offers: 0 };
}

/** One step. Pure: the clock is the caller's. A transfer ends outside of it, with an ack that says stored or refused. */
export function stepSending(
  sending: Sending,
  event: SendingEvent,
  nowMs: number,
  options: SendingOptions,
): SendingStep {
  const stay: SendingStep = { sending, offer: false, chunks: [] };
  switch (event.kind) {
    case "connected":
      return offerNow(0, nowMs);
    case "open": {
      const have = { kind: "have", have: event.have } as const;
      if (sending.phase === "chunks") return moveOn(sending, have, nowMs);
      // An ack that was under way when the last chunk left says nothing new; the next offer asks again.
      if (sending.phase !== "offered") return stay;
      const { chunks: count, size, timeoutMs, maxTimeoutMs } = options;
      const window = openWindow({ count, size, timeoutMs, maxTimeoutMs });
      return moveOn({ phase: "chunks", window, offers: sending.offers }, have, nowMs);
    }
    case "delivered":
      return sending.phase === "chunks"
        ? moveOn(sending, { kind: "chunk", index: event.index }, nowMs)
        : stay;
    case "tick": {
      if (sending.phase === "waiting") return stay;
      if (sending.phase === "chunks") return moveOn(sending, event, nowMs);
      const waitMs = Math.min(
        options.timeoutMs * 2 ** Math.min(sending.offers - 1, 20),
        options.maxTimeoutMs,
      );
      return nowMs - sending.atMs < waitMs ? stay : offerNow(sending.offers, nowMs);
    }
  }
}

function offerNow(offers: number, nowMs: number): SendingStep {
  return { sending: { phase: "offered", atMs: nowMs, offers: offers + 1 }, offer: true, chunks: [] };
}

function moveOn(
  { window: before, offers }: Extract<Sending, { phase: "chunks" }>,
  event: WindowEvent,
  nowMs: number,
): SendingStep {
  const { window, send } = stepWindow(before, event, nowMs);
  const done = windowDone(window);
  return {
    sending: done ? { phase: "settling", atMs: nowMs, offers } : { phase: "chunks", window, offers },
    offer: false,
    chunks: done ? [] : send,
  };
}
