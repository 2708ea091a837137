import { type ChunkSet, hasChunk } from "./transfer.ts";

/**
 * Which chunks are asked for or under way, of a push and of a pull alike: at most `size` at once, each again when `timeoutMs` (doubled
 * with every try, to `maxTimeoutMs`) has passed without it being done. Pure: the clock is the caller's.
 */
export interface SendWindow {
  readonly count: number;
  readonly size: number;
  readonly timeoutMs: number;
  readonly maxTimeoutMs: number;
  readonly done: ReadonlySet<number>;
  readonly inFlight: ReadonlyMap<number, { readonly atMs: number; readonly tries: number }>;
}

export interface WindowOptions {
  readonly count: number;
  readonly size: number;
  readonly timeoutMs: number;
  readonly maxTimeoutMs: number;
}

export function openWindow(options: WindowOptions): SendWindow {
  return { ...options, done: new Set(), inFlight: new Map() };
}

export type WindowEvent =
  /** These chunks, and perhaps others, are known to be at the receiver. */
  | { readonly kind: "have"; readonly have: ChunkSet }
  | { readonly kind: "chunk"; readonly index: number }
  /** The connection is new: what was under way is lost. */
  | { readonly kind: "reconnected" }
  | { readonly kind: "tick" };

export interface WindowStep {
  readonly window: SendWindow;
  /** Chunks to send, or to ask for, now. */
  readonly send: readonly number[];
}

export function stepWindow(window: SendWindow, event: WindowEvent, nowMs: number): WindowStep {
  const done = new Set(window.done);
  const inFlight = new Map(window.inFlight);
  if (event.kind === "chunk") done.add(event.index);
  if (event.kind === "have") for (let i = 0; i < window.count; i++) if (hasChunk(event.have, i)) done.add(i);
  if (event.kind === "reconnected") inFlight.clear();
  for (const index of done) inFlight.delete(index);

  const send: number[] = [];
  for (const [index, { atMs, tries }] of inFlight) {
    const timeoutMs = Math.min(window.timeoutMs * 2 ** (tries - 1), window.maxTimeoutMs);
    if (nowMs - atMs < timeoutMs) continue;
    inFlight.set(index, { atMs: nowMs, tries: tries + 1 });
    send.push(index);
  }
  for (let index = 0; index < window.count && inFlight.size < window.size; index++) {
    if (done.has(index) || inFlight.has(index)) continue;
    inFlight.set(index, { atMs: nowMs, tries: 1 });
    send.push(index);
  }
  return { window: { ...window, done, inFlight }, send };
}

export function windowDone(window: SendWindow): boolean {
  return window.done.size === window.count;
}
