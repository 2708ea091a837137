import type { DataSet, DeviceData, DeviceSet } from "../../models/data/device-set.ts";
import { asFleetError, FleetError } from "../../protocol/errors.ts";

export interface LeftOut {
  readonly device: string;
  readonly message: string;
}

/**
 * The set without the devices that can't be read or have other channels than most; the data of the others stay in memory.
 * Throws BAD_INPUT where `only` names a device that is not there, and where nothing is left to judge.
 */
export async function readable(
  set: DataSet,
  only?: readonly string[],
): Promise<{ readonly set: DataSet; readonly leftOut: readonly LeftOut[] }> {
  const unknown = only?.find((name) => !set.devices.some(({ device }) => device === name));
  if (unknown !== undefined) {
    const names = set.devices.map(({ device }) => device).join(", ");
    throw new FleetError("BAD_INPUT", `${set.name} has no device "${unknown}"; it has ${names}`);
  }
  const leftOut: LeftOut[] = [];
  const read: { one: DeviceSet; data: DeviceData }[] = [];
  for (const one of set.devices) {
    if (only && !only.includes(one.device)) continue;
    try {
      read.push({ one, data: await one.load() });
    } catch (error) {
      leftOut.push({ device: one.device, message: asFleetError(error, "BAD_INPUT").message });
    }
  }
  const channels = mostCommon(read.map(({ data }) => data.train.channels));
  const fitting = read.filter(({ one, data }) => {
    const own = data.train.channels;
    if (own === channels) return true;
    const message = `${one.device} has ${own} channels and most others have ${channels}; devices that learn together need the same ones`;
    leftOut.push({ device: one.device, message });
    return false;
  });
  if (!fitting.some(({ one }) => one.judged))
    throw new FleetError(
      "BAD_INPUT",
      leftOut[0]
        ? `no device of ${set.name} can be used: ${leftOut[0].message}`
        : `${set.name} has no devices`,
    );
  const devices = fitting.map(({ one, data }) => ({ ...one, load: () => Promise.resolve(data) }));
  return { set: { ...set, devices }, leftOut };
}

function mostCommon(values: readonly number[]): number | undefined {
  const counts = new Map<number, number>();
  for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1);
  return [...counts].sort(([, a], [, b]) => b - a)[0]?.[0];
}
