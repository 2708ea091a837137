import { readdir, readFile, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { readScores } from "../../agent/index.ts";
import { decodeStatistics } from "../../models/data/statistics.ts";
import { decodeFrame, layoutSize } from "../../protocol/frame.ts";
import { makeSigningKeys, readPrivateKey, signManifest } from "../../protocol/manifest.ts";
import type { AlarmSpec } from "../../protocol/task.ts";
import { chunkCount } from "../../protocol/transfer.ts";
import { until } from "../support/until.ts";
import { faulty, isBuilt, type Sandbox, sandbox, waves } from "./sandbox.ts";
import {
  channels,
  find,
  makeVersion,
  type ScriptedCoordinator,
  startScripted,
  task,
} from "./scripted-coordinator.ts";

let box: Sandbox;
let coordinator: ScriptedCoordinator;
beforeEach(async ({ onTestFailed }) => {
  box = await sandbox();
  const { log } = box;
  onTestFailed(() => console.error(`what the agents said:\n${log.lines.join("\n")}`));
  coordinator = await startScripted();
});
afterEach(async () => {
  await box.close();
  await coordinator.close();
});

/** Seconds of training, even here. */
const long = { ...task.training, epochs: 1000, batchSize: 1 };

/** A source with history and nothing to score yet. */
async function held() {
  const history = await box.csv("history.csv", waves(600));
  const file = await box.csv("live.csv", faulty(400, 200, 240));
  return { kind: "replay", file, history, speed: 0, hold: true } as const;
}

function installed(version: { readonly sha256: string }) {
  return until(
    () =>
      coordinator
        .of("status")
        .some((status) => status.state === "installed" && status.version.sha256 === version.sha256),
    "the version to be installed",
  );
}

describe("connection", () => {
  it("says birth, beats, says why it goes, and counts its starts", async () => {
    await coordinator.want(null);
    const source = await held();
    const first = await box.start(coordinator, { source });
    await find(coordinator.states, ({ kind }) => kind === "birth", "a birth");
    expect(coordinator.states[0]).toMatchObject({ kind: "birth", bootSeq: 1, channels, running: null });
    const beat = await until(() => coordinator.beats.at(2), "three heartbeats");
    expect(beat).toMatchObject({ bootSeq: 1, rows: 0, activity: "idle", sourceEnded: false, scores: null });
    await first.close();
    await find(coordinator.states, ({ kind }) => kind === "death", "a farewell");
    expect(coordinator.states.at(-1)).toEqual({ kind: "death", bootSeq: 1, reason: "shutdown" });
    await box.start(coordinator, { source });
    await find(
      coordinator.states,
      ({ kind, bootSeq }) => kind === "birth" && bootSeq === 2,
      "a second birth",
    );
  });

  it("is born again after a lost connection, whose last will has the same bootSeq", async () => {
    await box.start(coordinator, { source: await held() });
    await find(coordinator.states, ({ kind }) => kind === "birth", "a birth");
    coordinator.cut();
    await until(() => coordinator.states.length === 3, "a death and a birth");
    expect(coordinator.states.map((state) => state.kind === "death" && state.reason)).toContain("lost");
    expect(coordinator.states.every(({ bootSeq }) => bootSeq === 1)).toBe(true);
  });

  it("says what to do when its login is refused, and does not hammer", async () => {
    coordinator.logins.refuse = true;
    await box.start(coordinator, { source: await held() });
    await find(box.log.lines, (line) => line.includes("refuses this device's login"), "the reason");
    expect(coordinator.logins.tried).toBe(1);
  });

  it("counts and logs bad messages and goes on", async () => {
    await box.start(coordinator, { source: await held() });
    await find(coordinator.states, ({ kind }) => kind === "birth", "a birth");
    for (const kind of ["want", "ack", "chunk", "cmd"] as const)
      await coordinator.sendRaw(kind, new Uint8Array([0xc1, 0xff]));
    await until(
      () => box.log.lines.filter((line) => line.includes("a message was refused")).length === 4,
      "four warnings",
    );
    await coordinator.want(null);
    const before = coordinator.beats.length;
    await until(() => coordinator.beats.length > before + 1, "heartbeats");
  });

  it("locks its state folder against a second agent", async () => {
    const source = await held();
    await box.start(coordinator, { source });
    await expect(box.start(coordinator, { source })).rejects.toMatchObject({ code: "LOCKED" });
  });

  it("answers what it is asked at its birth, before the broker has acknowledged it", async () => {
    const ask = { kind: "ask-statistics", task: task.id, nonce: "b".repeat(32) };
    coordinator.manners.state = () => coordinator.send("cmd", ask);
    await box.start(coordinator, { source: await held() });
    await until(() => coordinator.of("statistics").length > 0, "statistics");
  });

  it("sends the statistics of the part that it trains on", async () => {
    await coordinator.want(null);
    await box.start(coordinator, { source: await held() });
    await until(() => coordinator.beats.length > 0, "a heartbeat");
    await coordinator.send("cmd", { kind: "ask-statistics", task: task.id, nonce: "b".repeat(32) });
    const [answer] = await until(() => {
      const list = coordinator.of("statistics");
      return list.length > 0 && list;
    }, "statistics");
    const { count, mean } = decodeStatistics(answer!.values);
    expect([...count]).toEqual([480, 480, 480]);
    expect(Math.abs(mean[0]!)).toBeLessThan(0.1);
  });
});

describe.skipIf(!isBuilt)("versions", () => {
  it("pulls, calibrates, installs and scores; alerts carry the onset's id, channels and names", async () => {
    const version = await makeVersion(1);
    const scoresFile = box.path("scores");
    const agent = await box.start(coordinator, { source: await held(), scoresFile });
    await coordinator.want(version);
    await installed(version);
    expect(coordinator.beats.at(-1)?.rows ?? 0).toBe(0);
    await coordinator.want(version, { phase: "serving" });
    await agent.ended;
    const [onset, end] = coordinator.alerts;
    expect(onset).toMatchObject({ phase: "onset", version: { number: 1, sha256: version.sha256 } });
    expect(onset!.row).toBeGreaterThanOrEqual(200);
    expect(onset!.row).toBeLessThan(206);
    expect(onset!.event).toBe(onset!.id);
    expect(onset!.channels.length).toBeGreaterThan(0);
    expect(onset!.channels.length).toBeLessThanOrEqual(5);
    expect(onset!.channels[0]).toMatchObject({ name: expect.stringMatching(/^c[1-3]$/) });
    expect(end).toMatchObject({ phase: "end", event: onset!.id });
    expect(end!.durationRows).toBeGreaterThanOrEqual(38);
    expect(onset!.since).toBeLessThanOrEqual(onset!.row);
    expect(onset!.since).toBeGreaterThanOrEqual(200);
    expect(onset!.probability).toBeLessThan(0.01);
    expect(end).toMatchObject({ since: onset!.since, until: end!.since! + end!.durationRows! - 1 });
    expect(end!.peakRow).toBeGreaterThanOrEqual(end!.since!);
    expect(end!.peakRow).toBeLessThanOrEqual(end!.until!);
    expect(end!.probability).toBeLessThanOrEqual(onset!.probability!);
    expect(end!.causes!.length).toBeGreaterThan(0);
    const { rows, alarms } = await readScores(scoresFile);
    expect([...rows]).toEqual(Array.from({ length: 400 }, (_, i) => i));
    expect([alarms[199], alarms[220], alarms[399]]).toEqual([0, 1, 0]);
    const last = await find(coordinator.beats, ({ sourceEnded }) => sourceEnded, "the last heartbeat");
    expect(last).toMatchObject({ rows: 400, scored: 400, drift: { index: expect.any(Number) } });
    const { threshold } = onset!;
    expect(last.level).toEqual({
      ...{ threshold, installed: threshold, basis: "rule" },
      ...{ recalibrations: 0, limited: false },
    });
  });

  it("a budget is kept where the rows per second are known, by the task or by the data, else it says that it can't be", async () => {
    const version = await makeVersion(1);
    await box.start(coordinator, { source: await held() });
    const basis = async (alarm: Partial<AlarmSpec>) => {
      const before = coordinator.of("status").length;
      await coordinator.want(version, { alarm });
      await until(() => coordinator.of("status").length > before, "the version to be installed anew");
      const beats = coordinator.beats.length;
      const beat = await until(() => coordinator.beats.slice(beats + 1).at(0), "a heartbeat");
      return beat.level?.basis;
    };
    expect(await basis({ budget: "1 per week" })).toBe("fallback");
    expect(box.log.lines.some((line) => line.includes("set rateHz"))).toBe(true);
    expect(await basis({ budget: "9 per minute", rateHz: 0.5 })).toBe("counted");
    expect(await basis({ budget: "1 per year", rateHz: 0.5 })).not.toBe("counted");
  });

  it("scores that drift are said so, the threshold is fitted again, and a restart knows of it", async () => {
    const version = await makeVersion(1);
    const history = await box.csv("long.csv", waves(2000));
    // Half as far up and down: quieter than ever, so that no alarm is in the way.
    const calm = (rows: number, from: number) =>
      waves(rows, 3, from)
        .map((row) => JSON.stringify(row.map((x) => x / 2)))
        .join("\n");
    const watchSizes = { memoryRows: 200, keptScores: 400, pauseRows: 5000 };
    const input = new PassThrough();
    const source = { kind: "stdin", input, history } as const;
    const agent = await box.start(coordinator, { source, watchSizes });
    // A quantile that 400 scores can show: nothing is extrapolated.
    await coordinator.want(version, { alarm: { quantile: 0.95 } });
    await installed(version);
    input.end(`${calm(3000, 2000)}\n`);
    await agent.ended;
    const last = await find(coordinator.beats, ({ sourceEnded }) => sourceEnded, "the last heartbeat");
    expect(coordinator.alerts).toEqual([]);
    expect(last).toMatchObject({ rows: 3000, drift: { state: "retrain-due" } });
    // A quarter of the squares, and no more than half of the threshold.
    expect(last.level).toMatchObject({ recalibrations: 1, limited: true });
    expect(last.level!.threshold).toBe(last.level!.installed / 2);
    expect(box.log.lines.some((line) => line.includes("goes no further than 2 times"))).toBe(true);
    await agent.close();

    const again = new PassThrough();
    const beats = coordinator.beats.length;
    await box.start(coordinator, { source: { kind: "stdin", input: again, history }, watchSizes });
    again.write(`${calm(10, 5000)}\n`);
    const { level, drift } = await find(
      coordinator.beats,
      ({ rows }) => rows === 3010 && coordinator.beats.length > beats,
      "a heartbeat",
    );
    expect(level).toEqual(last.level);
    expect(drift?.state).toBe("retrain-due");
  });

  it("refuses a foreign signature and a lower number, says so, and keeps what it runs", async () => {
    const [one, two] = [await makeVersion(1), await makeVersion(2)];
    await box.start(coordinator, { source: await held() });
    const foreign = signManifest(one.manifest, readPrivateKey(makeSigningKeys().privateKey));
    await coordinator.want(one, { signed: foreign });
    await find(box.log.lines, (line) => line.includes("BAD_SIGNATURE"), "the refusal");
    expect(coordinator.of("pull")).toEqual([]);
    await coordinator.want(two);
    await installed(two);
    await coordinator.want(one);
    const failed = await until(
      () => coordinator.of("status").find(({ state }) => state === "failed"),
      "a status",
    );
    expect(failed).toMatchObject({ code: "FORBIDDEN", version: { number: 1 } });
    const beat = coordinator.beats.length;
    await until(() => coordinator.beats.length > beat + 1, "heartbeats");
    expect(coordinator.beats.at(-1)?.running).toEqual({ number: 2, sha256: two.sha256 });
  });

  it("asks again for a chunk with a wrong hash", async () => {
    const version = await makeVersion(1);
    let spoilt = 0;
    coordinator.manners.spoil = (index, data) => {
      if (index === 1 && spoilt++ === 0) data[0]! ^= 1;
      return data;
    };
    await box.start(coordinator, { source: await held() });
    await coordinator.want(version);
    await installed(version);
    expect(spoilt).toBe(2);
    expect(box.log.lines.some((line) => line.includes("BAD_HASH"))).toBe(true);
  });

  it("refuses a version for another number of channels and declines its rounds at once", async () => {
    const version = await makeVersion(1, { channels: channels + 1 });
    await box.start(coordinator, { source: await held() });
    await coordinator.want(version);
    await until(() => coordinator.of("status").some(({ code }) => code === "BAD_SHAPE"), "a status");
    await coordinator.invite(version);
    const [decline] = await until(() => {
      const list = coordinator.of("decline");
      return list.length > 0 && list;
    }, "a decline");
    expect(decline).toMatchObject({ code: "UNAVAILABLE", message: expect.stringContaining("channels") });
  });

  it("goes on with a half pulled version after a power cut", async () => {
    const version = await makeVersion(1);
    const count = chunkCount(version.manifest.transfer);
    expect(count).toBeGreaterThan(8);
    const source = await held();
    // Five chunks arrive, the others are damaged on the way.
    coordinator.manners.spoil = (index, data) => (index < 5 ? data : new Uint8Array(data.length));
    const first = await box.start(coordinator, { source });
    await coordinator.want(version);
    const part = join(box.state, "versions", `${version.sha256}.part`);
    await until(
      async () => (await readFile(part).catch(() => new Uint8Array())).length >= 5 * task.chunkBytes,
      "five chunks on disk",
    );
    const stateDir = await box.crashCopy("after");
    await first.close();
    coordinator.manners.spoil = (_, data) => data;
    const before = coordinator.of("pull").length;
    await box.start(coordinator, { source, stateDir });
    await installed(version);
    const asked = coordinator
      .of("pull")
      .slice(before)
      .flatMap(({ indexes }) => indexes);
    expect([...new Set(asked)].sort((a, b) => a - b)).toEqual(
      Array.from({ length: count - 5 }, (_, i) => i + 5),
    );
  });

  it("runs the same version after a restart; a damaged one is fetched again", async () => {
    const version = await makeVersion(1);
    const source = await held();
    const first = await box.start(coordinator, { source });
    await coordinator.want(version);
    await installed(version);
    await first.close();
    const births = () => coordinator.states.filter(({ kind }) => kind === "birth");
    const second = await box.start(coordinator, { source });
    await until(() => births().length === 2, "a second birth");
    expect(births()[1]).toMatchObject({ running: { number: 1, sha256: version.sha256 } });
    await second.close();
    const frame = join(box.state, "versions", `${version.sha256}.frame`);
    await truncate(frame, 100);
    const pulls = coordinator.of("pull").length;
    await box.start(coordinator, { source });
    await until(() => births().length === 3, "a third birth");
    expect(births()[2]).toMatchObject({ running: null });
    // Only what this third start says counts: the second one's heartbeats name the version too.
    const { bootSeq } = births()[2]!;
    await until(
      () =>
        coordinator.beats.some((beat) => beat.bootSeq === bootSeq && beat.running?.sha256 === version.sha256),
      "the version to run again",
    );
    expect(coordinator.of("pull").length).toBeGreaterThan(pulls);
    expect(await readdir(join(box.state, "damaged"))).toContain(`${version.sha256}.frame`);
  });

  it("starts with damaged state files, and its bootSeq still grows", async () => {
    const source = await held();
    const first = await box.start(coordinator, { source });
    await coordinator.want(await makeVersion(1));
    await until(() => coordinator.of("status").length > 0, "an install");
    await first.close();
    for (const name of ["boot.json", "checkpoint.json", "want"])
      await writeFile(join(box.state, name), "{ damaged");
    await box.start(coordinator, { source });
    const birth = await find(
      coordinator.states,
      (state) => state.kind === "birth" && state.bootSeq > 1,
      "a birth",
    );
    expect(birth.bootSeq).toBeGreaterThan(1e9);
    await until(() => coordinator.beats.at(-1)?.running?.number === 1, "the version to be installed again");
  });
});

describe.skipIf(!isBuilt)("rounds", () => {
  it("accepts, trains and sends a delta against the base; the same invitation again trains nothing", async () => {
    const version = await makeVersion(1);
    await box.start(coordinator, { source: await held() });
    await coordinator.want(version);
    await until(() => coordinator.states.length > 0, "a birth");
    const invite = await coordinator.invite(version); // before it is installed: it waits for its base
    const bytes = await until(() => coordinator.updates[0], "the update");
    const { header, weights } = decodeFrame(bytes);
    expect(header).toMatchObject({ kind: "update", base: version.sha256 });
    expect(weights.length).toBe(layoutSize(header.layout));
    expect(weights.some((w) => w !== 0)).toBe(true);
    expect(weights.every((w) => Math.abs(w) < 1)).toBe(true);
    expect(coordinator.of("accept")).toEqual([
      { kind: "accept", task: task.id, round: 1, nonce: invite.nonce },
    ]);
    await find(box.log.lines, (line) => line.includes("the update was stored"), "the ack");
    await coordinator.invite(version);
    await until(() => coordinator.of("offer").length > 1, "the same offer again");
    const [offer, ...again] = coordinator.of("offer");
    for (const other of again) expect(other).toEqual(offer);
    expect(box.log.lines.filter((line) => line.includes("trained for round")).length).toBe(1);
  });

  it("leaves recorded data as they are when it trains on them: the next version is calibrated on the same rows", async () => {
    const one = await makeVersion(1);
    // Far from z-scores, which is what would be left if they were scaled in place.
    const far = (rows: number[][]) => rows.map((row) => row.map((x) => 1000 + 50 * x));
    const history = await box.csv("history.csv", far(waves(600)));
    const file = await box.csv("live.csv", far(faulty(400, 200, 240)));
    const source = { kind: "replay", file, history, speed: 0, hold: true } as const;
    const agent = await box.start(coordinator, { source });
    await coordinator.want(one);
    await installed(one);
    await coordinator.invite(one);
    await until(() => coordinator.updates[0], "the update");
    const two = await makeVersion(2);
    await coordinator.want(two);
    await installed(two);
    await coordinator.want(two, { phase: "serving" });
    await agent.ended;
    expect(coordinator.alerts[0]!.row).toBeGreaterThanOrEqual(200);
    expect(coordinator.alerts[0]!.row).toBeLessThan(206);
  });

  it("sends what is missing after a power cut with half of the chunks acknowledged, under the same id", async () => {
    const version = await makeVersion(1);
    const source = await held();
    coordinator.manners.take = (index) => index < 3;
    const first = await box.start(coordinator, { source });
    await coordinator.want(version);
    await until(() => coordinator.states.length > 0, "a birth");
    await coordinator.invite(version);
    const offer = await until(() => coordinator.of("offer")[0], "an offer");
    const count = chunkCount(offer.manifest);
    expect(count).toBeGreaterThan(4);
    await until(() => new Set(coordinator.chunks).size === count, "every chunk to be sent once");
    const stateDir = await box.crashCopy("after");
    await first.close();
    coordinator.manners.take = () => true;
    coordinator.chunks.length = 0;
    await box.start(coordinator, { source, stateDir });
    await until(() => coordinator.updates.length === 1, "the update");
    expect(Math.min(...coordinator.chunks)).toBe(3);
    const last = coordinator.of("offer").at(-1)!;
    expect(last).toEqual(offer);
    expect(last.bootSeq).toBe(1);
  });

  it("stops training when it is cancelled, and trains for the next invitation", async () => {
    const version = await makeVersion(1);
    await box.start(coordinator, { source: await held() });
    await coordinator.want(version);
    await installed(version);
    const { nonce } = await coordinator.invite(version, { training: long });
    await until(() => coordinator.beats.at(-1)?.activity === "training", "training");
    await coordinator.send("cmd", { kind: "cancel", task: task.id, round: 1, nonce, message: "enough" });
    await until(() => coordinator.beats.at(-1)?.activity === "idle", "the training to stop");
    expect(coordinator.of("offer")).toEqual([]);
    await coordinator.invite(version, { round: 2, nonce: "c".repeat(32) });
    await until(() => coordinator.updates.length === 1, "the update of the next round");
  });

  it("gives up at the deadline with a decline", async () => {
    const version = await makeVersion(1);
    await box.start(coordinator, { source: await held() });
    await coordinator.want(version);
    await installed(version);
    await coordinator.invite(version, { training: long, deadlineMs: 300 });
    const [decline] = await until(() => {
      const list = coordinator.of("decline");
      return list.length > 0 && list;
    }, "a decline");
    expect(decline).toMatchObject({ code: "TIMEOUT", round: 1 });
  });

  it("declines at once with too little data", async () => {
    const version = await makeVersion(1);
    const input = new PassThrough();
    await box.start(coordinator, { source: { kind: "stdin", input, channels: ["a", "b", "c"] } });
    await coordinator.want(version);
    await until(() => coordinator.of("status").some(({ code }) => code === "UNAVAILABLE"), "a status");
    await coordinator.invite(version);
    const [decline] = await until(() => {
      const list = coordinator.of("decline");
      return list.length > 0 && list;
    }, "a decline");
    expect(decline).toMatchObject({ code: "UNAVAILABLE", message: expect.stringContaining("no data") });
  });
});

describe.skipIf(!isBuilt)("alerts", () => {
  it("stay on disk until they are acknowledged, over a power cut", async () => {
    const version = await makeVersion(1);
    const source = await held();
    coordinator.manners.alerts = false;
    const scoresFile = box.path("scores");
    const first = await box.start(coordinator, { source, scoresFile });
    await coordinator.want(version, { phase: "serving" });
    await until(() => coordinator.beats.at(-1)?.sourceEnded, "the end of the source");
    await until(() => coordinator.alerts.length >= 2, "both alerts");
    const ids = [...new Set(coordinator.alerts.map(({ id }) => id))];
    const stateDir = await box.crashCopy("after");
    await first.close();
    coordinator.alerts.length = 0;
    coordinator.manners.alerts = true;
    const second = await box.start(coordinator, { source, stateDir, scoresFile });
    await second.ended;
    expect(coordinator.alerts.map(({ id }) => id)).toEqual(ids);
    expect(await readdir(join(stateDir, "spool"))).toEqual([]);
    expect((await readScores(scoresFile)).rows.length).toBe(400);
  });

  it("are the same ones when rows are read again after a power cut in the middle", async () => {
    const version = await makeVersion(1);
    const history = await box.csv("history.csv", waves(600));
    const file = await box.csv("live.csv", faulty(400, 200, 240));
    const source = { kind: "replay", file, history, speed: 2000, hold: true } as const;
    const scoresFile = box.path("scores");
    const first = await box.start(coordinator, { source, scoresFile });
    await coordinator.want(version, { phase: "serving" });
    await until(() => coordinator.alerts.length === 1, "the onset");
    const stateDir = await box.crashCopy("after");
    await first.ended;
    await first.close();
    const reference = [...coordinator.alerts];
    const scores = await readScores(scoresFile);
    coordinator.alerts.length = 0;
    const second = await box.start(coordinator, { source, stateDir, scoresFile });
    await second.ended;
    const end = coordinator.alerts.at(-1);
    expect(end).toEqual(reference.at(-1));
    for (const alert of coordinator.alerts) expect(reference.map(({ id }) => id)).toContain(alert.id);
    expect(await readScores(scoresFile)).toEqual(scores);
  });
});

describe("stdin", () => {
  it("leaves malformed lines out with their numbers, and counts the others", async () => {
    const input = new PassThrough();
    const lines = ["nonsense", "[1,2,3]", "[1,2]", "[1,null,3]", "{}", "", '[1,"x",3]', "[4,5,6]"];
    input.end(`${lines.join("\n")}\n${"9".repeat(70_000)}\n[7,8,9]`);
    const agent = await box.start(coordinator, { source: { kind: "stdin", input } });
    await agent.ended;
    await until(() => coordinator.beats.some(({ sourceEnded }) => sourceEnded), "the last heartbeat");
    expect(coordinator.beats.at(-1)).toMatchObject({ rows: 4, scored: 0 });
    const named = box.log.lines.flatMap((line) => line.match(/warn line (\d+) of the input/)?.[1] ?? []);
    expect(named).toEqual(["1", "3", "5", "7", "9"]);
    await agent.close();
  });

  it("with a history - its window is full before the first line, whose channels it names", async () => {
    const history = box.path("history.csv");
    await writeFile(
      history,
      `flow,pressure,current\n${waves(600)
        .map((row) => row.join(","))
        .join("\n")}`,
    );
    const input = new PassThrough();
    await coordinator.want(null);
    await box.start(coordinator, { source: { kind: "stdin", input, history } });
    const birth = await find(coordinator.states, ({ kind }) => kind === "birth", "a birth");
    expect(birth).toMatchObject({ channels: 3, channelNames: "flow\npressure\ncurrent" });
    input.write('{"pressure":2,"flow":1}\n{"speed":4}\n[1,2,3]\n[1,2]\n');
    await until(() => coordinator.beats.at(-1)?.rows === 2, "the two good lines");
    expect(box.log.lines.filter((line) => line.includes("of the input is left out"))).toEqual([
      expect.stringContaining(
        "line 2 of the input is left out: it names none of the channels flow, pressure, current",
      ),
      expect.stringContaining("line 4 of the input is left out: it has 2 values, not 3"),
    ]);
    await coordinator.send("cmd", { kind: "ask-statistics", task: task.id, nonce: "b".repeat(32) });
    const [answer] = await until(() => {
      const list = coordinator.of("statistics");
      return list.length > 0 && list;
    }, "statistics");
    // Eight tenths of 602 rows; the history's are there, the row that lacked a channel is not in the part that is trained on.
    expect([...decodeStatistics(answer!.values).count]).toEqual([482, 482, 482]);
  });

  it("keeps its recent data and its row count over a restart", async () => {
    const text = waves(600)
      .map(([a, b, c]) => JSON.stringify({ a, b, c, t: 1_700_000_000_000 }))
      .join("\n");
    const first = new PassThrough();
    first.end(text);
    const agent = await box.start(coordinator, { source: { kind: "stdin", input: first } });
    await agent.ended;
    await agent.close();
    const second = new PassThrough();
    second.write('{"a":1,"b":2,"c":3}\n');
    await coordinator.want(null);
    await box.start(coordinator, { source: { kind: "stdin", input: second } });
    await until(() => coordinator.beats.at(-1)?.rows === 601, "the count to go on");
    await coordinator.send("cmd", { kind: "ask-statistics", task: task.id, nonce: "b".repeat(32) });
    const [answer] = await until(() => {
      const list = coordinator.of("statistics");
      return list.length > 0 && list;
    }, "statistics");
    expect(decodeStatistics(answer!.values).count[0]).toBe(Math.round(601 * 0.8));
  });
});
