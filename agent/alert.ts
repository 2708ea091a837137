import { createHash } from "node:crypto";
import type { AlarmEvent } from "../models/scoring/events.ts";
import type { Alert, Running } from "../protocol/messages.ts";

export interface AlertOptions {
  readonly event: AlarmEvent;
  /** The sample's own time, milliseconds since 1970. */
  readonly atMs: number;
  readonly score: number;
  readonly threshold: number;
  readonly version: Running;
  /** Id of the alarm's onset; an onset has its own. */
  readonly onset: string | undefined;
  readonly names: readonly string[] | undefined;
}

/** What is sent for an alarm's onset or end. Made from the sample alone: the row read again gives the same alert with the same id. */
export function alertOf({ event, atMs, score, threshold, version, onset, names }: AlertOptions): Alert {
  const id = alertId({ row: event.row, atMs, score, phase: event.kind });
  const channels = event.topChannels
    .filter(({ share }) => share > 0)
    .slice(0, mostChannels)
    .map(({ channel, share }) => {
      const name = names?.[channel];
      return {
        channel,
        share: Math.min(1, share),
        ...(name === undefined ? {} : { name: name.slice(0, nameLength) }),
      };
    });
  return {
    kind: "alert",
    id,
    phase: event.kind,
    event: event.kind === "onset" ? id : (onset ?? id),
    row: event.row,
    atMs,
    score,
    threshold,
    version,
    channels,
    ...(event.kind === "end" ? { durationRows: event.durationRows, peak: event.peakScore } : {}),
  };
}

const mostChannels = 5;
const nameLength = 64;

export interface AlertKey {
  readonly row: number;
  readonly atMs: number;
  readonly score: number;
  readonly phase: "onset" | "end";
}

/** The first 16 hexadecimal digits of the sha256 over row, time, the score's bits and phase. */
export function alertId({ row, atMs, score, phase }: AlertKey): string {
  const bytes = new DataView(new ArrayBuffer(25));
  bytes.setFloat64(0, row);
  bytes.setFloat64(8, atMs);
  bytes.setFloat64(16, score);
  bytes.setUint8(24, phase === "onset" ? 0 : 1);
  return createHash("sha256").update(bytes).digest("hex").slice(0, 16);
}
