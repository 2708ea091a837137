import type { oddChannelStates } from "../../protocol/messages.ts";

/** How a channel differs from what training saw of it. */
export type ChannelState = "usual" | (typeof oddChannelStates)[number];

export interface ChannelChange {
  readonly channel: number;
  readonly state: ChannelState;
  /** A clause that says what was seen, for people. */
  readonly what: string;
}

export interface ChannelRange {
  /** The next raw row (channels), NaN = missing. Gives what changed, at the end of every `rows` rows; no allocation in between. */
  push(row: Float32Array): readonly ChannelChange[];
  /** The channels that are not as usual now. */
  readonly odd: readonly ChannelChange[];
}

export interface ChannelRangeOptions {
  /** (channels) each: the scaler, raw units. */
  readonly mean: readonly number[];
  readonly sigma: readonly number[];
  /** Rows that a change must last: nothing is said of shorter ones. */
  readonly rows?: number;
}

export const RANGE_ROWS = 200;

/** Standard deviations that the mean of so many rows must be off. A drift passes them too, a fault seldom for so long. */
const FAR = 10;
/** Where a change of unit explains it, fewer are enough. */
const FAR_WITH_REASON = 5;
/** Times the usual standard deviation. */
const WIDE = 8;
/** A channel at a limit is not told again and again: it is usual once it is so far below it. */
const RELEASE = 0.8;

interface Unit {
  readonly factor: number;
  readonly offset: number;
  readonly what: string;
}

const times = (factor: number, what: string): Unit[] => [
  { factor, offset: 0, what: `${what} times what it was` },
  { factor: 1 / factor, offset: 0, what: `1/${what} of what it was` },
];
/** Relative error of a value as float32. Rows hold such values, so nothing is told apart that is nearer than this times the level. */
const RESOLUTION = 2 ** -24;

/** What sensors and gateways are set to by mistake. */
const UNITS: readonly Unit[] = [
  // Written out: to have toLocaleString() do it loads 5 MB of tables into every agent.
  ...times(10, "10"),
  ...times(100, "100"),
  ...times(1000, "1,000"),
  ...times(1e4, "10,000"),
  ...times(1e5, "100,000"),
  ...times(1e6, "1,000,000"),
  ...times(60, "60"),
  ...times(3600, "3,600"),
  { factor: 1.8, offset: 32, what: "Fahrenheit where it was Celsius" },
  { factor: 1 / 1.8, offset: -32 / 1.8, what: "Celsius where it was Fahrenheit" },
  { factor: 1, offset: 273.15, what: "Kelvin where it was Celsius" },
  { factor: 1, offset: -273.15, what: "Celsius where it was Kelvin" },
];

/**
 * Watches each channel's raw values over stretches of rows against its scale in training: one that went silent, that another unit explains (a power of ten,
 * minutes for hours, Celsius for Fahrenheit), that lies far off or varies far more. Each change is told once, and so is the way back.
 */
export function channelRange({ mean, sigma: trained, rows = RANGE_ROWS }: ChannelRangeOptions): ChannelRange {
  const channels = mean.length;
  const sigma = trained.map((sd, c) => Math.max(sd, Math.abs(mean[c]!) * RESOLUTION));
  const count = new Uint32Array(channels);
  // Of differences from the training mean in its sigmas: their sum and that of their squares.
  const sum = new Float64Array(channels);
  const squares = new Float64Array(channels);
  const found: (Judged | undefined)[] = new Array(channels);
  let seen = 0;

  const judged = (): ChannelChange[] => {
    const changes: ChannelChange[] = [];
    for (let c = 0; c < channels; c++) {
      const level = sum[c]! / count[c]!;
      const spread = Math.sqrt(Math.max(0, squares[c]! / count[c]! - level * level));
      const before = found[c]?.state ?? "usual";
      const now = judge({ rows: count[c]!, level, spread, mean: mean[c]!, sigma: sigma[c]!, before });
      if (now.state !== before) changes.push({ channel: c, ...now });
      found[c] = now;
    }
    seen = 0;
    count.fill(0);
    sum.fill(0);
    squares.fill(0);
    return changes;
  };

  return {
    get odd() {
      return found.flatMap((now, channel) =>
        now === undefined || now.state === "usual" ? [] : [{ channel, ...now }],
      );
    },
    push(row) {
      for (let c = 0; c < channels; c++) {
        const z = (row[c]! - mean[c]!) / sigma[c]!;
        if (Number.isNaN(z)) continue;
        count[c]!++;
        sum[c]! += z;
        squares[c]! += z * z;
      }
      seen++;
      return seen < rows ? NOTHING : judged();
    },
  };
}

const NOTHING: readonly ChannelChange[] = [];

interface Stretch {
  readonly rows: number;
  /** In sigmas from the training mean. */
  readonly level: number;
  readonly spread: number;
  readonly mean: number;
  readonly sigma: number;
  readonly before: ChannelState;
}

type Judged = Pick<ChannelChange, "state" | "what">;

function judge({ rows, level, spread, mean, sigma, before }: Stretch): Judged {
  const limit = (most: number, ...states: ChannelState[]) =>
    states.includes(before) ? RELEASE * most : most;
  if (rows === 0) return { state: "silent", what: "has no values any more" };
  const off = Math.abs(level);
  if (off > limit(FAR_WITH_REASON, "another-unit")) {
    // As that unit has it, the level is within one of its sigmas of where it was, and varies no more than it did. A level of about 0 is 0 in all units but those.
    const unit = UNITS.find(
      ({ factor, offset }) =>
        (offset !== 0 || Math.abs(mean) > sigma) &&
        Math.abs(level - (factor * mean + offset - mean) / sigma) <= factor &&
        spread <= WIDE * factor,
    );
    if (unit) return { state: "another-unit", what: `looks like another unit: ${unit.what}` };
  }
  // First, as the mean of what varies so much is off by chance.
  if (spread > limit(WIDE, "wide"))
    return { state: "wide", what: `varies ${spread.toPrecision(2)} times as much as in training` };
  if (off > limit(FAR, "far"))
    return { state: "far", what: `is ${off.toPrecision(2)} standard deviations off its training mean` };
  return { state: "usual", what: "is as in training again" };
}
