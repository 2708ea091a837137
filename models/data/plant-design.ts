import type { Draws } from "./draws.ts";

/** m3/h, bar, A, degrees Celsius, mm/s (RMS), % open. */
export const PLANT_CHANNELS = [
  "flow",
  "pressure",
  "motor_current",
  "bearing_temperature",
  "vibration",
  "valve_position",
] as const;
export type PlantChannel = (typeof PLANT_CHANNELS)[number];

export const ROW_SECONDS = 10;

/** What was built and how it is run; no two stations are alike. */
export interface StationDesign {
  /** Flow (m3/h), pressure (bar) and current (A) at nominal speed and load. */
  readonly flow: number;
  readonly pressure: number;
  readonly current: number;
  /** Valve opening (0..1) at nominal load. */
  readonly valve: number;
  /** Bearing temperature above ambient at nominal load, degrees. */
  readonly heating: number;
  readonly ambient: number;
  /** mm/s at nominal load. */
  readonly vibration: number;
  /** Mean load, and how strongly it follows the day, the shift and the batches; 1 = nominal. */
  readonly load: {
    readonly mean: number;
    readonly day: number;
    readonly shift: number;
    readonly batch: number;
  };
  /** Hours by which its day is shifted. */
  readonly phase: number;
}

export function stationDesign(random: Draws): StationDesign {
  return {
    flow: random.between(80, 260),
    pressure: random.between(3, 8),
    current: random.between(20, 120),
    valve: random.between(0.5, 0.65),
    heating: random.between(20, 35),
    ambient: random.between(14, 24),
    vibration: random.between(1, 2.5),
    load: {
      mean: random.between(0.85, 1.05),
      day: random.between(0.05, 0.14),
      shift: random.between(0.04, 0.1),
      batch: random.between(0.08, 0.15),
    },
    phase: random.between(-2, 2),
  };
}
