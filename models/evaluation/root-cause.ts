import { FleetError } from "../../protocol/errors.ts";
import type { CausedEvent } from "../data/root-causes.ts";
import type { Span } from "./alarms.ts";
import type { Scores } from "./ranking.ts";

export interface HitRates {
  /** NaN without events. */
  readonly hitRate100: number;
  readonly hitRate150: number;
}

/**
 * HitRate@100% and @150% of a detector's explanation, mean over the labelled events. A channel's score in an event is the
 * mean of its contributions over the event's rows, missing ones left out (without any missing, the sum ranks the same).
 * `contributions`: (rows, channels), row after row. Throws BAD_INPUT for an event outside of them.
 */
export function hitRates(
  contributions: Float32Array,
  channels: number,
  events: readonly CausedEvent[],
): HitRates {
  const rows = contributions.length / channels;
  const rates = events.map((event) => {
    const { from, to, channels: causes } = event;
    if (from < 0 || to > rows || from >= to || causes.some((c) => c < 0 || c >= channels)) {
      throw new FleetError(
        "BAD_INPUT",
        `the event of rows ${from} to ${to - 1} with channels ${causes.join(", ")} is not within ${rows} rows of ${channels} channels; give the causes of this series`,
      );
    }
    const scores = eventScores(contributions, channels, event);
    return { at100: hitRate(scores, causes, 100), at150: hitRate(scores, causes, 150) };
  });
  const mean = (key: "at100" | "at150") => rates.reduce((sum, rate) => sum + rate[key], 0) / rates.length;
  return { hitRate100: mean("at100"), hitRate150: mean("at150") };
}

/**
 * HitRate@P%: the part of the n causes that is among the floor(P% of n) highest channels. Channels with one score share
 * their places: a hit counts as often as it would in a random order of them, so that silence is not rewarded where
 * causes have low numbers. Source: Su et al. 2019, "OmniAnomaly", KDD, section 5.
 */
export function hitRate(scores: Scores, causes: readonly number[], percent: number): number {
  const places = Math.floor((percent / 100) * causes.length + ROUNDING);
  const isCause = new Set(causes);
  const value = (c: number) => (Number.isNaN(scores[c]!) ? Number.NEGATIVE_INFINITY : scores[c]!);
  const order = Array.from(scores, (_, c) => c).sort((a, b) =>
    value(a) < value(b) ? 1 : value(a) > value(b) ? -1 : 0,
  );
  let hits = 0;
  for (let i = 0; i < order.length && i < places; ) {
    const start = i;
    let inGroup = 0;
    for (; i < order.length && value(order[i]!) === value(order[start]!); i++) {
      if (isCause.has(order[i]!)) inGroup++;
    }
    hits += inGroup * Math.min(1, (places - start) / (i - start));
  }
  return hits / isCause.size;
}

/** 150 % of 2 is 3, also where the product comes out a hair below it. */
const ROUNDING = 1e-9;

function eventScores(contributions: Float32Array, channels: number, { from, to }: Span): Float64Array {
  const sums = new Float64Array(channels);
  const seen = new Float64Array(channels);
  for (let row = from; row < to; row++) {
    for (let c = 0; c < channels; c++) {
      const term = contributions[row * channels + c]!;
      if (Number.isNaN(term)) continue;
      sums[c]! += term;
      seen[c]! += 1;
    }
  }
  return sums.map((sum, c) => sum / seen[c]!);
}
