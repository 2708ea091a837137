import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { FleetError } from "../../protocol/errors.ts";
import { writeCsv } from "./csv-write.ts";
import { draws } from "./draws.ts";
import { writeNpy } from "./npy.ts";
import { PLANT_CHANNELS, ROW_SECONDS, stationDesign } from "./plant-design.ts";
import { channelNoise, distortReading, type PlantEvent, scheduleFaults } from "./plant-faults.ts";
import { pumpStation } from "./plant-station.ts";
import { type Series, sliceSeries } from "./series.ts";

export interface PlantOptions {
  readonly seed: number;
  /** Number of the station, from 1. Each has its own design and operating point. */
  readonly station: number;
  readonly trainRows: number;
  readonly testRows: number;
}

export interface PlantStation {
  /** A valid device id: "pump-01". */
  readonly device: string;
  /** Without faults. */
  readonly train: Series;
  /** Goes on where `train` ends, with faults. */
  readonly test: Series;
  /** (testRows): 1 within a fault. */
  readonly labels: Uint8Array;
  readonly events: readonly PlantEvent[];
}

/** One row is 10 seconds, so that 8640 rows are a day. */
export const PLANT_RATE_HZ = 1 / ROW_SECONDS;

/**
 * A pump station of the built-in plant: flow, pressure, motor current, bearing temperature, vibration and valve
 * position under a daily and shift-wise load, from a small physical model (`plant-station.ts`). The test part has up to four
 * labelled faults of different kinds (`plant-faults.ts`). Deterministic in its options.
 */
export function plantStation(options: PlantOptions): PlantStation {
  const { seed, station, trainRows, testRows } = options;
  for (const [key, value] of Object.entries(options)) {
    if (!Number.isInteger(value) || value < (key === "seed" ? 0 : 1)) {
      throw new FleetError(
        "BAD_INPUT",
        `${key} ${value} of the built-in plant must be a whole number above 0`,
      );
    }
  }
  const design = stationDesign(draws(seed, station, "design"));
  const advance = pumpStation(design, draws(seed, station, "load"));
  const noise = draws(seed, station, "noise");
  const spikes = draws(seed, station, "spikes");
  const events = scheduleFaults(testRows, station, draws(seed, station, "faults"));

  const channels = PLANT_CHANNELS.length;
  const rows = trainRows + testRows;
  const values = new Float32Array(rows * channels);
  const sigma = channelNoise(design);
  for (let row = -WARM_UP_ROWS; row < rows; row++) {
    const testRow = row - trainRows;
    const event = events.find(({ from, to }) => from <= testRow && testRow < to);
    const truth = advance(row, event, testRow);
    if (row < 0) continue;
    const out = values.subarray(row * channels, (row + 1) * channels);
    for (let c = 0; c < channels; c++) out[c] = Math.max(0, truth[c]! + sigma[c]! * noise.normal());
    const before = values.subarray((row - 1) * channels, row * channels);
    if (event) distortReading(out, before, { event, row: testRow, design, random: spikes });
    for (let c = 0; c < channels; c++) out[c] = Math.round(out[c]! / RESOLUTION[c]!) * RESOLUTION[c]!;
  }

  const whole: Series = {
    rows,
    channels,
    values,
    names: PLANT_CHANNELS,
    timestampsMs: Float64Array.from({ length: rows }, (_, i) => START_MS + i * ROW_SECONDS * 1000),
    rateHz: PLANT_RATE_HZ,
  };
  const labels = new Uint8Array(testRows);
  for (const { from, to } of events) labels.fill(1, from, to);
  return {
    device: `pump-${String(station).padStart(2, "0")}`,
    train: sliceSeries(whole, 0, trainRows),
    test: sliceSeries(whole, trainRows, rows),
    labels,
    events,
  };
}

export interface PlantFolderOptions extends Omit<PlantOptions, "station"> {
  readonly stations: number;
}

/** Writes stations 1..stations as a folder data set: NAME_train.csv, NAME_test.csv, NAME_label.npy. Returns them without their data. */
export async function writePlant(
  folder: string,
  options: PlantFolderOptions,
): Promise<{ readonly device: string; readonly events: readonly PlantEvent[] }[]> {
  const { stations, ...rest } = options;
  await mkdir(folder, { recursive: true });
  const written = [];
  for (let station = 1; station <= stations; station++) {
    const { device, train, test, labels, events } = plantStation({ ...rest, station });
    await writeCsv(join(folder, `${device}_train.csv`), train);
    await writeCsv(join(folder, `${device}_test.csv`), test);
    await writeNpy(join(folder, `${device}_label.npy`), labels, [labels.length]);
    written.push({ device, events });
  }
  return written;
}

/** (channels): a meter has so many digits, and a CSV file of it stays small. */
const RESOLUTION = [1e-3, 1e-4, 1e-3, 1e-3, 1e-4, 1e-3] as const;
/** Temperatures have forgotten their start after a few of their time constants. */
const WARM_UP_ROWS = 600;
/** A Monday, six in the morning: the start of the day shift. */
const START_MS = Date.UTC(2026, 0, 5, 6);
