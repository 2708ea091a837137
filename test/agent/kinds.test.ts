import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { parseCheckpoint } from "../../agent/checkpoint.ts";
import { readScores } from "../../agent/index.ts";
import { parseRecent } from "../../agent/recent-data.ts";
import { loadModel } from "../../cli/score/model.ts";
import { readInputs } from "../../cli/score/options.ts";
import { scoreSeries } from "../../cli/score/score-series.ts";
import { readPrepared } from "../../models/data/prepared-file.ts";
import { Kinds } from "../../models/data/schema.ts";
import { until } from "../support/until.ts";
import { isBuilt, type Sandbox, sandbox, waves } from "./sandbox.ts";
import {
  find,
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

const kinds = Kinds.parse({ counter: ["bytes"], categorical: { state: ["idle", "busy"] } });
const names = ["load", "bytes", "state=idle", "state=busy", "state=other"];
const prepared = { names: names.join("\n"), kinds: "gcwww" };
const startMs = Date.UTC(2026, 0, 1);

interface Row {
  readonly t: number;
  readonly load: number;
  readonly bytes: number;
  readonly state: string;
}

/** A link: its bytes rise with its load, and are reset once. */
function link(rows: number, seed: number): Row[] {
  let bytes = 2 ** 45;
  return waves(rows, seed).map(([load = 0, noise = 0], i) => {
    bytes = i === 150 ? 10 : bytes + Math.round(1000 * (2 + load) + 50 * noise);
    return { t: startMs + i * 2000, load, bytes, state: load > 0.5 ? "busy" : load < -0.9 ? "off" : "idle" };
  });
}

const lines = (rows: readonly object[]) => `${rows.map((row) => JSON.stringify(row)).join("\n")}\n`;

async function csv(name: string, rows: readonly Row[]): Promise<string> {
  const path = box.path(name);
  const cells = rows.map(({ t, load, bytes, state }) =>
    [new Date(t).toISOString(), load, bytes, state].join(","),
  );
  await writeFile(path, ["time,load,bytes,state", ...cells].join("\n"));
  return path;
}

function installed({ sha256 }: Version) {
  return until(
    () =>
      coordinator
        .of("status")
        .some((status) => status.state === "installed" && status.version.sha256 === sha256),
    "the version to be installed",
  );
}

describe.skipIf(!isBuilt)("kinds of columns", () => {
  it("a stream that is cut by a restart, a replay and starling score give the same scores", async () => {
    const version = await makeVersion(1, { channels: 5, prepared });
    const history = await csv("history.csv", link(600, 1));
    const live = link(400, 2);
    const stream = async (name: string, parts: readonly (readonly Row[])[]) => {
      const scoresFile = box.path(`${name}.scores`);
      const stateDir = box.path(name);
      for (const [i, part] of parts.entries()) {
        const input = new PassThrough();
        const agent = await box.start(coordinator, {
          source: { kind: "stdin", input, history, kinds },
          scoresFile,
          stateDir,
        });
        if (i === 0) {
          coordinator.requests.length = 0;
          await coordinator.want(version);
          await installed(version);
        }
        input.end(lines(part));
        await agent.ended;
        await agent.close();
      }
      return readScores(scoresFile);
    };
    const whole = await stream("whole", [live]);
    const birth = coordinator.states.find(({ kind }) => kind === "birth");
    expect(birth).toMatchObject({ channels: 5, channelNames: prepared.names, channelKinds: "gcwww" });
    expect(whole.rows.length).toBe(400);
    // One cut is where the counter is reset.
    expect(await stream("cut", [live.slice(0, 150), live.slice(150, 231), live.slice(231)])).toEqual(whole);

    const file = await csv("live.csv", live);
    const scoresFile = box.path("replay.scores");
    const replay = { kind: "replay", file, history, kinds, speed: 0, hold: true } as const;
    const stateDir = box.path("replay");
    coordinator.requests.length = 0;
    await coordinator.want(null);
    const agent = await box.start(coordinator, { source: replay, scoresFile, stateDir });
    await coordinator.want(version, { phase: "serving" });
    await agent.ended;
    await agent.close();
    expect(await readScores(scoresFile)).toEqual(whole);

    const kindsFile = box.path("kinds.json");
    await writeFile(kindsFile, JSON.stringify(kinds));
    const model = await loadModel(stateDir, undefined);
    const warn = (text: string) => expect.fail(text);
    const inputs = await readInputs({ file, calibrate: history, kinds: kindsFile }, { model, warn });
    const { scores } = await scoreSeries(model, inputs);
    expect(Float32Array.from(scores)).toEqual(whole.scores);
    await expect(readInputs({ file }, { model, warn })).rejects.toThrow(
      /^--kinds is missing: the model is for/,
    );
    const plain = { series: (await readPrepared(file, { kinds })).series };
    await expect(scoreSeries(model, plain)).rejects.toThrow(
      /^the file has columns as they are, and the model has them prepared by kinds \("bytes" \(a counter's rise per second\)\)/,
    );
  });

  it("without a history the first object names the columns, and the checkpoint holds what counters go on from after kill -9", async () => {
    const live = link(100, 3).map(({ t: _, ...row }) => row);
    const input = new PassThrough();
    input.write(lines(live));
    await coordinator.want(null);
    await box.start(coordinator, { source: { kind: "stdin", input, kinds } });
    await until(() => coordinator.beats.at(-1)?.rows === 100, "all rows");
    expect(coordinator.states[0]).toMatchObject({ channelNames: prepared.names, channelKinds: "grwww" });
    expect(box.log.lines.filter((line) => line.includes("measured by rows without a time"))).toHaveLength(1);
    // A checkpoint comes with the first row after a second, and the process may end at any moment after it.
    let bytes = live[99]!.bytes;
    const checkpoint = async (dir: string) => parseCheckpoint(await readFile(join(dir, "checkpoint.json")));
    await until(async () => {
      bytes += 1000;
      input.write(lines([{ ...live[99], bytes }]));
      return (await checkpoint(box.state).catch(() => undefined))?.prepared !== undefined;
    }, "a checkpoint");
    const stateDir = await box.crashCopy("crashed");
    const { row, prepared: kept } = await checkpoint(stateDir);
    const again = new PassThrough();
    again.write(lines([{ ...live[99], bytes: kept!.counters[0]!.value + 500 }]));
    const next = await box.start(coordinator, { source: { kind: "stdin", input: again, kinds }, stateDir });
    await find(coordinator.beats, ({ bootSeq, rows }) => bootSeq === 2 && rows === row + 1, "the next row");
    await next.close();
    const { values } = parseRecent(await readFile(join(stateDir, "recent")));
    expect(values.at(-4)).toBe(500);
  });

  it("arrays are taken in the order of the history's columns; its times, or else a rate, say what counters are measured by", async () => {
    const history = await csv("history.csv", link(100, 7));
    const rows = link(3, 8);
    const arrays = rows.map(({ load, bytes, state }) => [load, bytes, state]);
    const start = async (name: string, text: string, more: object) => {
      const input = new PassThrough();
      const stateDir = box.path(name);
      input.end(text);
      const source = { kind: "stdin", input, history, kinds, ...more } as const;
      const agent = await box.start(coordinator, { source, stateDir });
      await agent.ended;
      await agent.close();
      const { values, channels } = parseRecent(await readFile(join(stateDir, "recent")));
      return { rates: [...values].filter((_, i) => i % channels === 1).slice(100), rows: values.length / 5 };
    };
    // A row every two seconds, by the lines' times as by the rate.
    const rises = [Number.NaN, ...[0, 1].map((i) => (rows[i + 1]!.bytes - rows[i]!.bytes) / 2)].map(
      Math.fround,
    );
    expect((await start("timed", lines(rows), {})).rates).toEqual(rises);
    expect((await start("rated", lines(arrays), { rateHz: 0.5 })).rates).toEqual(rises);
    expect(box.log.lines.filter((line) => line.includes("measured by rows without a time"))).toHaveLength(1);
    const untimed = await start("untimed", lines(arrays), {});
    expect(untimed).toEqual({ rates: [], rows: 100 });
    expect(
      box.log.lines.filter((line) => line.includes('has no time "t", which counters need')),
    ).toHaveLength(3);
    expect(
      coordinator.states.filter((state) => state.kind === "birth" && state.channelKinds !== "gcwww"),
    ).toEqual([]);
  });

  it("what is wrong with columns is in the log once each, and the lines count", async () => {
    const input = new PassThrough();
    const good = { load: 1, bytes: 5, state: "idle", t: startMs };
    input.write(lines([good]));
    await coordinator.want(null);
    await box.start(coordinator, { source: { kind: "stdin", input, kinds } });
    input.write(lines([{ ...good, load: "much" }, { ...good, load: undefined }, good]));
    input.write(
      lines([
        { ...good, load: "much", bytes: -1 },
        { ...good, load: undefined, wind: 4 },
      ]),
    );
    input.write(lines([{ load: [1] }, { other: 2 }, [1, 2], { ...good, t: undefined }]));
    await until(() => coordinator.beats.at(-1)?.rows === 6, "six lines");
    const said = (what: string) => box.log.lines.filter((line) => line.includes(what)).length;
    expect(said('column "load" holds "much"')).toBe(1);
    expect(said('column "load" is not there any more')).toBe(1);
    expect(said('column "bytes" is a counter and holds -1')).toBe(1);
    expect(said('column "wind" is new')).toBe(1);
    expect(said('left out: "load" is neither a number, a word nor null')).toBe(1);
    expect(said("left out: it names none of the columns load, bytes, state")).toBe(1);
    expect(said("left out: it has 2 values, not 3")).toBe(1);
    expect(said('left out: it has no time "t", which counters need here')).toBe(1);
  });

  it("kinds that do not fit the input end the start with one sentence", async () => {
    const start = (text: string, more: object) => {
      const input = new PassThrough();
      input.end(text);
      return box.start(coordinator, { source: { kind: "stdin", input, kinds, ...more } });
    };
    await expect(start("[1, 2]\n", {})).rejects.toMatchObject({
      code: "BAD_INPUT",
      message: expect.stringMatching(/^the input has arrays, which have no names, and kinds go by names: /),
    });
    await expect(start('{"load": 1, "byts": 3, "state": "idle"}\n', {})).rejects.toMatchObject({
      code: "BAD_INPUT",
      message:
        'the input\'s first line: kinds names the column "bytes", which is no channel here; did you mean "byts"?',
    });
    const values = Array.from({ length: 100 }, (_, i) => `${i} `.repeat(30));
    const long = { kinds: { categorical: { state: values } } };
    await expect(start('{"state": "idle"}\n', long)).rejects.toThrow(
      /channels take \d+ bytes and may take 8192: /,
    );
  });

  it("a version for rows that are prepared in another way is not installed, and what was said of the device is in its log", async () => {
    const input = new PassThrough();
    input.write(lines(link(100, 4)));
    await box.start(coordinator, { source: { kind: "stdin", input, kinds } });
    const other = { names: prepared.names, kinds: "ghwww" };
    await coordinator.want(await makeVersion(1, { channels: 5, prepared: other }));
    const said = `channel 2 of the device is "bytes" (a counter's rise per second), of the version "bytes" (heavy-tailed)`;
    await find(
      coordinator.requests,
      (request) =>
        request.kind === "status" && request.state === "failed" && request.message?.startsWith(said) === true,
      "the status",
    );
    await coordinator.want(await makeVersion(2, { channels: 5 }));
    await find(
      box.log.lines,
      (line) => line.includes("the version has them as they are"),
      "the second refusal",
    );
    const frame = { kind: "want", device: "dev-1", version: null, phase: "training" } as const;
    for (let i = 0; i < 2; i++) await coordinator.send("want", { ...frame, task, problem: "it is odd" });
    await find(
      box.log.lines,
      (line) => line.includes("this device can't take part: it is odd"),
      "what was said",
    );
    expect(box.log.lines.filter((line) => line.includes("it is odd"))).toHaveLength(1);
  });

  it("recent data that were prepared in another way are left behind", async () => {
    const first = new PassThrough();
    first.end(lines(link(100, 5)));
    const agent = await box.start(coordinator, { source: { kind: "stdin", input: first, kinds } });
    await agent.ended;
    await agent.close();
    const second = new PassThrough();
    second.write(lines(link(10, 6)));
    await coordinator.want(null);
    const heavy = Kinds.parse({ "heavy-tailed": ["bytes"], categorical: kinds.categorical });
    await box.start(coordinator, { source: { kind: "stdin", input: second, kinds: heavy } });
    await find(
      box.log.lines,
      (line) => line.includes("of another source or other kinds of columns"),
      "the word",
    );
    await until(() => coordinator.beats.at(-1)?.rows === 10, "ten rows");
  });
});
