import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { enrollDevice, startCoordinator } from "../../coordinator/coordinator.ts";
import { openDiskBlobs } from "../../coordinator/embedded/disk-blobs.ts";
import { openSqliteJournal } from "../../coordinator/embedded/sqlite-journal.ts";
import {
  decodeStatistics,
  encodeStatistics,
  mergeInOrder,
  seriesStatistics,
} from "../../models/data/statistics.ts";
import { encode } from "../../protocol/codec.ts";
import type { TransferAck } from "../../protocol/messages.ts";
import { topics } from "../../protocol/topics.ts";
import { slice } from "../../protocol/transfer.ts";
import { smallTask, type TestCoordinator, testCoordinator } from "../support/coordinator.ts";
import { referenceAverage } from "../support/federated-average.ts";
import { connectDevice, type ScriptedDevice } from "../support/scripted-device.ts";
import { until } from "../support/until.ts";

const channels = 3;
let house: TestCoordinator | undefined;
const devices: ScriptedDevice[] = [];

afterEach(async () => {
  for (const device of devices.splice(0)) await device.close();
  await house?.close();
  house = undefined;
});

async function join3(names: readonly string[]): Promise<ScriptedDevice[]> {
  const joined: ScriptedDevice[] = [];
  for (const name of names)
    joined.push(await connectDevice(await house!.coordinator.enroll(name), { channels }));
  devices.push(...joined);
  return joined;
}

/** A delta that no other device or round has. */
function delta(length: number, seed: number): Float32Array {
  return Float32Array.from({ length }, (_, i) => Math.sin(seed * 1000 + i) * 10 ** -(i % 6));
}

async function reference(stateDir: string, round: number, base: Float32Array): Promise<Float32Array> {
  const journal = await openSqliteJournal({ path: join(stateDir, "journal.db"), now: Date.now });
  const blobs = await openDiskBlobs({ folder: join(stateDir, "blobs") });
  const weights = await referenceAverage({ journal, blobs, task: "main", round }, base);
  await journal.close();
  return weights;
}

