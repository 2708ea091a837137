import { FleetError } from "../../protocol/errors.ts";
import { isAbove, recentRows } from "./recent-rows.ts";
import { type ChannelShare, topChannels } from "./top-channels.ts";

export interface AlarmRule {
  /** A score above it counts towards an alarm. */
  readonly threshold: number;
  /** An alarm starts when `k` of the last `n` scores are above the threshold: one row alone is no alarm. */
  readonly k?: number;
  readonly n?: number;
  /** An alarm ends after this many scores in a row at or below `release * threshold`. */
  readonly gap?: number;
  /** At most 1; below it, a score that hovers about the threshold does not end and raise the alarm again and again. */
  readonly release?: number;
}

export const DEFAULT_K = 3;
export const DEFAULT_N = 5;
export const DEFAULT_GAP = 10;
export const DEFAULT_RELEASE = 1;
/** Twice the default n: enough that one row's noise does not rank the channels, and few enough that a fault has not spread. */
export const CAUSE_ROWS = 10;

export type AlarmEvent =
  | {
      readonly kind: "onset";
      /** The row at which the alarm was raised; `since` is the first row above the threshold that led to it. */
      readonly row: number;
      readonly since: number;
      readonly score: number;
      readonly threshold: number;
      readonly topChannels: readonly ChannelShare[];
    }
  | {
      readonly kind: "end";
      /** The row at which the end was declared; `until` is the last row that belonged to the alarm. */
      readonly row: number;
      readonly since: number;
      readonly until: number;
      readonly durationRows: number;
      readonly peakScore: number;
      readonly peakRow: number;
      /** Over the whole alarm. */
      readonly topChannels: readonly ChannelShare[];
      /** The ranking of root causes: over the alarm's first `CAUSE_ROWS` rows above the threshold. What it has spread to later does not count. */
      readonly causes: readonly ChannelShare[];
    };

/** Plain JSON: an agent that restarts goes on where it was. */
export interface AlarmState {
  /** The last n rows or fewer, oldest first; `score` and `contributions` only where the score was above the threshold. */
  readonly recent: readonly {
    readonly row: number;
    readonly score?: number;
    readonly contributions?: readonly number[];
  }[];
  readonly open?: {
    readonly since: number;
    readonly until: number;
    readonly peakScore: number;
    readonly peakRow: number;
    /** Scores in a row below the release level. */
    readonly quiet: number;
    readonly contributions: readonly number[];
    /** Of the first `causeRows` rows alone. */
    readonly causes: readonly number[];
    readonly causeRows: number;
  };
}

export interface AlarmMachine {
  /**
   * Takes the next row's (smoothed) score with its contributions (channels) and says whether an alarm starts or ends.
   * A NaN score (nothing was seen) is neither above nor below: it changes nothing. No allocation but for an event.
   */
  push(row: number, score: number, contributions: Float32Array): AlarmEvent | undefined;
  state(): AlarmState;
}

/** Throws BAD_INPUT for a rule that can't be. Memory is bounded by n rows of contributions. */
export function alarmMachine(rule: AlarmRule, state: AlarmState = { recent: [] }): AlarmMachine {
  const { threshold, k = DEFAULT_K, n = DEFAULT_N, gap = DEFAULT_GAP, release = DEFAULT_RELEASE } = rule;
  if (!Number.isFinite(threshold))
    throw new FleetError("BAD_INPUT", `threshold ${threshold} is not a finite number`);
  if (!(Number.isInteger(k) && Number.isInteger(n) && 1 <= k && k <= n)) {
    throw new FleetError(
      "BAD_INPUT",
      `an alarm at ${k} of ${n} scores can't be; give whole numbers with 1 <= k <= n`,
    );
  }
  if (!(Number.isInteger(gap) && gap >= 1) || !(release > 0 && release <= 1)) {
    throw new FleetError(
      "BAD_INPUT",
      `gap ${gap} must be a whole number above 0, and release ${release} within 0..1`,
    );
  }
  const recent = recentRows(n);
  for (const { row, score, contributions } of state.recent) {
    if (score !== undefined && contributions) recent.above(row, score, contributions);
    else recent.below(row);
  }
  let open: Open | undefined = state.open && {
    ...state.open,
    contributions: Float64Array.from(state.open.contributions),
    causes: Float64Array.from(state.open.causes),
  };

  return {
    push(row, score, contributions) {
      if (Number.isNaN(score)) return undefined;
      if (open) {
        const ended = follow(open, { row, score, contributions, threshold, release, gap });
        if (ended) open = undefined;
        return ended;
      }
      if (score > threshold) recent.above(row, score, contributions);
      else recent.below(row);
      if (recent.countAbove < k) return undefined;
      const above = recent.list().filter(isAbove);
      // The first rows above the threshold show the cause; later ones show what it has spread to.
      const sum = new Float64Array(contributions.length);
      for (const r of above) addTo(sum, r.contributions);
      const since = above[0]!.row;
      const peak = above.reduce((a, b) => (b.score > a.score ? b : a));
      recent.clear();
      open = {
        since,
        until: row,
        peakScore: peak.score,
        peakRow: peak.row,
        quiet: 0,
        contributions: sum,
        causes: sum.slice(),
        causeRows: above.length,
      };
      return { kind: "onset", row, since, score, threshold, topChannels: topChannels(sum) };
    },
    state: () => ({
      recent: recent
        .list()
        .map((r) =>
          isAbove(r) ? { row: r.row, score: r.score, contributions: [...r.contributions] } : { row: r.row },
        ),
      ...(open
        ? { open: { ...open, contributions: [...open.contributions], causes: [...open.causes] } }
        : {}),
    }),
  };
}

/** Channels of a ranking of causes. */
const CAUSES = 5;

interface Open {
  readonly since: number;
  until: number;
  peakScore: number;
  peakRow: number;
  quiet: number;
  readonly contributions: Float64Array;
  readonly causes: Float64Array;
  causeRows: number;
}

interface Sample {
  readonly row: number;
  readonly score: number;
  readonly contributions: Float32Array;
  readonly threshold: number;
  readonly release: number;
  readonly gap: number;
}

/** One more row of an open alarm, taken into it in place. */
function follow(open: Open, sample: Sample): AlarmEvent | undefined {
  const { row, score, contributions, threshold, release, gap } = sample;
  if (score > release * threshold) {
    open.until = row;
    open.quiet = 0;
    if (score > open.peakScore) {
      open.peakScore = score;
      open.peakRow = row;
    }
    addTo(open.contributions, contributions);
    if (open.causeRows < CAUSE_ROWS) {
      open.causeRows++;
      addTo(open.causes, contributions);
    }
    return undefined;
  }
  open.quiet++;
  if (open.quiet < gap) return undefined;
  const { since, until, peakScore, peakRow } = open;
  const durationRows = until - since + 1;
  return {
    kind: "end",
    row,
    since,
    until,
    durationRows,
    peakScore,
    peakRow,
    topChannels: topChannels(open.contributions),
    causes: topChannels(open.causes, CAUSES),
  };
}

function addTo(sum: Float64Array, terms: Float64Array | Float32Array): void {
  for (let c = 0; c < sum.length; c++) sum[c] = sum[c]! + terms[c]!;
}
