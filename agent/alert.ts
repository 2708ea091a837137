import { createHash } from "node:crypto";
import type { AlarmEvent } from "../models/scoring/events.ts";
import type { ChannelShare } from "../models/scoring/top-channels.ts";
import type { Alert, AlertChannel, PersonalModel, Running } from "../protocol/messages.ts";

export interface AlertOptions {
  readonly event: AlarmEvent;
  /** The sample's own time, milliseconds since 1970. */
  readonly atMs: number;
  readonly score: number;
  /** Of a score: how often a normal one is as high. */
  readonly probability: (score: number) => number;
  readonly threshold: number;
  readonly version: Running;
  /** What the device has made of the version, undefined for the version itself. */
  readonly model?: PersonalModel | undefined;
  /** Id of the alarm's onset; an onset has its own. */
  readonly onset: string | undefined;
  readonly names: readonly string[] | undefined;
}

/** What is sent for an alarm's onset or end. Made from the sample alone: the row read again gives the same alert with the same id. */
export function alertOf(options: AlertOptions): Alert {
  const { event, atMs, score, probability, threshold, version, model, onset, names } = options;
  const id = alertId({ row: event.row, atMs, score, phase: event.kind });
  const common = {
    kind: "alert",
    id,
    row: event.row,
    atMs,
    score,
    threshold,
    version,
    ...(model === undefined ? {} : { model }),
    channels: alertChannels(event.topChannels, names),
    since: event.since,
  } as const;
  if (event.kind === "onset")
    return { ...common, phase: "onset", event: id, probability: probability(score) };
  return {
    ...common,
    phase: "end",
    event: onset ?? id,
    probability: probability(event.peakScore),
    until: event.until,
    durationRows: event.durationRows,
    peak: event.peakScore,
    peakRow: event.peakRow,
    causes: alertChannels(event.causes, names),
  };
}

function alertChannels(
  shares: readonly ChannelShare[],
  names: readonly string[] | undefined,
): AlertChannel[] {
  return shares
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
