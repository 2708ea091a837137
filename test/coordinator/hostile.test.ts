import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { quantileStatistics, sketchOf } from "../../models/data/fleet-quantiles.ts";
import { encodeStatistics, seriesStatistics } from "../../models/data/statistics.ts";
import { encode } from "../../protocol/codec.ts";
import { topics } from "../../protocol/topics.ts";
import { smallTask, type TestCoordinator, testCoordinator } from "../support/coordinator.ts";
import { connectDevice, type ScriptedDevice } from "../support/scripted-device.ts";
import { until } from "../support/until.ts";

type Version = Awaited<ReturnType<ScriptedDevice["version"]>>;

const channels = 3;
let house: TestCoordinator;
let honest: ScriptedDevice;
let hostile: ScriptedDevice;
let base: Version;

beforeEach(async () => {
  house = await testCoordinator(
    smallTask({ rounds: 3, minDevices: 2, round: { deadlineMs: 25_000, maxSamples: 1000 } }),
  );
  honest = await connectDevice(await house.coordinator.enroll("honest"), { channels });
  hostile = await connectDevice(await house.coordinator.enroll("hostile"), { channels });
  base = await honest.version();
});

afterEach(async () => {
  await honest.close();
  await hostile.close();
  await house.close();
});

/** The round ends with the honest update alone, and the process goes on to the next round. */
async function roundGoesOn(): Promise<void> {
  const delta = new Float32Array(base.weights.length).fill(0.5);
  const update = honest.makeUpdate(await honest.invitation(1), delta, base.header);
  expect(await honest.send(update)).toMatchObject({ state: "stored" });
  await honest.invitation(2);
  const round = await house.coordinator.view.round(1);
  expect(round).toMatchObject({ phase: "closed", accepted: ["honest"] });
  const next = await until(async () => {
    const version = await honest.version();
    return version.sha256 !== base.sha256 && version;
  }, "the next version");
  expect(next.weights).toEqual(base.weights.map((w) => w + 0.5));
}

function refusals(): Readonly<Record<string, number>> {
  return house.coordinator.view.device("hostile")!.refused;
}

