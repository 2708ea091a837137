import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { spread } from "../../bench/bench.ts";
import { readAgentLog } from "../../bench/round/agent-log.ts";
import { type DeviceTimes, type Parts, partNames, shares, splitRound } from "../../bench/round/parts.ts";

const sum = (parts: Parts) => partNames.reduce((all, name) => all + parts[name], 0);
const free = { encodeMs: 0, decodeMs: 0, addMs: 0 };

describe("spread", () => {
  it("is the middle value and the range, whatever the order", () => {
    expect(spread([5, 1, 9])).toEqual({ median: 5, min: 1, max: 9 });
  });

  it("takes the mean of the middle two where their number is even", () => {
    expect(spread([4, 1, 9, 2])).toEqual({ median: 3, min: 1, max: 9 });
  });

  it("says that it knows nothing of no values", () => {
    expect(spread([])).toEqual({ median: Number.NaN, min: Number.NaN, max: Number.NaN });
  });
});

describe("the parts of a round", () => {
  const device = {
    fetchMs: 10,
    installedMs: 40,
    beganMs: 42,
    trainedMs: 92,
    trainMs: 40,
    receivedMs: 100,
  };

  it("one device - its own times are the parts", () => {
    const parts = splitRound({ openedMs: 0, closedMs: 105, devices: [device] }, free, 2);
    const expected = { network: 18, installing: 30, training: 40, other: 12, aggregation: 5, encoding: 0 };
    for (const name of partNames) expect(parts[name]).toBeCloseTo(expected[name]);
  });

  it("a moment belongs in equal parts to the devices that are not done", () => {
    // Both install until 40; then one trains alone, since the other is done.
    const quick = { fetchMs: 0, installedMs: 40, beganMs: 40, trainedMs: 40, trainMs: 0, receivedMs: 40 };
    const slow = { fetchMs: 0, installedMs: 20, beganMs: 20, trainedMs: 80, trainMs: 60, receivedMs: 80 };
    const parts = splitRound({ openedMs: 0, closedMs: 80, devices: [quick, slow] }, free, 2);
    expect(parts.installing).toBeCloseTo(10 + 10 + 10);
    expect(parts.training).toBeCloseTo(10 + 40);
  });

  it("encoding and the exact sum are taken off the part that they lie in", () => {
    const costs = { encodeMs: 2, decodeMs: 3, addMs: 1 };
    const parts = splitRound({ openedMs: 0, closedMs: 105, devices: [device] }, costs, 2);
    expect(parts.encoding).toBeCloseTo(5);
    expect(parts.aggregation).toBeCloseTo(6);
    expect(parts.network).toBeCloseTo(14);
    expect(parts.other).toBeCloseTo(10);
  });

  const moment = fc.integer({ min: -100, max: 2000 });
  const anyDevice: fc.Arbitrary<DeviceTimes> = fc.record({
    fetchMs: moment,
    installedMs: moment,
    beganMs: moment,
    trainedMs: moment,
    receivedMs: moment,
    trainMs: fc.integer({ min: 0, max: 3000 }),
  });
  const cost = fc.double({ min: 0, max: 50, noNaN: true });

  it("any round - they sum to its duration and none is negative", () => {
    fc.assert(
      fc.property(
        fc.array(anyDevice, { maxLength: 12 }),
        fc.record({ encodeMs: cost, decodeMs: cost, addMs: cost }),
        fc.integer({ min: 1, max: 64 }),
        fc.integer({ min: 0, max: 1500 }),
        (devices, costs, cores, durationMs) => {
          const parts = splitRound({ openedMs: 0, closedMs: durationMs, devices }, costs, cores);
          expect(sum(parts)).toBeCloseTo(durationMs, 6);
          for (const name of partNames) expect(parts[name]).toBeGreaterThan(-1e-6);
        },
      ),
    );
  });

  it("shares - of all rounds together, so a long round weighs more", () => {
    const none = { training: 0, encoding: 0, network: 0, aggregation: 0, installing: 0, other: 0 };
    const both = shares([
      { ...none, training: 90, network: 10 },
      { ...none, training: 100, network: 200 },
    ]);
    expect(both.training).toBeCloseTo(190 / 400);
    expect(both.network).toBeCloseTo(210 / 400);
    expect(sum(both)).toBeCloseTo(1);
  });
});

describe("an agent's log", () => {
  it("says when versions came and when training was over, by what the lines hold", () => {
    const sha256 = "a".repeat(64);
    const log = readAgentLog(
      [
        "(node:1) a warning of Node itself",
        JSON.stringify({ level: 30, time: 5, msg: "online" }),
        JSON.stringify({ level: 30, time: 10, version: 2, sha256, bytes: 100, msg: "fetching" }),
        JSON.stringify({ level: 30, time: 20, version: 2, sha256, threshold: 3.5, msg: "installed" }),
        JSON.stringify({ level: 30, time: 90, round: 2, samples: 7, loss: 0.5, trainMs: 60, msg: "trained" }),
        '{"level":30,"time":95,"rou',
      ].join("\n"),
    );
    expect(log).toEqual({
      fetched: new Map([[sha256, 10]]),
      installed: new Map([[sha256, 20]]),
      trained: new Map([[2, { atMs: 90, tookMs: 60 }]]),
    });
  });
});

const mainFile = fileURLToPath(new URL("../../dist/bench/main.js", import.meta.url));
const built = existsSync(mainFile);
const suite = built ? "bench" : "bench (skipped: needs dist/, run `npm run build`)";

describe.skipIf(!built)(suite, () => {
  it("--help - names every benchmark", async () => {
    const { code, stdout, stderr } = await run("--help");
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(stdout).toMatch(/^ {2}round +\w/m);
  });

  it("round --help - names its flags and has examples", async () => {
    const { code, stdout } = await run("round", "--help");
    expect(code).toBe(0);
    for (const flag of ["--json", "--agents <list>", "--coordinator <list>", "--rounds <n>", "Examples:"])
      expect(stdout).toContain(flag);
  });

  const wrong: readonly (readonly [string[], string])[] = [
    [
      ["speed"],
      'bench: there is no benchmark "speed": there is ablation, detection, detectors, engine, round',
    ],
    [
      ["constructor"],
      'bench: there is no benchmark "constructor": there is ablation, detection, detectors, engine, round',
    ],
    [["round", "--agnts", "8"], "bench: unknown option '--agnts' (Did you mean --agents?)"],
    [["round", "more"], "bench: too many arguments. Expected 0 arguments but got 1."],
    [
      ["round", "--agents", "8,x"],
      "bench: --agents is refused: give whole numbers with commas between them, such as 8,64",
    ],
    [["round", "--agents", "0"], "bench: --agents is refused: each must be from 1 to 1024"],
    [["round", "--rounds", "1.5"], "bench: --rounds is refused: give a whole number"],
  ];
  it.each(wrong)("%j - one sentence and exit code 2", async (args, sentence) => {
    expect(await run(...args)).toEqual({ code: 2, stdout: "", stderr: `${sentence}\n` });
  });
});

async function run(...args: string[]) {
  const child = spawn(process.execPath, [mainFile, ...args], { stdio: ["ignore", "pipe", "pipe"] });
  const [stdout, stderr, code] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    new Promise<number | null>((resolve, reject) => child.on("error", reject).on("close", resolve)),
  ]);
  return { code, stdout, stderr };
}

async function text(stream: NodeJS.ReadableStream): Promise<string> {
  let all = "";
  for await (const part of stream.setEncoding("utf8")) all += part;
  return all;
}
