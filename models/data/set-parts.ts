import { existsSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import type { ReadLimits } from "./bytes.ts";
import { checkedDevice, type DeviceSet } from "./device-set.ts";
import { type DeviceFiles, readFolder } from "./folder.ts";
import { readLabels, readSeries } from "./read.ts";
import { readRootCauses } from "./root-causes.ts";
import type { PartsDescription } from "./set-description.ts";

/** Devices of a folder of NAME_train, NAME_test, NAME_label. */
export async function openParts(
  folder: string,
  { rateHz, rootCauses }: Pick<PartsDescription, "rateHz" | "rootCauses">,
): Promise<DeviceSet[]> {
  return (await readFolder(folder)).map((files) => ({
    device: files.device,
    judged: true,
    load: (limits) => load(files, { ...limits, rateHz }, rootCauses),
  }));
}

async function load(
  { device, train: trainPath, test: testPath, label }: DeviceFiles,
  options: ReadLimits & { readonly rateHz?: number | undefined },
  rootCauses: string | undefined,
) {
  const train = await readSeries(trainPath, options);
  const test = await readSeries(testPath, options);
  const labels = label === undefined ? undefined : await readLabels(label, { ...options, rows: test.rows });
  // A device whose events nobody has interpreted has no such file.
  const causes = rootCauses === undefined ? undefined : rootCausePath(trainPath, rootCauses);
  return checkedDevice(device, {
    train,
    test,
    ...(labels ? { labels } : {}),
    ...(causes !== undefined && existsSync(causes)
      ? { rootCauses: await readRootCauses(causes, options) }
      : {}),
  });
}

function rootCausePath(trainPath: string, ending: string): string {
  const name = basename(trainPath).replace(/_train\.[a-z]+(\.gz)?$/, "");
  return join(dirname(trainPath), `${name}${ending}`);
}
