import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { decode } from "../../protocol/codec.ts";
import { Offer } from "../../protocol/messages.ts";
import { until } from "../support/until.ts";
import { cutProxy } from "./cut-proxy.ts";
import { eventually, type Fleet, fileSize, isBuilt, openFleet, whyNotBuilt } from "./fleet.ts";

let fleet: Fleet;
afterEach(() => fleet?.close());

if (!isBuilt) console.warn(`skipped: end-to-end tests ${whyNotBuilt}`);

const small = {
  name: "gru-forecaster" as const,
  options: { units: 8 },
  window: 16,
  stride: 4,
  adaptRows: 50,
};
const quick = { epochs: 1 };
/** Long enough to be killed in the middle of it. */
const slow = { epochs: 1000 };

/** All rounds are over, every device runs the last version. */
async function finished(devices: readonly string[]): Promise<void> {
  await eventually(
    async () => ({
      task: await fleet.task(),
      devices: await Promise.all(devices.map((name) => fleet.device(name))),
    }),
    ({ task, devices: views }) =>
      task.phase === "serving" && views.every(({ running }) => running?.sha256 === task.version?.sha256),
    "all rounds to end and the last version to run everywhere",
  );
}

/** Both devices have the same data: what the undisturbed one says is what the other must have said, once each. */
async function sameAlerts(undisturbed: string, other: string): Promise<void> {
  await eventually(
    async () => [await fleet.device(undisturbed), await fleet.device(other)],
    (views) =>
      views.every(({ heartbeat }) => heartbeat?.sourceEnded === true && heartbeat.spooledAlerts === 0),
    "both replays to end and their alerts to arrive",
  );
  const alerts = await fleet.alerts();
  const said = (name: string) =>
    alerts
      .filter(({ device }) => device === name)
      .map(({ phase, row, score, durationRows }) => ({ phase, row, score, durationRows }))
      .sort((x, y) => x.row - y.row);
  expect(said(undisturbed).filter(({ phase }) => phase === "onset").length).toBeGreaterThanOrEqual(2);
  expect(said(other)).toEqual(said(undisturbed));
}

/** Five seconds for all rows of the test data. */
const live = ["--speed", "300", "--rate-hz", "1"];

describe.skipIf(!isBuilt)("kill -9 of an agent", { timeout: 120_000 }, () => {
  it("while it trains: it trains again and the round closes with it", async () => {
    fleet = await openFleet({ detector: small, training: slow, rounds: 1, minDevices: 2 });
    await fleet.startCoordinator();
    await fleet.startAgent({ device: "steady" });
    const victim = await fleet.startAgent({ device: "victim" });
    await eventually(
      () => fleet.device("victim"),
      ({ heartbeat }) => heartbeat?.activity === "training",
      "the victim to train",
    );
    await victim.kill("SIGKILL");
    expect(await readdir(join(fleet.folder, "victim/outbox"))).toEqual([]);
    await eventually(
      () => fleet.device("victim"),
      ({ online }) => !online,
      "the victim's last will",
    );
    await fleet.startAgent({ device: "victim" });
    await finished(["steady", "victim"]);
    const [round] = await fleet.rounds();
    expect(round).toMatchObject({ phase: "closed", accepted: ["steady", "victim"], late: [] });
    expect((await fleet.device("victim")).birth?.bootSeq).toBe(2);
    await fleet.audit(1);
  });

  it("while it sends, half of the chunks gone: the same transfer goes on and counts once", async () => {
    fleet = await openFleet({ detector: small, training: quick, rounds: 1, minDevices: 2 });
    await fleet.startCoordinator();
    await fleet.startAgent({ device: "steady" });
    const victim = await fleet.startAgent({ device: "victim", flags: ["--bandwidth", "400"] });
    const incoming = join(fleet.folder, "coordinator/incoming/victim");
    const offer = await until(
      async () =>
        readFile(join(incoming, "offer")).then(
          (bytes) => decode(Offer, bytes),
          () => undefined,
        ),
      "the victim's offer",
      30_000,
    );
    await until(
      async () => (await fileSize(join(incoming, "part"))) >= offer.manifest.size / 2,
      "half of the chunks",
      30_000,
    );
    await victim.kill("SIGKILL");
    expect((await fleet.rounds())[0]).toMatchObject({ phase: "collecting", accepted: ["steady"] });
    await fleet.startAgent({ device: "victim" });
    await finished(["steady", "victim"]);
    const [round] = await fleet.rounds();
    expect(round).toMatchObject({ phase: "closed", accepted: ["steady", "victim"] });
    expect((await fleet.device("victim")).refused).toEqual({});
    const counted = await fleet.audit(1);
    expect(counted.filter(({ device }) => device === "victim").map(({ xfer }) => xfer)).toEqual([offer.xfer]);
  });

  it("while it installs: it runs the old version until it has all of the new one", async () => {
    fleet = await openFleet({ detector: small, training: quick, rounds: 1, minDevices: 1 });
    await fleet.startCoordinator();
    const victim = await fleet.startAgent({ device: "victim", flags: ["--bandwidth", "800"] });
    await eventually(
      async () => ({ task: await fleet.task(), device: await fleet.device("victim") }),
      ({ task, device: { running, heartbeat } }) =>
        task.version?.number === 2 && running?.number === 1 && heartbeat?.activity === "installing",
      "the install of the second version over the first",
    );
    await victim.kill("SIGKILL");
    const { version } = await fleet.task();
    expect(await readdir(join(fleet.folder, "victim/versions"))).toContain(`${version!.sha256}.part`);
    await fleet.startAgent({ device: "victim" });
    const { birth } = await eventually(
      () => fleet.device("victim"),
      (device) => device.birth?.bootSeq === 2,
      "its birth",
    );
    expect(birth?.running?.number).toBe(1);
    await finished(["victim"]);
    await fleet.audit(1);
  });
});

