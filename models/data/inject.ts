import { FleetError } from "../../protocol/errors.ts";
import { type Draws, draws } from "./draws.ts";

/** Faults that can be made in any series. */
export const injectionKinds = ["spike", "shift", "flat", "scale", "swap", "noise"] as const;
export type InjectionKind = (typeof injectionKinds)[number];

/** A made fault in rows from..to-1 of these channels. */
export interface Injection {
  readonly kind: InjectionKind;
  readonly from: number;
  readonly to: number;
  readonly channels: readonly number[];
  /** In the kind's own unit: see `made`; 0 where it has none. */
  readonly size: number;
}

export interface InjectOptions {
  /** (rows, channels), raw units; NaN = missing, and stays so. */
  readonly values: Float32Array;
  readonly rows: number;
  readonly channels: number;
  /** (channels): usual values and their spread, raw units. */
  readonly mean: Float64Array;
  readonly sigma: Float64Array;
  readonly seed: number;
}

export interface Injected {
  /** A copy of the values with the faults in it. */
  readonly values: Float32Array;
  /** (rows): 1 within a fault. */
  readonly labels: Uint8Array;
  readonly events: readonly Injection[];
}

/** A fault every so many rows: about a sixth of all rows, with normal time around each in which a score can settle. */
export const ROWS_PER_FAULT = 200;
/** Rows of all faults but spikes. */
const LASTING = [20, 60] as const;
const SPIKE_ROWS = [1, 3] as const;
/** Share of the channels that a fault is in, at most; one at least. */
const MOST_CHANNELS = 0.25;
/** A fault that moves no value of its channels by so many sigmas (a flat line where nothing moved) is none. */
const LEAST_CHANGE = 0.5;
const TRIES = 8;

/**
 * Puts made faults into normal rows: in every stretch of `ROWS_PER_FAULT` rows one, all kinds equally often, each in a few channels. The same seed gives the
 * same faults. Choosing among detectors by faults made on normal data: Goswami et al. 2023, Unsupervised Model Selection for Time-series Anomaly
 * Detection, arXiv 2210.01078, section 3.2. Throws BAD_INPUT for fewer rows than one stretch.
 */
export function inject(options: InjectOptions): Injected {
  const { rows, channels, seed } = options;
  if (rows < ROWS_PER_FAULT)
    throw new FleetError("BAD_INPUT", `made faults need ${ROWS_PER_FAULT} rows, and there are ${rows}`);
  const random = draws("inject", seed);
  const values = options.values.slice();
  const labels = new Uint8Array(rows);
  const events: Injection[] = [];
  const kinds = injectionKinds.filter((kind) => kind !== "swap" || channels > 1);
  let bag: InjectionKind[] = [];
  for (let start = 0; start + ROWS_PER_FAULT <= rows; start += ROWS_PER_FAULT) {
    if (bag.length === 0) bag = shuffled(kinds, random);
    const kind = bag.pop()!;
    for (let attempt = 0; attempt < TRIES; attempt++) {
      const [least, most] = kind === "spike" ? SPIKE_ROWS : LASTING;
      const length = random.whole(least, most);
      const margin = Math.floor(ROWS_PER_FAULT / 4);
      const from = start + random.whole(margin, ROWS_PER_FAULT - margin - length);
      const event = { kind, from, to: from + length };
      const made = make(event, options, random);
      if (!(made.change >= LEAST_CHANGE)) continue;
      made.write(values);
      labels.fill(1, from, from + length);
      events.push({ ...event, channels: made.channels, size: made.size });
      break;
    }
  }
  return { values, labels, events };
}

interface Made {
  readonly channels: readonly number[];
  readonly size: number;
  /** The largest change of a value, in sigmas of its channel. */
  readonly change: number;
  write(values: Float32Array): void;
}

function make(
  { kind, from, to }: Pick<Injection, "kind" | "from" | "to">,
  { values, channels: all, mean, sigma }: InjectOptions,
  random: Draws,
): Made {
  const least = kind === "swap" ? 2 : 1;
  const count = random.whole(least, Math.max(least, Math.round(all * MOST_CHANNELS)));
  const channels = shuffled([...Array(all).keys()], random).slice(0, count);
  const side = random.unit() < 0.5 ? -1 : 1;
  const at = (row: number, c: number) => values[row * all + c]!;
  const size = {
    // Sigmas that are added.
    spike: side * random.between(3, 8),
    shift: side * random.between(1, 3),
    // Sigmas of noise.
    noise: random.between(0.5, 1.5),
    // The factor of the swing about the mean of these rows.
    scale: side > 0 ? random.between(1.5, 3) : random.between(0.2, 0.5),
    flat: 0,
    swap: 0,
  }[kind];
  const centers = channels.map((c) => meanOf(from, to, (row) => at(row, c)));
  const changed = new Float64Array((to - from) * count);
  let change = 0;
  for (let row = from; row < to; row++) {
    for (const [k, c] of channels.entries()) {
      const x = at(row, c);
      const other = channels[(k + 1) % count]!;
      const next = {
        spike: () => x + size * sigma[c]!,
        shift: () => x + size * sigma[c]!,
        noise: () => x + size * sigma[c]! * random.normal(),
        scale: () => centers[k]! + size * (x - centers[k]!),
        // The last value before it, for ever.
        flat: () => at(from - 1, c) + 0 * x,
        // Each channel shows the next one's course, in its own units.
        swap: () => mean[c]! + (sigma[c]! * (at(row, other) - mean[other]!)) / sigma[other]!,
      }[kind]();
      const value = Number.isNaN(x) || Number.isNaN(next) ? x : next;
      changed[(row - from) * count + k] = value;
      const moved = Math.abs(value - x) / sigma[c]!;
      if (moved > change) change = moved;
    }
  }
  return {
    channels,
    size,
    change,
    write(out) {
      for (let row = from; row < to; row++)
        for (const [k, c] of channels.entries()) out[row * all + c] = changed[(row - from) * count + k]!;
    },
  };
}

function meanOf(from: number, to: number, at: (row: number) => number): number {
  let sum = 0;
  let count = 0;
  for (let row = from; row < to; row++) {
    const x = at(row);
    if (Number.isNaN(x)) continue;
    sum += x;
    count++;
  }
  return sum / count;
}

/** Fisher-Yates. */
function shuffled<T>(items: readonly T[], random: Draws): T[] {
  const list = [...items];
  for (let i = list.length - 1; i > 0; i--) {
    const j = random.whole(0, i);
    [list[i], list[j]] = [list[j]!, list[i]!];
  }
  return list;
}
