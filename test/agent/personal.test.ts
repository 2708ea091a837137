import { readdir, truncate } from "node:fs/promises";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { readScores } from "../../agent/index.ts";
import { openDetector } from "../../models/detectors/open.ts";
import { personalModel } from "../../models/detectors/personal.ts";
import { decodeFrame, type VersionHeader } from "../../protocol/frame.ts";
import type { Heartbeat } from "../../protocol/messages.ts";
import type { TaskSpec } from "../../protocol/task.ts";
import { until } from "../support/until.ts";
import { faulty, isBuilt, type Sandbox, sandbox, waves } from "./sandbox.ts";
import {
  channels,
  makeVersion,
  type ScriptedCoordinator,
  startScripted,
  task,
  type Version,
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

/** Any training is better than the fresh weights that makeVersion gives. */
const personal: Partial<TaskSpec> = { personal: true, rounds: 3 };
const serving = { phase: "serving", task: personal } as const;
/** Seconds of training, even here. */
const slow = {
  ...serving,
  task: { ...personal, training: { ...task.training, epochs: 1000, batchSize: 1 } },
};

async function source(hold = true) {
  const history = await box.csv("history.csv", waves(600));
  const file = await box.csv("live.csv", faulty(400, 200, 240));
  return { kind: "replay", file, history, speed: 0, hold } as const;
}

const model = () => coordinator.beats.at(-1)?.personal;
const birthsOf = () => coordinator.states.filter(({ kind }) => kind === "birth").length;

function settled(): Promise<NonNullable<Heartbeat["personal"]>> {
  return until(() => model() ?? undefined, "a heartbeat that says which model scores");
}

function installed(version: Version) {
  return until(
    () => coordinator.beats.some(({ running }) => running?.sha256 === version.sha256),
    "the version to be installed",
  );
}

function personalFiles(state = box.state) {
  return readdir(join(state, "versions")).then((names) => names.filter((name) => name.endsWith(".weights")));
}

describe.skipIf(!isBuilt)("personal models", () => {
  it("score once the rounds are over, as the rule of the evaluation chooses; alerts say so, and before there is none", async () => {
    const version = await makeVersion(1);
    const scoresFile = box.path("scores");
    const agent = await box.start(coordinator, { source: await source(), scoresFile });
    await coordinator.want(version, { task: personal });
    await installed(version);
    expect(coordinator.beats.at(-1)).toMatchObject({ personal: null });
    await coordinator.want(version, serving);
    const said = await settled();
    await agent.ended;

    const { header, weights } = decodeFrame(version.frame);
    const { topology } = header as VersionHeader;
    const values = Float32Array.from(waves(600).flat());
    const data = { values, rows: 600, channels };
    const detector = await openDetector({
      ...{ spec: task.detector, topology, channels },
      ...{ seed: task.seed, statistics: null, maxBatch: task.training.batchSize },
    });
    const first = detector.weights();
    const { training, seed } = task;
    const expected = await personalModel({
      ...{ detector, fleet: weights, first, data, seed },
      task: { training, rounds: 3 },
    });
    expect(said).toEqual({ model: expected.model, losses: expected.losses });
    expect(said.model).not.toBe("fleet");

    detector.setWeights(expected.weights);
    const calibration = detector.calibrate(data, task.alarm);
    const scorer = detector.scorer(calibration, task.alarm.smooth);
    for (let i = 0; i < 600; i++) scorer.push(values.subarray(i * channels, (i + 1) * channels));
    const live = faulty(400, 200, 240).map((row) => scorer.push(Float32Array.from(row)));
    detector.dispose();
    const { scores } = await readScores(scoresFile);
    expect(scores.length).toBe(400);
    expect(coordinator.beats.at(-1)!.level).toMatchObject({ installed: calibration.threshold });
    for (const [i, score] of scores.entries()) expect(score / live[i]!).toBeCloseTo(1, 3);
    expect(coordinator.alerts.length).toBeGreaterThan(0);
    for (const alert of coordinator.alerts)
      expect(alert).toMatchObject({ model: said.model, version: { number: 1, sha256: version.sha256 } });
  });

  it("stay away where they are worse than the fleet's, and after a restart it is not tried again", async () => {
    const version = await makeVersion(1);
    // No training that arrives anywhere: what comes of it forecasts worse than small random weights.
    const wild = {
      ...serving,
      task: { ...personal, training: { ...task.training, learningRate: 10, clipNorm: 0 } },
    };
    const first = await box.start(coordinator, { source: await source() });
    await coordinator.want(version, wild);
    const said = await settled();
    expect(said).toMatchObject({ model: "fleet" });
    expect(said.problem).toBeUndefined();
    await first.ended;
    expect(coordinator.alerts.length).toBeGreaterThan(0);
    for (const alert of coordinator.alerts) expect(alert).not.toHaveProperty("model");
    expect(await personalFiles()).toEqual([]);
    await first.close();
    coordinator.beats.length = 0;
    const births = birthsOf();
    await box.start(coordinator, { source: await source() });
    await until(() => birthsOf() > births && coordinator.beats.length > 1, "heartbeats after the restart");
    expect(coordinator.beats.map(({ personal }) => personal)).toEqual(coordinator.beats.map(() => said));
    expect(coordinator.beats.some(({ activity }) => activity === "training")).toBe(false);
  });

  it("outlive a power cut, with scores as if there had been none", async () => {
    const version = await makeVersion(1);
    const first = await box.start(coordinator, { source: await source() });
    await coordinator.want(version, serving);
    const said = await settled();
    await first.ended;
    const { level } = await until(
      () => coordinator.beats.find((beat) => beat.sourceEnded),
      "the last heartbeat",
    );
    const stateDir = await box.crashCopy("after");
    await first.close();
    coordinator.beats.length = 0;
    await box.start(coordinator, { source: await source(), stateDir });
    const beat = await until(() => coordinator.beats.at(0), "a heartbeat after the restart");
    expect(beat).toMatchObject({ personal: said, level: { threshold: level!.threshold } });
    expect((await personalFiles(stateDir)).length).toBe(1);
  });

  it("that are cut short by a power cut are made after the restart", async () => {
    const version = await makeVersion(1);
    const first = await box.start(coordinator, { source: await source() });
    await coordinator.want(version, slow);
    await until(() => coordinator.beats.at(-1)?.activity === "training", "the training to begin");
    const stateDir = await box.crashCopy("after");
    await first.close();
    coordinator.beats.length = 0;
    await coordinator.want(version, serving);
    await box.start(coordinator, { source: await source(), stateDir });
    expect((await settled()).model).not.toBe("fleet");
  });

  it("that are damaged on disk are made again", async () => {
    const version = await makeVersion(1);
    const first = await box.start(coordinator, { source: await source() });
    await coordinator.want(version, serving);
    await settled();
    await first.close();
    const [name] = await personalFiles();
    await truncate(join(box.state, "versions", name!), 40);
    coordinator.beats.length = 0;
    await box.start(coordinator, { source: await source() });
    expect((await settled()).model).not.toBe("fleet");
    expect((await personalFiles()).length).toBe(1);
    expect(await readdir(join(box.state, "damaged"))).toEqual([name]);
  });

  it("are replaced by a new version, whose own come after it; updates start from the fleet's version", async () => {
    const [one, two] = [await makeVersion(1), await makeVersion(2)];
    await box.start(coordinator, { source: await source(false) });
    await coordinator.want(one, serving);
    expect((await settled()).model).not.toBe("fleet");
    const [before] = await personalFiles();
    // The coordinator has more rounds to run: the device goes on scoring with its own, and trains from the version.
    await coordinator.want(one, { task: { ...personal, rounds: 6 } });
    await coordinator.invite(one);
    await until(() => coordinator.updates.length === 1, "an update");
    expect(model()?.model).not.toBe("fleet");
    const delta = decodeFrame(coordinator.updates[0]!).weights;
    const { header, weights } = decodeFrame(one.frame);
    const detector = await openDetector({
      ...{ spec: task.detector, topology: (header as VersionHeader).topology, channels },
      ...{ seed: 0, statistics: null, maxBatch: task.training.batchSize },
    });
    detector.setWeights(weights);
    const rows = coordinator.beats.at(-1)!.rows;
    expect(rows).toBe(400);
    const values = Float32Array.from([...waves(600), ...faulty(400, 200, 240)].flat());
    await detector.train({ values, rows: 1000, channels }, { training: task.training, seed: 7 });
    const trained = detector.weights();
    detector.dispose();
    for (const [i, d] of delta.entries()) expect(d).toBe(Math.fround(trained[i]! - weights[i]!));

    await coordinator.want(two, { task: { ...personal, rounds: 6 } });
    await until(() => coordinator.beats.at(-1)?.running?.number === 2, "the second version");
    expect(await until(() => model() === null, "the fleet's model to score")).toBe(true);
    await coordinator.want(two, { ...serving, task: { ...personal, rounds: 6 } });
    await settled();
    const names = await personalFiles();
    expect(names.filter((name) => name.startsWith(two.sha256)).length).toBe(1);
    expect(names).not.toContain(undefined);
    expect(names.filter((name) => name !== before && !name.startsWith(two.sha256))).toEqual([]);
  });

  it("wait for the end of an open alarm, then take over between two rows of a stream: each row has one score", async () => {
    const version = await makeVersion(1);
    const scoresFile = box.path("scores");
    const input = new PassThrough();
    const history = await box.csv("history.csv", waves(600));
    // Rows enough to learn from, and few enough for the fault to be forgotten by the end of the burst below.
    const windowRows = 300;
    const live = { kind: "stdin", input, history } as const;
    const agent = await box.start(coordinator, { source: live, scoresFile, windowRows });
    await coordinator.want(version);
    await installed(version);
    const rows = 2000;
    const stream = faulty(rows, 20, 26).map((row) => `${JSON.stringify(row)}\n`);
    const write = (from: number, to: number) => input.write(stream.slice(from, to).join(""));
    // It stops in the middle of the fault, so that the alarm stays open.
    write(0, 24);
    await until(() => coordinator.alerts.length > 0, "the onset");
    await coordinator.want(version, serving);
    const beats = coordinator.beats.length;
    await until(() => coordinator.beats.length > beats + 15, "longer than the agent waits to look again");
    expect(model()).toBeNull();
    write(24, 1500);
    let at = 1500;
    const said = await until(() => {
      if (at < rows - 1) write(at, ++at);
      return model() ?? undefined;
    }, "a model of its own");
    expect(said.model).not.toBe("fleet");
    expect(coordinator.alerts.map(({ phase, model }) => [phase, model])).toEqual([
      ["onset", undefined],
      ["end", undefined],
    ]);
    expect(coordinator.beats.find(({ personal }) => personal)!.rows).toBeLessThan(rows);
    input.end(stream.slice(at).join(""));
    await agent.ended;
    const last = await until(() => coordinator.beats.find((beat) => beat.sourceEnded), "the last heartbeat");
    expect(last).toMatchObject({ rows, scored: rows });
    expect([...(await readScores(scoresFile)).rows]).toEqual(Array.from({ length: rows }, (_, row) => row));
  });

  it("end where the task no longer asks for them: the fleet's model comes back", async () => {
    const version = await makeVersion(1);
    await box.start(coordinator, { source: await source(false) });
    await coordinator.want(version, serving);
    expect((await settled()).model).not.toBe("fleet");
    const { threshold } = coordinator.beats.at(-1)!.level!;
    await coordinator.want(version, { phase: "serving" });
    const beat = await until(() => {
      const last = coordinator.beats.at(-1)!;
      return last.personal === undefined && last.level?.threshold !== threshold && last;
    }, "the fleet's model to score");
    expect(beat.running).toEqual({ number: 1, sha256: version.sha256 });
  });

  it("are given up where the training thread dies each time: the fleet's model scores every row, and the heartbeat says why", async () => {
    const version = await makeVersion(1);
    const plain = await box.start(coordinator, { source: await source() });
    await coordinator.want(version);
    await installed(version);
    await plain.close();
    const broken = () => "process.exit(3)";
    const agent = await box.start(coordinator, {
      source: await source(),
      trainerScript: broken,
      random: () => 0,
    });
    await coordinator.want(version, serving);
    const said = await until(() => model() ?? undefined, "the agent to give up");
    expect(said).toMatchObject({
      model: "fleet",
      losses: null,
      problem: expect.stringMatching(/^UNAVAILABLE: /),
    });
    await agent.ended;
    const last = await until(() => coordinator.beats.find((beat) => beat.sourceEnded), "the last heartbeat");
    expect(last).toMatchObject({ rows: 400, scored: 400 });
  }, 30_000);
});