describe("a hostile device", () => {
  const spoiled: readonly (readonly [string, (size: number) => Float32Array, object, string])[] = [
    ["NaN weights", (size) => new Float32Array(size).fill(Number.NaN), {}, "NOT_FINITE"],
    ["infinite weights", (size) => new Float32Array(size).fill(Number.POSITIVE_INFINITY), {}, "NOT_FINITE"],
    ["weights beyond reason", (size) => new Float32Array(size).fill(1e30), {}, "OVER_WEIGHT"],
    ["too few weights", () => new Float32Array(5), {}, "BAD_SHAPE"],
    ["another layout", () => new Float32Array(6), { layout: [{ name: "w", shape: [2, 3] }] }, "BAD_SHAPE"],
    ["a stale base", (size) => new Float32Array(size), { base: "0".repeat(64) }, "STALE_BASE"],
    [
      "more samples than any device may claim",
      (size) => new Float32Array(size),
      { samples: 1001 },
      "OVER_WEIGHT",
    ],
    [
      "a loss that would make the round's infinite",
      (size) => new Float32Array(size),
      { loss: Number.MAX_VALUE },
      "OVER_WEIGHT",
    ],
    [
      "bytes that are no frame",
      () => new Float32Array(0),
      { bytes: new Uint8Array(500).fill(7) },
      "BAD_MESSAGE",
    ],
    [
      "a frame larger than the model can need",
      () => new Float32Array(0),
      { bytes: new Uint8Array(200_000) },
      "TOO_LARGE",
    ],
    [
      "a transfer made for another device",
      (size) => new Float32Array(size),
      { device: "honest" },
      "FORBIDDEN",
    ],
  ];
  for (const [what, weights, change, code] of spoiled) {
    it(`that sends ${what} is refused with ${code}, counted, and the round goes on`, async () => {
      const invite = await hostile.invitation(1);
      const update = hostile.makeUpdate(invite, weights(base.weights.length), base.header, change);
      expect(await hostile.send(update)).toMatchObject({ state: "refused", code });
      expect(refusals()[code]).toBe(1);
      // What was made for somebody else says nothing of the device's own answer.
      await (code === "FORBIDDEN" ? roundAfterDecline() : roundGoesOn());
    });
  }

  it("that publishes as another device is refused, and the other keeps its name", async () => {
    const death = encode({ kind: "death", bootSeq: 1, reason: "lost" });
    await hostile.client
      .publishAsync(topics.up("honest", "state"), Buffer.from(death), { qos: 1 })
      .catch(() => undefined);
    await until(() => refusals().FORBIDDEN, "the refusal to be counted");
    expect(house.coordinator.view.device("honest")?.online).toBe(true);
    hostile = await connectDevice(await house.coordinator.enroll("hostile"), { channels });
    await roundAfterDecline();
  });

  it("that sends a msgpack bomb, a long message, and chunks of nothing is refused each time", async () => {
    const request = topics.up("hostile", "req");
    await hostile.client.publishAsync(request, Buffer.alloc(6 * 1024, 0x91), { qos: 1 });
    await hostile.client.publishAsync(request, Buffer.alloc(20 * 1024, 0xc0), { qos: 1 });
    await hostile.client.publishAsync(topics.chunkUp("hostile", "0".repeat(32)), Buffer.alloc(90_000, 0xdd), {
      qos: 1,
    });
    await hostile.client.publishAsync(topics.up("hostile", "hb"), Buffer.from("not msgpack"), { qos: 1 });
    await until(() => (refusals().TOO_LARGE ?? 0) >= 2 && (refusals().BAD_MESSAGE ?? 0) >= 1, "the refusals");
    await roundAfterDecline();
  });

  it("that sends an alert from a time that no calendar has is refused", async () => {
    const alert = {
      ...{ kind: "alert", id: "0".repeat(16), phase: "onset", event: "0".repeat(16), row: 1, atMs: 1e300 },
      ...{ score: 2, threshold: 1, version: { number: 1, sha256: base.sha256 }, channels: [] },
    };
    const send = (message: object) =>
      hostile.client.publishAsync(topics.up("hostile", "event"), Buffer.from(encode(message)), { qos: 1 });
    await send(alert);
    expect(refusals()).toEqual({ BAD_MESSAGE: 1 });
    await send({ ...alert, atMs: 8.64e15 });
    expect(await house.coordinator.view.alerts({ limit: 10 })).toHaveLength(1);
    await roundAfterDecline();
  });

  it("that sends 100 MB in chunks of no transfer is refused chunk by chunk, and memory stays flat", async () => {
    const chunk = Buffer.from(encode({ index: 0, data: new Uint8Array(96 * 1024) }, { maxBytes: 100_000 }));
    const push = async (count: number) => {
      const topic = topics.chunkUp("hostile", "0".repeat(32));
      for (let i = 0; i < count; i += 8)
        await Promise.all(
          Array.from({ length: 8 }, () => hostile.client.publishAsync(topic, chunk, { qos: 1 })),
        );
    };
    await push(80);
    const before = process.memoryUsage().rss;
    await push(1000);
    expect(process.memoryUsage().rss - before).toBeLessThan(64 * 1024 * 1024);
    expect(refusals()).toEqual({ NOT_FOUND: 1080 });
    expect(house.coordinator.traffic().receivedBytes).toBeGreaterThan(100 * 1024 * 1024);
    await roundAfterDecline();
  });

  it("that pushes 100 MB is cut off, and memory stays flat", async () => {
    const before = process.memoryUsage().rss;
    const block = Buffer.alloc(1024 * 1024, 0x55);
    for (let i = 0; i < 100 && hostile.client.connected; i++) {
      await Promise.race([
        hostile.client.publishAsync(topics.up("hostile", "event"), block, { qos: 0 }).catch(() => undefined),
        new Promise<void>((resolve) => hostile.client.once("close", () => resolve())),
      ]);
    }
    await until(() => !hostile.client.connected, "the connection to be cut");
    expect(process.memoryUsage().rss - before).toBeLessThan(64 * 1024 * 1024);
    hostile = await connectDevice(await house.coordinator.enroll("hostile"), { channels, bootSeq: 2 });
    await roundAfterDecline();
  });

  it("that floods with 3,000 refused messages costs no memory that stays", async () => {
    const bomb = Buffer.alloc(4 * 1024, 0x91);
    const flood = async (count: number) => {
      for (let i = 0; i < count; i += 50) {
        await Promise.all(
          Array.from({ length: 50 }, () =>
            hostile.client.publishAsync(topics.up("hostile", "req"), bomb, { qos: 1 }),
          ),
        );
      }
    };
    await flood(500);
    const before = process.memoryUsage().rss;
    await flood(2500);
    expect(process.memoryUsage().rss - before).toBeLessThan(48 * 1024 * 1024);
    expect(refusals().TOO_LARGE).toBe(3000);
    await roundAfterDecline();
  });
});

