import { join } from "node:path";
import { makeFirstVersion } from "../../coordinator/first-version.ts";
import { writeNpy } from "../../models/data/npy.ts";
import { PLANT_RATE_HZ, plantStation } from "../../models/data/plant.ts";
import type { Series } from "../../models/data/series.ts";
import { decodeFrame, type Frame, type VersionHeader } from "../../protocol/frame.ts";
import { TaskSpec } from "../../protocol/task.ts";

/** Every device has a station of the built-in plant and trains on one day of it. */
export const trainRows = 8_640;
/** Held back until the rounds are over, so it is never scored here. */
const testRows = 360;
const seed = 1;
export const channels = 6;
export const rateHz = PLANT_RATE_HZ;

/** The detector and training that a user gets without any flags. Nobody is left out of a round: it closes when all have answered. */
export function roundTask(devices: number, rounds: number): TaskSpec {
  return TaskSpec.parse({
    rounds,
    minDevices: devices,
    seed,
    round: { quorum: 1, overInvite: 0, deadlineMs: 120_000 },
  });
}

export function history(station: number): Series {
  return plantStation({ seed, station, trainRows, testRows }).train;
}

/** Writes the data of one device. */
export async function writeStation(
  folder: string,
  station: number,
): Promise<{ train: string; test: string }> {
  const { train, test } = plantStation({ seed, station, trainRows, testRows });
  const paths = { train: join(folder, `${station}_train.npy`), test: join(folder, `${station}_test.npy`) };
  await writeNpy(paths.train, train.values, [train.rows, train.channels]);
  await writeNpy(paths.test, test.values, [test.rows, test.channels]);
  return paths;
}

/** Version 1 of the task. */
export async function firstVersion(): Promise<Frame<VersionHeader>> {
  const frame = decodeFrame(await makeFirstVersion(roundTask(1, 1), { channels }, null));
  return frame as Frame<VersionHeader>;
}
