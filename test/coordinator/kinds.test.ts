import { afterEach, describe, expect, it } from "vitest";
import { smallTask, type TestCoordinator, testCoordinator } from "../support/coordinator.ts";
import { connectDevice, type ScriptedDevice } from "../support/scripted-device.ts";
import { until } from "../support/until.ts";

let house: TestCoordinator | undefined;
const devices: ScriptedDevice[] = [];
afterEach(async () => {
  for (const device of devices.splice(0)) await device.close();
  await house?.close();
  house = undefined;
});

const counters = { names: "load\nbytes\nerrors", kinds: "gcc" };
const sizes = { names: "load\nbytes\nerrors", kinds: "ghc" };

async function join(name: string, prepared?: typeof counters, bootSeq = 1): Promise<ScriptedDevice> {
  const ticket = await house!.coordinator.enroll(name);
  const device = await connectDevice(ticket, { channels: 3, bootSeq, ...(prepared && { prepared }) });
  devices.push(device);
  return device;
}

function told(device: ScriptedDevice, problem: RegExp) {
  return until(
    () => device.wants.some((want) => problem.test(want.problem ?? "")),
    `${device.name} to be told`,
  );
}

describe("kinds of columns", () => {
  it("devices that prepare their rows unlike the others are told, counted and shown, and the rounds go on without them", async () => {
    house = await testCoordinator(smallTask({ rounds: 2, minDevices: 2 }));
    const { view } = house.coordinator;
    const a = await join("a", counters);
    const b = await join("b", sizes);
    // Nothing has been settled yet, but the two would wait for each other without end.
    await told(b, /^channel 2 of the device is "bytes" \(heavy-tailed\), of its fleet "bytes" \(a counter/);
    expect(view.device("b")).toMatchObject({
      problem: expect.stringMatching(/^channel 2 of the device/),
      refused: { BAD_SHAPE: 1 },
    });
    expect(view.device("a")?.problem).toBeUndefined();
    expect(house.log.lines.filter((line) => line.includes("can't take part"))).toHaveLength(1);

    const c = await join("c", counters);
    const plain = await join("plain");
    await told(plain, /^the device has columns as they are, and its fleet has them prepared by kinds/);
    const base = await a.version();
    expect(base.header.prepared).toEqual(counters);
    const delta = new Float32Array(base.weights.length).fill(0.01);
    for (const device of [a, c])
      expect(
        await device.send(device.makeUpdate(await device.invitation(1), delta, base.header)),
      ).toMatchObject({
        state: "stored",
      });
    await a.invitation(2);
    const [closed] = (await view.rounds({ limit: 5 })).filter(({ round }) => round === 1);
    expect(closed).toMatchObject({
      phase: "closed",
      invited: ["a", "c"],
      accepted: ["a", "c"],
      declined: [],
    });
    expect((await c.version()).header.prepared).toEqual(counters);
    for (const device of [b, plain]) expect(device.commands).toEqual([]);
  });

  it("what the fleet prepares is known after a restart, and a device that is set right is heard again", async () => {
    house = await testCoordinator(smallTask({ rounds: 2, minDevices: 1 }));
    const a = await join("a", counters);
    await a.version();
    for (const device of devices.splice(0)) await device.close();
    await house.restart();
    const odd = await join("b", sizes);
    await told(odd, /^channel 2 of the device/);
    await odd.close();
    devices.length = 0;
    const right = await join("b", counters, 2);
    await until(() => right.wants.some(({ problem }) => problem === undefined), "a want without a problem");
    expect(house.coordinator.view.device("b")?.problem).toBeUndefined();
    expect((await right.version()).header.prepared).toEqual(counters);
  });
});