/** As roundGoesOn, where the hostile device has not spoilt its own update but says no. */
async function roundAfterDecline(): Promise<void> {
  const { task, round, nonce } = await hostile.invitation(1);
  await hostile.request({ kind: "decline", task, round, nonce, code: "UNAVAILABLE", message: "no" });
  await roundGoesOn();
}

describe("a hostile device before round one", () => {
  it("that sends impossible channel statistics is refused, and the fleet's scaler is the honest devices' alone", async () => {
    const task = {
      rounds: 1,
      minDevices: 2,
      detector: { scaling: "federated" },
      round: { deadlineMs: 3_000, maxSamples: 1000 },
    } as const;
    const town = await testCoordinator(smallTask(task));
    const good = await connectDevice(await town.coordinator.enroll("good"), { channels });
    const bad = await connectDevice(await town.coordinator.enroll("bad"), { channels });
    try {
      const answer = async (device: ScriptedDevice, values: Uint8Array) => {
        const ask = await until(
          () => device.commands.find((c) => c.kind === "ask-statistics"),
          "the question",
        );
        await device.request({ kind: "statistics", task: "main", nonce: ask.nonce, values });
      };
      const numbers = (...values: number[]) => new Uint8Array(Float64Array.from(values).buffer);
      await answer(bad, numbers(5, 5, 5, 1e300, 1, 1, 0, 0, 0));
      await answer(bad, numbers(5, 5, 5, Number.NaN, 1, 1, 0, 0, 0));
      await answer(bad, numbers(1001, 1001, 1001, 1, 1, 1, 0, 0, 0));
      await answer(bad, numbers(5, 1, 0));
      await until(() => town.coordinator.view.device("bad")?.refused.BAD_SHAPE, "the last refusal");
      expect(town.coordinator.view.device("bad")?.refused).toEqual({
        BAD_MESSAGE: 1,
        NOT_FINITE: 1,
        OVER_WEIGHT: 1,
        BAD_SHAPE: 1,
      });
      const honestly = numbers(9, 9, 9, 1, 2, 3, 4, 5, 6);
      await answer(good, honestly);
      expect((await good.version()).header.statistics).toEqual(honestly);
    } finally {
      await good.close();
      await bad.close();
      await town.close();
    }
  });

  it("that answers with no sketch of the fleet's frame is refused, and versions carry the honest devices' medians and ranges", async () => {
    const task = {
      rounds: 1,
      minDevices: 2,
      detector: { scaling: "quantile" },
      round: { deadlineMs: 3_000, maxSamples: 1000 },
    } as const;
    const town = await testCoordinator(smallTask(task));
    const good = await connectDevice(await town.coordinator.enroll("good"), { channels });
    const bad = await connectDevice(await town.coordinator.enroll("bad"), { channels });
    const series = {
      values: Float32Array.from({ length: 300 }, (_, i) => (i % 7) + (i % 3)),
      rows: 100,
      channels,
    };
    const range = { from: 0, to: 100 };
    try {
      const asked = (device: ScriptedDevice, second: boolean) =>
        until(
          () =>
            device.commands.find((c) => c.kind === "ask-statistics" && (c.fleet !== undefined) === second),
          "the question",
        );
      const answer = async (device: ScriptedDevice, nonce: string, values: Uint8Array) =>
        device.request({ kind: "statistics", task: "main", nonce, values });
      const moments = encodeStatistics(seriesStatistics(series));
      for (const device of [good, bad]) await answer(device, (await asked(device, false)).nonce, moments);
      const { nonce, fleet } = (await asked(good, true)) as { nonce: string; fleet: Uint8Array };
      const sketch = sketchOf(series, range, Uint8Array.from(fleet));
      await answer(bad, nonce, moments);
      await answer(bad, nonce, sketch.subarray(0, 50));
      const others = encodeStatistics(seriesStatistics(series, { from: 0, to: 10 }));
      await answer(bad, nonce, sketchOf(series, range, others));
      await until(() => town.coordinator.view.device("bad")?.refused.BAD_SHAPE, "the last refusal");
      expect(town.coordinator.view.device("bad")?.refused).toEqual({ BAD_MESSAGE: 2, BAD_SHAPE: 1 });
      await answer(good, nonce, sketch);
      expect((await good.version()).header.statistics).toEqual(quantileStatistics([sketch]));
    } finally {
      await good.close();
      await bad.close();
      await town.close();
    }
  });
});
