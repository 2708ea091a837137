import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { z } from "zod";
import { networks } from "../../bench/engine/networks.ts";
import { type Comparison, figureOf, rowsOf } from "../../bench/engine/rows.ts";
import { registerLayers } from "../../bench/engine/tfjs-layers.ts";
import { works } from "../../bench/engine/works.ts";

const named = (name: string) => works.find((work) => work.name === name)!;

describe("the rows of a comparison", () => {
  const comparison = (given: Partial<Comparison> & { work: Comparison["work"] }): Comparison => ({
    threads: 1,
    ours: { value: 12_000 },
    theirs: new Map([["pytorch", { value: 6_000 }]]),
    ...given,
  });

  it("training - more windows a second are a ratio above 1, held against the goal", () => {
    const [row] = rowsOf(comparison({ work: named("gru-training") }));
    expect(row).toEqual({
      work: "gru-training",
      peer: "pytorch",
      threads: 1,
      ours: 12_000,
      theirs: 6_000,
      unit: "windows/s",
      ratio: 2,
      goal: 1.5,
      met: true,
    });
  });

  it("scoring - fewer microseconds are a ratio above 1", () => {
    const theirs = new Map([["onnxruntime-node", { value: 40 }]]);
    const [row] = rowsOf(comparison({ work: named("gru-scoring"), ours: { value: 80 }, theirs }));
    expect(row).toMatchObject({ unit: "us", ratio: 0.5, goal: 1, met: false });
  });

  it("a goal for one thread is no goal for two", () => {
    const [row] = rowsOf(comparison({ work: named("gru-training"), threads: 2 }));
    expect(row).toMatchObject({ goal: null, met: null });
  });

  it("a goal for our own figure is a row without a peer, and the most that it may be", () => {
    const work = named("stateful-step");
    const own = (value: number) => rowsOf(comparison({ work, ours: { value }, theirs: new Map() }));
    expect(own(5)).toMatchObject([{ peer: null, theirs: null, ratio: null, goal: 5, met: true }]);
    expect(own(5.1)).toMatchObject([{ met: false }]);
  });

  it("what we lack misses the goal; what the peer lacks leaves it open; both say why", () => {
    const work = named("mini-transformer-training");
    const missing = { missing: "no such layer" };
    const [ours] = rowsOf(comparison({ work, ours: missing }));
    expect(ours).toMatchObject({ ours: null, ratio: null, met: false, reasons: ["ours: no such layer"] });
    const [theirs] = rowsOf(comparison({ work, theirs: new Map([["pytorch", missing]]) }));
    expect(theirs).toMatchObject({
      theirs: null,
      ratio: null,
      met: null,
      reasons: ["pytorch: no such layer"],
    });
  });

  it("a unit of training is a batch of 32, and of scoring one window", () => {
    expect(figureOf(named("gru-training"), 4)).toBe(8_000);
    expect(figureOf(named("gru-scoring"), 0.05)).toBe(50);
  });
});

describe("the networks", () => {
  const parameters = {
    gru: 3 * (8 * 32 + 32 * 32 + 32) + 33 * 8,
    lstm: 4 * (8 * 32 + 32 * 32 + 32) + 33 * 8,
    "conv1d-autoencoder": 7 * (38 * 32 + 32 * 16 + 16 * 16 + 16 * 32 + 32 * 38) + 32 + 16 + 16 + 32 + 38,
    "image-network": 121_930,
    "mini-transformer": 9 * 32 + 2 * (4 * 33 * 32 + 33 * 128 + 129 * 32 + 4 * 32) + 33 * 8,
  };

  it("tfjs reads every one of them, with the weights that it must have and the outputs of its targets", async () => {
    const tf = await import("@tensorflow/tfjs");
    await tf.setBackend("cpu");
    registerLayers(tf);
    for (const [name, { topology, targetShape, classes }] of Object.entries(networks)) {
      const json = { modelTopology: topology } as unknown as Parameters<typeof tf.models.modelFromJSON>[0];
      const model = await tf.models.modelFromJSON(json);
      expect([name, model.countParams()]).toEqual([name, parameters[name as keyof typeof parameters]]);
      expect([name, model.outputShape]).toEqual([name, [null, ...(classes ? [classes] : targetShape)]]);
      model.dispose();
    }
  });
});

const mainFile = fileURLToPath(new URL("../../dist/bench/main.js", import.meta.url));
const built = existsSync(mainFile);
const suite = built ? "bench engine" : "bench engine (skipped: needs dist/, run `npm run build`)";

/** What others read: more keys may come, none of these may go. */
const Row = z.object({
  work: z.string(),
  peer: z.string().nullable(),
  threads: z.int().positive(),
  ours: z.number().positive().nullable(),
  theirs: z.number().positive().nullable(),
  unit: z.enum(["windows/s", "us", "MB"]),
  ratio: z.number().positive().nullable(),
  goal: z.number().positive().nullable(),
  met: z.boolean().nullable(),
});

describe.skipIf(!built)(suite, () => {
  it("--quick --json - one row for each work and peer, every figure there", {
    timeout: 120_000,
  }, async () => {
    const args = ["--work", "gru-training,gru-scoring,stateful-step,rss", "--peer", "tfjs-cpu"];
    const { code, stdout, stderr } = await run("engine", "--quick", "--json", ...args);
    expect({ code, stderr: code === 0 ? "" : stderr }).toEqual({ code: 0, stderr: "" });
    const lines = stdout.trimEnd().split("\n");
    expect(lines).toHaveLength(1);
    const { rows } = z.object({ rows: z.array(Row) }).parse(JSON.parse(lines[0]!));
    expect(rows.map(({ work, peer, threads, unit }) => [work, peer, threads, unit])).toEqual([
      ["gru-training", "tfjs-cpu", 1, "windows/s"],
      ["gru-scoring", "tfjs-cpu", 1, "us"],
      ["stateful-step", null, 1, "us"],
      ["rss", null, 1, "MB"],
      ["rss", "empty Node", 1, "MB"],
      ["rss", "tfjs-cpu", 1, "MB"],
    ]);
    for (const { ours, theirs, peer, ratio } of rows) {
      expect(ours).not.toBeNull();
      if (peer === null) continue;
      expect(theirs).not.toBeNull();
      expect(ratio).not.toBeNull();
    }
    expect(stderr).toMatch(/^gru-training +1 +tfjs-cpu/m);
  });

  it("--help - names its flags, works and peers", async () => {
    const { code, stdout } = await run("engine", "--help");
    expect(code).toBe(0);
    for (const word of [
      "--json",
      "--quick",
      "--work <names>",
      "--peer <names>",
      "lstm-training",
      "tfjs-node",
    ])
      expect(stdout).toContain(word);
  });

  it.each([
    ["--peer", "jax", "tfjs-wasm"],
    ["--work", "speed", "gru-training"],
  ])("%s %s - refused with the names that there are", async (flag, value, name) => {
    const { code, stdout, stderr } = await run("engine", flag, value);
    expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
    expect(stderr).toMatch(new RegExp(`^bench: ${flag} is refused: there is .*${name}`));
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
