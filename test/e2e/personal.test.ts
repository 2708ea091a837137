import { afterEach, describe, expect, it } from "vitest";
import { lowest } from "../../models/detectors/personal.ts";
import type { DeviceView } from "../../protocol/api.ts";
import { eventually, type Fleet, isBuilt, openFleet, whyNotBuilt } from "./fleet.ts";

let fleet: Fleet;
afterEach(() => fleet?.close());

if (!isBuilt) console.warn(`skipped: end-to-end tests of personal models ${whyNotBuilt}`);

/** Its numbers are the same on every machine, so what each device chooses is, too. */
const detector = {
  name: "var" as const,
  options: { lags: 16 },
  scaling: "federated" as const,
  window: 17,
  adaptRows: 50,
};
/** Four machines: two of a kind, one that is not, and one of their kind with too few rows to know better than they do. */
const machines = {
  one: {},
  twin: { seed: 5 },
  unlike: { slowness: 2, trainRows: 400, seed: 3 },
  short: { trainRows: 120, seed: 13 },
} as const;
const devices = Object.keys(machines) as (keyof typeof machines)[];

const start = (device: keyof typeof machines) =>
  fleet.startAgent({ device, series: { noise: 0.3, ...machines[device] } });

/** It runs that version, and has settled on a model of it. */
async function settled(device: string, version: number) {
  const { heartbeat } = await eventually(
    () => fleet.device(device),
    ({ heartbeat }) => heartbeat?.running?.number === version && (heartbeat.personal ?? null) !== null,
    `${device} to settle on a model of version ${version}`,
  );
  return heartbeat!.personal!;
}

function ended(device: string): Promise<DeviceView> {
  return eventually(
    () => fleet.device(device),
    ({ heartbeat }) => heartbeat?.sourceEnded === true && heartbeat.spooledAlerts === 0,
    `${device} to score all of its data`,
  );
}

describe.skipIf(!isBuilt)("personal models", { timeout: 120_000 }, () => {
  it("after the last round each device scores with the best one on its held-back data, and goes on with it after kill -9; a new version replaces it", async () => {
    const task = { detector, minDevices: devices.length, personal: true };
    fleet = await openFleet({ ...task, rounds: 1 });
    const coordinator = await fleet.startCoordinator();
    const agents = new Map<string, Awaited<ReturnType<typeof start>>>();
    for (const device of devices) agents.set(device, await start(device));
    const chosen = new Map<string, Awaited<ReturnType<typeof settled>>>();
    for (const device of devices) chosen.set(device, await settled(device, 2));
    for (const { model, losses } of chosen.values()) expect(model).toBe(lowest(losses!));
    expect(chosen.get("unlike")!.model).not.toBe("fleet");
    expect(chosen.get("short")!.model).toBe("fleet");

    const before = await Promise.all(devices.map(ended));
    for (const { heartbeat } of before)
      expect(heartbeat).toMatchObject({ rows: 1500, scored: expect.any(Number) });
    for (const { device, model } of await fleet.alerts()) {
      const own = chosen.get(device)!.model;
      expect(model).toBe(own === "fleet" ? undefined : own);
    }
    expect((await fleet.alerts()).some(({ model }) => model !== undefined)).toBe(true);

    await agents.get("unlike")!.kill("SIGKILL");
    await start("unlike");
    const after = await eventually(
      () => fleet.device("unlike"),
      ({ birth, heartbeat }) => birth?.bootSeq === 2 && heartbeat?.bootSeq === 2,
      "a heartbeat after the restart",
    );
    const { level } = before[devices.indexOf("unlike")]!.heartbeat!;
    expect(after.heartbeat).toMatchObject({ personal: chosen.get("unlike"), rows: 1500, level });

    await coordinator.kill("SIGTERM");
    await fleet.startCoordinator(undefined, { ...task, rounds: 2 });
    for (const device of devices) await settled(device, 3);
    const { model, losses } = await settled("unlike", 3);
    expect(model).toBe(lowest(losses!));
    expect(losses!.fleet).not.toBe(chosen.get("unlike")!.losses!.fleet);
    await fleet.audit(2);
  });
});