describe("coordinator", () => {
  it("averages a round exactly as its journal says, whatever the order, and publishes it", async () => {
    const task = smallTask({ rounds: 2, minDevices: 3 });
    const results: Float32Array[] = [];
    for (const order of [
      [0, 1, 2],
      [2, 0, 1],
    ]) {
      house = await testCoordinator(task);
      const fleet = await join3(["a", "b", "c"]);
      const base = await fleet[0]!.version();
      const invites = await Promise.all(fleet.map((device) => device.invitation(1)));
      for (const i of order) {
        const update = fleet[i]!.makeUpdate(invites[i]!, delta(base.weights.length, i), base.header, {
          samples: 10 + 7 * i,
        });
        expect(await fleet[i]!.send(update)).toMatchObject({ state: "stored" });
      }
      await fleet[0]!.invitation(2);
      const next = await fleet[1]!.version();
      expect(next.weights).toEqual(await reference(house.stateDir, 1, base.weights));
      results.push(next.weights);
      const [closed] = (await house.coordinator.view.rounds({ limit: 5 })).filter(({ round }) => round === 1);
      expect(closed).toMatchObject({ phase: "closed", accepted: ["a", "b", "c"], samples: 51, late: [] });
      for (const device of devices.splice(0)) await device.close();
      await house.close();
      house = undefined;
    }
    expect(results[1]).toEqual(results[0]);
  });

  it("says in each invitation what the round teaches, by what has closed, and keeps to the pretraining it began with", async () => {
    const pretrain = { rounds: 1, objective: "masked" } as const;
    const training = { augment: { jitter: 0.1, mixup: 0.2 } };
    const task = smallTask({ rounds: 3, minDevices: 1, pretrain, training, round: { retryMs: 10 } });
    house = await testCoordinator(task);
    const [a] = await join3(["a"]);
    const base = await a!.version();
    const first = await a!.invitation(1);
    expect(first.training).toEqual({ ...task.training, pretext: "masked" });
    // An aborted round has taught nothing.
    await a!.request({
      kind: "decline",
      task: "main",
      round: 1,
      nonce: first.nonce,
      code: "UNAVAILABLE",
      message: "not now",
    });
    const again = await a!.invitation(2);
    expect(again.training.pretext).toBe("masked");
    await a!.send(a!.makeUpdate(again, delta(base.weights.length, 1), base.header));
    const own = await a!.invitation(3);
    expect(own.training).toEqual(task.training);
    for (const device of devices.splice(0)) await device.close();
    const other = house.restart({ task: smallTask({ rounds: 3, minDevices: 1 }) });
    await expect(other).rejects.toThrow(/was begun with pretraining by masked/);
  });

  it("refuses a task whose detector can't learn so, before it takes devices", async () => {
    const pretrain = { rounds: 1, objective: "rotation" } as const;
    await expect(testCoordinator(smallTask({ rounds: 3, pretrain }))).rejects.toThrow(
      /gru-forecaster can't be pretrained by rotation/,
    );
    const training = { augment: { jitter: 0.1 } };
    await expect(
      testCoordinator(smallTask({ detector: { name: "var", options: {} }, training })),
    ).rejects.toThrow(/var learns by sums/);
  });

  it("acknowledges an update that it has, after a lost ack and after a restart, and counts it once", async () => {
    house = await testCoordinator(smallTask({ rounds: 1, minDevices: 2 }));
    const [a, b] = await join3(["a", "b"]);
    const base = await a!.version();
    const update = a!.makeUpdate(await a!.invitation(1), delta(base.weights.length, 1), base.header);
    expect(await a!.send(update)).toMatchObject({ state: "stored" });
    expect(await a!.send(update)).toMatchObject({ state: "stored" });
    const other = b!.makeUpdate(await b!.invitation(1), delta(base.weights.length, 2), base.header, {
      samples: 30,
    });
    for (const device of devices.splice(0)) await device.close();
    await house.restart();
    const [a2, b2] = await join3(["a", "b"]);
    expect(await a2!.send(update)).toMatchObject({ state: "stored" });
    expect(await b2!.send(other)).toMatchObject({ state: "stored" });
    expect(await a2!.send(update)).toMatchObject({ state: "stored" });
    await until(
      async () => (await house!.coordinator.view.round(1))?.phase === "closed",
      "the round to close",
    );
    const next = await until(async () => {
      const version = await b2!.version();
      return version.sha256 !== base.sha256 && version;
    }, "the new version");
    expect(next.weights).toEqual(await reference(house.stateDir, 1, base.weights));
    expect(await house.coordinator.view.round(1)).toMatchObject({ accepted: ["a", "b"], samples: 40 });
  });

  it("takes a transfer up where a restart of the coordinator left it", async () => {
    house = await testCoordinator(smallTask({ rounds: 1, minDevices: 1 }));
    const [a] = await join3(["a"]);
    const base = await a!.version();
    const update = a!.makeUpdate(await a!.invitation(1), delta(base.weights.length, 1), base.header, {
      chunkBytes: 256,
    });
    await a!.request(update.offer);
    await until(() => a!.acks.length === 1, "the first ack");
    for (const index of [0, 2, 3]) {
      const chunk = encode({ index, data: slice(update.bytes, 256, index) });
      await a!.client.publishAsync(topics.chunkUp("a", update.offer.xfer), Buffer.from(chunk), { qos: 1 });
    }
    for (const device of devices.splice(0)) await device.close();
    await house.restart();
    const [again] = await join3(["a"]);
    await again!.request(update.offer);
    const ack = await until(() => again!.acks[0], "the ack after the restart");
    expect(ack).toMatchObject({ kind: "transfer", state: "open" });
    expect((ack as TransferAck).have[0]).toBe(0b1101);
    expect(await again!.send(update)).toMatchObject({ state: "stored" });
  });

  it("counts a late update and keeps it out of the sum", async () => {
    house = await testCoordinator(
      smallTask({ rounds: 1, minDevices: 2, round: { quorum: 0.5, graceMs: 0 } }),
    );
    const [a, b] = await join3(["a", "b"]);
    const base = await a!.version();
    const invite = await b!.invitation(1);
    await a!.send(a!.makeUpdate(await a!.invitation(1), delta(base.weights.length, 1), base.header));
    await until(
      async () => (await house!.coordinator.view.round(1))?.phase === "closed",
      "the round to close",
    );
    const answer = await b!.send(b!.makeUpdate(invite, delta(base.weights.length, 2), base.header));
    expect(answer).toMatchObject({ state: "refused", code: "STALE_ROUND" });
    const round = await until(async () => {
      const view = await house!.coordinator.view.round(1);
      return view?.late.length === 1 && view;
    }, "the late update to be counted");
    expect(round).toMatchObject({ accepted: ["a"], late: ["b"] });
  });

  it("waits longer after every further round that is aborted", async () => {
    house = await testCoordinator(smallTask({ rounds: 1, minDevices: 1, round: { retryMs: 200 } }));
    const [a] = await join3(["a"]);
    for (let number = 1; number <= 3; number++) {
      const { task, round, nonce } = await a!.invitation(number);
      await a!.request({ kind: "decline", task, round, nonce, code: "UNAVAILABLE", message: "no data yet" });
    }
    await a!.invitation(4);
    const rounds = await house.coordinator.view.rounds({ limit: 4 });
    const pauses = rounds.slice(0, 3).map(({ openedMs }, i) => openedMs - rounds[i + 1]!.closedMs!);
    for (const [i, pause] of pauses.reverse().entries()) expect(pause).toBeGreaterThanOrEqual(200 * 2 ** i);
  });

  it("on all addresses, a device is enrolled only with the one that it is to use", async () => {
    house = await testCoordinator(smallTask({}), { host: "0.0.0.0" });
    const { stateDir } = house;
    await expect(enrollDevice({ stateDir, device: "a" })).rejects.toMatchObject({
      code: "BAD_INPUT",
      message: expect.stringMatching(/say with --url .*, such as mqtt:\/\/192\.0\.2\.10:\d+$/),
    });
    const url = "mqtt://10.0.0.5:1883";
    expect(await enrollDevice({ stateDir, device: "a", url })).toMatchObject({ device: "a", url });
  });

  it("merges the statistics of the fleet before round one, the same whoever answers first", async () => {
    const values = [
      { values: Float32Array.of(1, 2, 3, 4, 5, 6), rows: 2, channels },
      { values: Float32Array.of(100, 7, -3, 50, 8, 9, 75, 1, 1), rows: 3, channels },
    ].map((series) => seriesStatistics(series));
    const merged: Uint8Array[] = [];
    for (const order of [
      [0, 1],
      [1, 0],
    ]) {
      house = await testCoordinator(
        smallTask({ rounds: 1, minDevices: 2, detector: { scaling: "federated" } }),
      );
      const fleet = await join3(["a", "b"]);
      for (const i of order) {
        const ask = await until(
          () => fleet[i]!.commands.find((c) => c.kind === "ask-statistics"),
          "the question",
        );
        const message = { kind: "statistics", task: "main", nonce: ask.nonce, channels };
        await fleet[i]!.request({ ...message, values: encodeStatistics(values[i]!) });
      }
      const { header } = await fleet[0]!.version();
      merged.push(header.statistics!);
      for (const device of devices.splice(0)) await device.close();
      await house.close();
      house = undefined;
    }
    expect(merged[1]).toEqual(merged[0]);
    const [a, b] = values as [(typeof values)[0], (typeof values)[0]];
    expect(decodeStatistics(merged[0]!)).toEqual(
      mergeInOrder([
        ["a", a],
        ["b", b],
      ]),
    );
  });

  it("stores an alert before it acknowledges it, once however often it is sent", async () => {
    house = await testCoordinator(smallTask({ minDevices: 5 }));
    const [a] = await join3(["a"]);
    const alert = {
      kind: "alert",
      id: "0123456789abcdef",
      event: "0123456789abcdef",
      phase: "onset",
      row: 7,
      atMs: 1,
      score: 9,
      threshold: 3,
      version: { number: 1, sha256: "a".repeat(64) },
      channels: [{ channel: 2, name: "flow", share: 0.9 }],
    };
    for (let i = 0; i < 3; i++) {
      await a!.client.publishAsync(topics.up("a", "event"), Buffer.from(encode(alert)), { qos: 1 });
    }
    await until(() => a!.acks.length === 3, "three acks");
    expect(a!.acks[0]).toEqual({ kind: "alerts", ids: [alert.id] });
    await house.restart();
    const stored = await house.coordinator.view.alerts({ limit: 10 });
    expect(stored).toHaveLength(1);
    expect(stored[0]).toMatchObject({ device: "a", row: 7, score: 9 });
    expect(house.coordinator.view.device("a")?.alerts).toBe(1);
  });

  it("counts the devices whose scores drift, and tells when that changes", async () => {
    house = await testCoordinator(smallTask({ minDevices: 5 }));
    const [a, b] = await join3(["a", "b"]);
    const { view } = house.coordinator;
    const told: unknown[] = [];
    view.watch((event) => {
      if (event.name === "task") told.push([event.view.drifting, event.view.retrainDue]);
    });
    const beat = (device: ScriptedDevice, drift?: { state: string; index: number }) => {
      const zero = {
        uptimeMs: 0,
        rssBytes: 0,
        peakRssBytes: 0,
        cpuMs: 0,
        rows: 0,
        scored: 0,
        spooledAlerts: 0,
      };
      const message = { kind: "heartbeat", bootSeq: 1, ...zero, running: null, activity: "idle" };
      const level = { threshold: 4, installed: 2, basis: "extrapolated", recalibrations: 1, limited: true };
      const more = drift === undefined ? {} : { drift, level };
      const payload = encode({ ...message, sourceEnded: false, scores: null, ...more });
      return device.client.publishAsync(topics.up(device.name, "hb"), Buffer.from(payload));
    };
    const count = (drifting: number, retrainDue: number) =>
      until(() => {
        const task = view.task();
        return task.drifting === drifting && task.retrainDue === retrainDue;
      }, `${drifting} drifting, ${retrainDue} due`);
    await beat(a!); // of an older agent
    await beat(a!, { state: "drifting", index: 0.2 });
    await count(1, 0);
    await beat(b!, { state: "retrain-due", index: 0.5 });
    await count(2, 1);
    await beat(b!, { state: "retrain-due", index: 0.6 });
    await beat(a!, { state: "stable", index: 0.01 });
    await count(1, 1);
    expect(told).toEqual([
      [1, 0],
      [2, 1],
      [1, 1],
    ]);
    expect(house.log.lines.filter((line) => line.includes("retraining is due"))).toHaveLength(1);
    expect(view.device("b")?.heartbeat).toMatchObject({
      drift: { state: "retrain-due", index: 0.6 },
      level: { basis: "extrapolated", limited: true },
    });
  });

  it("a task whose detector can't be is refused at the start, in one sentence", async () => {
    house = await testCoordinator(smallTask({ minDevices: 1 }));
    const refused = async (detector: Parameters<typeof smallTask>[0]["detector"], why: RegExp) =>
      expect(house!.restart({ task: smallTask({ detector }) })).rejects.toThrow(why);
    await refused({ options: { filterz: 3 } }, /no hyperparameter "filterz"; it has .*units/);
    await refused({ options: { constructor: 3 } }, /no hyperparameter "constructor"/);
    await refused({ options: { units: 0 } }, /units of gru-forecaster is 0; give a whole number from 1/);
    await refused({ name: "layers-model", options: {} }, /layers-model needs a network/);
    await refused({ name: "cnn-classifier", options: {} }, /cnn-classifier learns from labels/);
    await house.restart();
  });

  it("a task whose detector changed is refused with what to do", async () => {
    house = await testCoordinator(smallTask({ minDevices: 1 }));
    await join3(["a"]);
    await until(() => house!.coordinator.view.task().version, "the first version");
    const other = smallTask({ minDevices: 1, detector: { options: { units: 8 } } });
    for (const device of devices.splice(0)) await device.close();
    await expect(house.restart({ task: other })).rejects.toThrow(/another task id/);
    await house.restart();
  });

  it("a second coordinator on the same folder is refused", async () => {
    house = await testCoordinator(smallTask({}));
    const second = startCoordinator({
      stateDir: house.stateDir,
      host: "127.0.0.1",
      mqttPort: 0,
      httpPort: 0,
      task: smallTask({}),
      log: house.log,
    });
    await expect(second).rejects.toMatchObject({ code: "LOCKED" });
  });
});
