import { type ChannelShare, topChannels } from "../scoring/top-channels.ts";
import type { CheckedRows } from "./detector-rows.ts";
import type { DetectorPass } from "./pass.ts";

/** A channel's part of a score, by name. */
export interface NamedShare extends ChannelShare {
  readonly name: string;
}

/** One alarm, in rows. */
export interface DetectedEvent {
  /** Its first row over the threshold, and the row after its last one. */
  readonly onset: number;
  readonly end: number;
  /** The row at which it was raised: k of n rows must be over the threshold first. */
  readonly raised: number;
  /** true: the rows ended before it did. */
  readonly open: boolean;
  readonly peak: { readonly row: number; readonly score: number };
  /** The channels that made the most of it; empty for kinds that judge a row as a whole. */
  readonly channels: readonly NamedShare[];
}

export function namedShares(shares: readonly ChannelShare[], names: readonly string[]): NamedShare[] {
  return shares.map((share) => ({ ...share, name: names[share.channel]! }));
}

/** Runs the alarm machine over all rows. */
export function detectEvents(
  { fitted: { names }, scorer, alarm, byChannel }: DetectorPass,
  { values, rows, channels }: CheckedRows,
): { scores: Float64Array; labels: Uint8Array; events: DetectedEvent[] } {
  const scores = new Float64Array(rows);
  const labels = new Uint8Array(rows);
  const events: DetectedEvent[] = [];
  let raised = 0;
  const close = (onset: number, end: number, open: boolean, shares: readonly ChannelShare[]) => {
    labels.fill(1, onset, end);
    let row = onset;
    for (let i = onset; i < end; i++) if (scores[i]! > scores[row]!) row = i;
    const named = byChannel ? namedShares(shares, names) : [];
    events.push({ onset, end, raised, open, peak: { row, score: scores[row]! }, channels: named });
  };
  for (let row = 0; row < rows; row++) {
    scores[row] = scorer.push(values.subarray(row * channels, (row + 1) * channels));
    const event = alarm.push(row, scores[row]!, scorer.contributions);
    if (event?.kind === "onset") raised = row;
    if (event?.kind === "end") close(event.since, event.until + 1, false, event.topChannels);
  }
  const { open } = alarm.state();
  if (open) close(open.since, open.until + 1, true, topChannels(Float64Array.from(open.contributions)));
  return { scores, labels, events };
}
