import { datasetOfDevices } from "../../models/data/datasets.ts";
import { readFolder } from "../../models/data/folder.ts";
import { PLANT_RATE_HZ, writePlant } from "../../models/data/plant.ts";
import { FleetError } from "../../protocol/errors.ts";

/** What the demo's devices read. The labels stay with the demo: no agent is told of them. */
export interface Plan {
  readonly title: string;
  readonly devices: readonly PlannedDevice[];
}

export interface PlannedDevice {
  readonly device: string;
  readonly train: string;
  readonly test: string;
  readonly labels: string | undefined;
  /** Rows per second, where it is known. */
  readonly rateHz: number | undefined;
}

export interface PlanOptions {
  /** The user's own data; without it the built-in plant is written into `folder`. */
  readonly data?: string | undefined;
  readonly folder: string;
  /** All devices of `data`, where undefined. */
  readonly devices?: number | undefined;
  readonly rate?: number | undefined;
  readonly seed: number;
}

/** Two days to learn from and one with faults, at one row in 10 seconds. */
const plantDayRows = 8_640;

/** Throws BAD_INPUT where there is no such data, or fewer devices than were asked for. */
export async function makePlan({ data, folder, devices, rate, seed }: PlanOptions): Promise<Plan> {
  if (data === undefined) {
    if (rate !== undefined)
      throw new FleetError(
        "BAD_INPUT",
        "--rate is for --data: the built-in plant has its own, so leave it out",
      );
    await writePlant(folder, {
      seed,
      stations: devices ?? 1,
      trainRows: 2 * plantDayRows,
      testRows: plantDayRows,
    });
    return { title: "Built-in plant", devices: await planFolder(folder, PLANT_RATE_HZ) };
  }
  const all = await readFolder(data);
  const count = devices ?? all.length;
  if (count > all.length)
    throw new FleetError(
      "BAD_INPUT",
      `--devices is ${count}, but ${data} holds data of ${all.length}: ask for fewer`,
    );
  const known = datasetOfDevices(all.map(({ device }) => device));
  const planned = await planFolder(data, rate ?? known?.rateHz);
  return { title: known?.title ?? data, devices: planned.slice(0, count) };
}

async function planFolder(folder: string, rateHz: number | undefined): Promise<PlannedDevice[]> {
  return (await readFolder(folder)).map(({ device, train, test, label }) => ({
    device,
    train,
    test,
    labels: label,
    rateHz,
  }));
}
