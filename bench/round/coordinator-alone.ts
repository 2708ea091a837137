import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { withScratch } from "../scratch.ts";
import { followRounds, readRounds, startCoordinatorProcess } from "./coordinator.ts";
import type { DevicesProcessOptions } from "./devices-process.ts";
import { type RoundTimes, splitRound } from "./parts.ts";
import { type Measure, summarise } from "./row.ts";
import { roundTask } from "./workload.ts";

const readyTimeoutMs = 120_000;
const warmUpRounds = 3;

/** The coordinator against devices that answer at once: all `agents` of them are one other process, on the other core. */
export const measureCoordinator: Measure = ({ agents, rounds, costs, progress, signal }) =>
  withScratch(signal, async (scratch) => {
    const { folder, children } = scratch;
    const task = roundTask(agents, rounds + warmUpRounds);
    const devices = Array.from({ length: agents }, (_, i) => `pump-${i + 1}`);
    progress(`coordinator, ${agents} devices: starting`);
    const coordinator = await startCoordinatorProcess(scratch, { task, devices });
    const options: DevicesProcessOptions = { joinsFile: join(folder, "joins.json") };
    const driver = await children.start({
      name: "devices",
      file: fileURLToPath(new URL("devices-process.js", import.meta.url)),
      args: [JSON.stringify(options)],
      logFile: join(folder, "devices.log"),
    });
    await driver.firstLine(readyTimeoutMs);

    const followed = await followRounds(coordinator, {
      warmUpRounds,
      rounds,
      pids: [driver.pid],
      onRound: (round) => progress(`coordinator, ${agents} devices: round ${round} of ${rounds}`),
    });
    const coordinatorPeak = await coordinator.child.peakRssMb();
    await driver.stop();
    await coordinator.child.stop();
    const records = (await readRounds(scratch, task)).slice(warmUpRounds);
    const parts = records.map(({ view, receipts }) => {
      const { openedMs } = view;
      // Nothing is installed or trained: a device's whole time is the wire's and the coordinator's.
      const still = {
        fetchMs: openedMs,
        installedMs: openedMs,
        beganMs: openedMs,
        trainedMs: openedMs,
        trainMs: 0,
      };
      const times: RoundTimes = {
        openedMs,
        closedMs: view.closedMs ?? openedMs,
        devices: receipts.map(({ atMs }) => ({ ...still, receivedMs: atMs })),
      };
      return splitRound(times, { ...costs, encodeMs: 0, decodeMs: costs.encodeMs + costs.decodeMs }, 1);
    });
    return summarise({
      mode: "coordinator",
      agents,
      records,
      ...followed,
      parts,
      peakRss: { device: Number.NaN, coordinator: coordinatorPeak ?? Number.NaN },
    });
  });