describe.skipIf(!isBuilt)("kill -9 of the coordinator", { timeout: 180_000 }, () => {
  it("after every durable step of a round: each round goes on and nothing is counted twice", async () => {
    const steps = [
      "first-version",
      "collecting",
      "receipt",
      "aggregating",
      "version",
      "publishing",
      "closed",
    ];
    fleet = await openFleet({
      detector: small,
      training: quick,
      rounds: steps.length,
      minDevices: 2,
      round: { keepUpdates: 100 },
    });
    let coordinator = await fleet.startCoordinator(steps[0]);
    await fleet.startAgent({ device: "a" });
    await fleet.startAgent({ device: "b" });
    for (const next of [...steps.slice(1), undefined]) {
      await until(() => !coordinator.running, `the coordinator to die before "${next}"`, 60_000);
      coordinator = await fleet.startCoordinator(next);
    }
    await finished(["a", "b"]);
    expect((await fleet.rounds()).map(({ phase, accepted }) => [phase, accepted])).toEqual(
      steps.map(() => ["closed", ["a", "b"]]),
    );
    await fleet.audit(steps.length);
  });

  it("as a round is aborted: it stays aborted, and the next one has a number of its own", async () => {
    fleet = await openFleet({
      detector: small,
      training: quick,
      rounds: 1,
      minDevices: 1,
      round: { floor: 2, retryMs: 100 },
    });
    const coordinator = await fleet.startCoordinator("aborted");
    await fleet.startAgent({ device: "a" });
    await until(() => !coordinator.running, "the coordinator to die", 30_000);
    await fleet.startAgent({ device: "b" });
    await fleet.startCoordinator();
    await finished(["a", "b"]);
    const rounds = await fleet.rounds();
    expect(rounds.map(({ round }) => round)).toEqual(rounds.map((_, i) => i + 1));
    expect(rounds[0]).toMatchObject({ phase: "aborted", version: null, accepted: ["a"] });
    expect(rounds.at(-1)).toMatchObject({ phase: "closed", accepted: ["a", "b"] });
    await fleet.audit(1);
  });

  it("and of the agent again and again: no alert is lost, none comes twice, none is invented", async () => {
    fleet = await openFleet({ detector: small, training: { epochs: 10 }, rounds: 2, minDevices: 2 });
    let coordinator = await fleet.startCoordinator();
    await fleet.startAgent({ device: "steady", flags: live });
    let victim = await fleet.startAgent({ device: "victim", flags: live });
    await eventually(
      () => fleet.task(),
      ({ phase }) => phase === "serving",
      "the rounds to end",
    );
    for (const rows of [300, 450, 800, 930, 1100]) {
      await eventually(
        () => fleet.device("victim"),
        ({ heartbeat }) => (heartbeat?.scored ?? 0) >= rows,
        `${rows} rows`,
      );
      await victim.kill("SIGKILL");
      if (rows % 100 === 50 || rows === 930) {
        await coordinator.kill("SIGKILL");
        victim = await fleet.startAgent({ device: "victim", flags: live });
        coordinator = await fleet.startCoordinator();
      } else victim = await fleet.startAgent({ device: "victim", flags: live });
    }
    await sameAlerts("steady", "victim");
    await fleet.audit(2);
  });
});

describe.skipIf(!isBuilt)("a connection that is cut", { timeout: 120_000 }, () => {
  it("for longer than the keepalive: the device is seen to go, comes back, and the round closes with it", async () => {
    fleet = await openFleet({ detector: small, training: slow, rounds: 2, minDevices: 2 });
    await fleet.startCoordinator();
    const proxy = await cutProxy(fleet.mqttPort);
    try {
      await fleet.startAgent({ device: "steady" });
      await fleet.startAgent({ device: "cut", url: proxy.url });
      await eventually(
        () => fleet.device("cut"),
        ({ heartbeat }) => heartbeat?.activity === "training",
        "it to train",
      );
      proxy.freeze();
      await eventually(
        () => fleet.device("cut"),
        ({ online }) => !online,
        "the coordinator to miss it",
      );
      proxy.thaw();
      await finished(["steady", "cut"]);
      expect((await fleet.rounds()).map(({ accepted }) => accepted)).toEqual([
        ["cut", "steady"],
        ["cut", "steady"],
      ]);
      await fleet.audit(2);
    } finally {
      await proxy.close();
    }
  });

  it("while it scores: the alerts of that time arrive afterwards, each once", async () => {
    fleet = await openFleet({ detector: small, training: { epochs: 10 }, rounds: 1, minDevices: 2 });
    await fleet.startCoordinator();
    const proxy = await cutProxy(fleet.mqttPort);
    try {
      await fleet.startAgent({ device: "steady", flags: live });
      await fleet.startAgent({ device: "cut", url: proxy.url, flags: live });
      await eventually(
        () => fleet.device("cut"),
        ({ heartbeat }) => (heartbeat?.scored ?? 0) > 0,
        "it to score",
      );
      proxy.freeze();
      await eventually(
        () => fleet.device("cut"),
        ({ online }) => !online,
        "the coordinator to miss it",
      );
      proxy.thaw();
      await sameAlerts("steady", "cut");
      await fleet.audit(1);
    } finally {
      await proxy.close();
    }
  });
});
