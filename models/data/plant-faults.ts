import type { Draws } from "./draws.ts";
import { PLANT_CHANNELS, type PlantChannel, type StationDesign } from "./plant-design.ts";

export type FaultKind = "leak" | "sticking-valve" | "bearing-wear" | "frozen-sensor" | "spiking-sensor";

/** A labelled fault in test rows from..to-1; its recovery lies inside. */
export interface PlantEvent {
  readonly kind: FaultKind;
  readonly from: number;
  readonly to: number;
  /** The channels where it starts: what a good explanation names. */
  readonly channels: readonly PlantChannel[];
  /** How bad, in the kind's own unit: see `FAULTS`. */
  readonly severity: number;
}

interface FaultSpec {
  readonly kind: FaultKind;
  /** Rows that it lasts. */
  readonly rows: readonly [least: number, most: number];
  /** leak: part of the nominal flow; wear: rise of vibration, 1 = doubled; spikes: part of the channel's nominal value. */
  readonly severity: readonly [least: number, most: number];
  /** Part of its time in which it builds up; as much again to recover. */
  readonly ramp: number;
  readonly channels: readonly (readonly PlantChannel[])[];
}

const SENSORS: readonly (readonly PlantChannel[])[] = [["flow"], ["pressure"], ["motor_current"]];
const FAULTS: readonly FaultSpec[] = [
  { kind: "leak", rows: [150, 320], severity: [0.08, 0.14], ramp: 0.05, channels: [["flow", "pressure"]] },
  { kind: "sticking-valve", rows: [200, 400], severity: [1, 1], ramp: 0, channels: [["valve_position"]] },
  {
    kind: "bearing-wear",
    rows: [300, 500],
    severity: [0.3, 0.5],
    ramp: 0.25,
    channels: [["vibration", "bearing_temperature"]],
  },
  { kind: "frozen-sensor", rows: [180, 360], severity: [1, 1], ramp: 0, channels: SENSORS },
  { kind: "spiking-sensor", rows: [100, 250], severity: [0.1, 0.2], ramp: 0, channels: SENSORS },
];

const MOST_FAULTS = 4;
/** Fewer test rows than this per fault leave no normal time around it. */
const ROWS_PER_FAULT = 500;
/** Of the rows in a fault's slot, at most this part is the fault. */
const MOST_OF_SLOT = 0.5;

/** Faults of different kinds, one per equal slot of the test part. Each station leaves out another kind. */
export function scheduleFaults(testRows: number, station: number, random: Draws): PlantEvent[] {
  const count = Math.min(MOST_FAULTS, Math.floor(testRows / ROWS_PER_FAULT));
  const kinds = FAULTS.map((_, i) => FAULTS[(i + station) % FAULTS.length]!).slice(0, count);
  // Fisher-Yates: without it, neighbouring stations would have their faults in nearly the same order.
  for (let i = kinds.length - 1; i > 0; i--) {
    const j = random.whole(0, i);
    [kinds[i], kinds[j]] = [kinds[j]!, kinds[i]!];
  }
  const slot = count === 0 ? 0 : Math.floor(testRows / count);
  return kinds.map((spec, i) => {
    const rows = Math.min(random.whole(...spec.rows), Math.floor(slot * MOST_OF_SLOT));
    // Apart by at least a tenth of a slot, so that a detector has time to settle.
    const from = i * slot + random.whole(Math.ceil(slot * 0.1), slot - rows - 1);
    const severity = random.between(...spec.severity);
    return { kind: spec.kind, from, to: from + rows, channels: random.pick(spec.channels), severity };
  });
}

/** 0..1: how far the fault has developed at a test row. */
export function intensityOf(event: PlantEvent, row: number): number {
  const ramp = FAULTS.find(({ kind }) => kind === event.kind)!.ramp * (event.to - event.from);
  const inside = Math.min(row - event.from + 1, event.to - row);
  return Math.min(1, inside / Math.max(1, ramp));
}

/** (channels): standard deviation of each sensor's noise, in its own unit. */
export function channelNoise(design: StationDesign): Float64Array {
  // Vibration has its noise inside: it is a random signal by nature.
  return Float64Array.of(0.008 * design.flow, 0.006 * design.pressure, 0.008 * design.current, 0.15, 0, 0.25);
}

interface Distortion {
  readonly event: PlantEvent;
  readonly row: number;
  readonly design: StationDesign;
  readonly random: Draws;
}

const SPIKE_EVERY_ROWS = 9;

/** Sensor faults: the process is healthy, its reading is not. `before` is the row before, as it was read. */
export function distortReading(
  out: Float32Array,
  before: Float32Array,
  { event, row, design, random }: Distortion,
): void {
  if (event.kind !== "frozen-sensor" && event.kind !== "spiking-sensor") return;
  for (const channel of event.channels) {
    const c = PLANT_CHANNELS.indexOf(channel);
    if (event.kind === "frozen-sensor" && row > event.from) out[c] = before[c]!;
    if (event.kind === "spiking-sensor" && (row === event.from || random.unit() < 1 / SPIKE_EVERY_ROWS)) {
      const nominal = [design.flow, design.pressure, design.current][c]!;
      const side = random.unit() < 0.5 ? -1 : 1;
      out[c] = Math.max(0, out[c]! + side * event.severity * random.between(0.7, 1.3) * nominal);
    }
  }
}
