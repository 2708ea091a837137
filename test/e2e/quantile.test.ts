import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { openDiskBlobs } from "../../coordinator/embedded/disk-blobs.ts";
import { fleetStatistics } from "../../models/data/fleet-statistics.ts";
import { readNpy } from "../../models/data/npy.ts";
import { splitInTime } from "../../models/data/windows.ts";
import { decodeFrame, type VersionHeader } from "../../protocol/frame.ts";
import { TaskSpec } from "../../protocol/task.ts";
import { eventually, type Fleet, isBuilt, openFleet, whyNotBuilt } from "./fleet.ts";

let fleet: Fleet;
afterEach(() => fleet?.close());

if (!isBuilt) console.warn(`skipped: end-to-end tests ${whyNotBuilt}`);

const task = TaskSpec.parse({
  detector: {
    name: "cnn-autoencoder",
    window: 16,
    stride: 8,
    options: { filters: 4, code: 2 },
    scaling: "quantile",
  },
  training: { epochs: 1 },
  rounds: 1,
  minDevices: 2,
  heartbeatMs: 100,
});

describe.skipIf(!isBuilt)("a task that scales by quantiles", { timeout: 120_000 }, () => {
  it("asks its agents twice, and its versions carry what sketches of their training parts give", async () => {
    fleet = await openFleet(task);
    await fleet.startCoordinator();
    for (const device of ["one", "two"]) await fleet.startAgent({ device });
    await eventually(fleet.task, ({ phase }) => phase === "serving", "the round to end");
    const versions = await fleet.versions();
    const blobs = await openDiskBlobs({ folder: join(fleet.folder, "coordinator/blobs") });
    const parts = await Promise.all(
      ["one", "two"].map(async (device) => {
        const { values, shape } = await readNpy(join(fleet.folder, `${device}_train.npy`));
        const [rows, channels] = shape as [number, number];
        const series = { values: Float32Array.from(values), rows, channels };
        return { device, series, range: splitInTime(rows, task.detector.heldBack).train };
      }),
    );
    const expected = fleetStatistics("quantile", parts);
    expect(expected).not.toEqual(fleetStatistics("federated", parts));
    for (const { sha256 } of versions) {
      const { statistics } = decodeFrame(await blobs.get(sha256)).header as VersionHeader;
      expect(statistics).toEqual(expected);
    }
  });
});
