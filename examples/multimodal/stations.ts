// Made data: no real machine stands behind it. Motors with sensors and a small thermal picture, both driven by a load that nobody sees.
import { createRandom } from "starling/models";

export const sensorNames = ["speed", "current", "temperature", "vibration"];
export const sensors = sensorNames.length;
export const picture = { height: 12, width: 12 };
export const pixels = picture.height * picture.width;
/** A row: the sensors, then the picture, flat. */
export const channels = sensors + pixels;

/**
 * series: the current is off, which no picture shows. picture: a joint gets warm that has no sensor. both: a bearing gets a little worse, which shows a little in
 * vibration and in the picture. relation: the cooling stops following the load; each modality by itself looks like one that there could be.
 */
export const faults = ["series", "picture", "both", "relation"] as const;
export type Fault = (typeof faults)[number];

export interface Stretch {
  readonly rows: number;
  readonly channels: number;
  /** (rows, channels). */
  readonly values: Float32Array;
  /** (rows): 0 is normal, else 1 + the place in `faults`. */
  readonly kinds: Uint8Array;
}

export interface Station {
  readonly device: string;
  readonly train: Stretch;
  /** Normal rows after those, to calibrate by. */
  readonly quiet: Stretch;
  readonly test: Stretch;
}

export interface StationOptions {
  readonly device: number;
  readonly seed: number;
  readonly trainRows: number;
  readonly quietRows: number;
  readonly testRows: number;
}

/** Rows of one fault, and from the start of one to that of the next. */
const FAULT_ROWS = 25;
const EVERY = 110;

/** One device; each has gains and a camera of its own. */
export function station({ device, seed, trainRows, quietRows, testRows }: StationOptions): Station {
  const own = createRandom(seed * 1009 + device);
  const gain = Array.from({ length: sensors }, () => 1 + 0.2 * own.normal());
  const offset = Array.from({ length: sensors }, () => 3 * own.normal());
  const [motorX, motorY] = [4 + 0.6 * own.normal(), 4 + 0.6 * own.normal()];
  const state = { load: 0, heat: 0, stuckHeat: 0, row: 0 };

  const stretch = (rows: number, withFaults: boolean): Stretch => {
    const values = new Float32Array(rows * channels);
    const kinds = new Uint8Array(rows);
    for (let row = 0; row < rows; row++) {
      const since = row % EVERY;
      const faulty = withFaults && since >= EVERY - FAULT_ROWS;
      const fault = faulty ? faults[Math.floor(row / EVERY) % faults.length] : undefined;
      kinds[row] = fault ? 1 + faults.indexOf(fault) : 0;
      state.load = 0.95 * state.load + 0.3 * own.normal();
      const load = state.load + Math.sin(state.row++ / 40);
      state.heat += 0.2 * (load - state.heat);
      // What the cooling leaves of it: in the fault, that of the opposite load.
      const seen = fault === "relation" ? -state.heat - 0.6 * Math.sign(state.heat) : state.heat;
      const wear = fault === "both" ? 1 : 0;
      const noise = (size: number) => size * own.normal();
      const raw = [
        load + noise(0.15),
        1.2 * load + noise(0.15) + (fault === "series" ? 0.9 : 0),
        state.heat + noise(0.1),
        0.5 * Math.abs(load) + noise(0.2) + 0.45 * wear,
      ];
      const at = row * channels;
      for (let c = 0; c < sensors; c++) values[at + c] = offset[c]! + gain[c]! * raw[c]!;
      const spot = (x: number, y: number, cx: number, cy: number, width: number) =>
        Math.exp(-((x - cx) ** 2 + (y - cy) ** 2) / (2 * width ** 2));
      for (let y = 0; y < picture.height; y++)
        for (let x = 0; x < picture.width; x++) {
          const warm =
            0.3 +
            (0.2 + 0.08 * seen) * spot(x, y, motorX, motorY, 2) +
            (0.1 + 0.05 * wear) * spot(x, y, 9, 8, 1.2) +
            (fault === "picture" ? 0.12 * spot(x, y, 9, 2, 1) : 0);
          values[at + sensors + y * picture.width + x] = Math.min(1, Math.max(0, warm + noise(0.02)));
        }
    }
    return { rows, channels, values, kinds };
  };
  const train = stretch(trainRows, false);
  const quiet = stretch(quietRows, false);
  return { device: `station-${device + 1}`, train, quiet, test: stretch(testRows, true) };
}

/** The sensors alone, or the pictures alone. */
export function modality({ rows, values, kinds }: Stretch, which: "sensors" | "picture"): Stretch {
  const [from, to] = which === "sensors" ? [0, sensors] : [sensors, channels];
  const width = to - from;
  const own = new Float32Array(rows * width);
  for (let i = 0; i < rows; i++) own.set(values.subarray(i * channels + from, i * channels + to), i * width);
  return { rows, channels: width, values: own, kinds };
}

/** The second half of the rows without one of the modalities. */
export function without(stretch: Stretch, which: "sensors" | "picture"): Stretch {
  const values = stretch.values.slice();
  const [from, to] = which === "sensors" ? [0, sensors] : [sensors, channels];
  for (let i = Math.floor(stretch.rows / 2); i < stretch.rows; i++)
    values.fill(Number.NaN, i * channels + from, i * channels + to);
  return { ...stretch, values };
}
