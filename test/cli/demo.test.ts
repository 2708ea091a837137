import { type ChildProcess, spawn } from "node:child_process";
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { DemoResult } from "../../cli/demo/report.ts";
import { lowest } from "../../models/detectors/personal.ts";
import { isBuilt, mainFile, starling } from "./starling.ts";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "starling-demo-test-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

describe.skipIf(!isBuilt)("starling demo", () => {
  it("runs a fleet from an empty folder to a table, and leaves nothing behind", async () => {
    const args = ["demo", "--devices", "2", "--rounds", "2", "--headless", "--json"];
    const { code, stdout, stderr } = await starling(args, { TMPDIR: folder });
    expect([code, stderr]).toEqual([0, expect.stringMatching(/2 of 2 devices run version 3/)]);
    const result = JSON.parse(stdout.trim().split("\n").at(-1)!) as DemoResult;
    expect(result.devices).toEqual(["pump-01", "pump-02"]);
    expect(result.installed).toEqual(result.devices);
    expect(result.rounds.map(({ round, accepted }) => [round, accepted])).toEqual([
      [1, 2],
      [2, 2],
    ]);
    expect(result.version).toMatchObject({ number: 3, sha256: expect.stringMatching(/^[0-9a-f]{64}$/) });
    for (const { peakRssMb } of result.processes)
      expect(peakRssMb).toBeGreaterThan(result.emptyNodeRssMb ?? 0);
    // Guessing gets 0.5: two rounds on clean data are enough to be clearly better.
    expect(result.metrics?.macro.auroc).toBeGreaterThan(0.7);
    expect(result.metrics?.random.auroc).toBeCloseTo(0.5, 1);
    expect(result.alerts.count).toBeGreaterThan(0);
    expect(await readdir(folder)).toEqual([]);
    for (const { pid } of [...result.processes, result.coordinator]) expect(isAlive(pid)).toBe(false);
  });

  it("--personal - each device scores with the best of its models, and the result says which and by how much", async () => {
    const args = ["demo", "--devices", "2", "--rounds", "1", "--personal", "--headless", "--json"];
    const { code, stdout, stderr } = await starling(args, { TMPDIR: folder });
    expect([code, stderr]).toEqual([
      0,
      expect.stringMatching(/^device +model +loss fleet +loss tuned +loss own$/m),
    ]);
    const { personal, metrics } = JSON.parse(stdout.trim().split("\n").at(-1)!) as DemoResult;
    expect(personal.map(({ device }) => device)).toEqual(["pump-01", "pump-02"]);
    for (const { model, losses } of personal) expect(model).toBe(lowest(losses!));
    // After a single round, anything that is trained on for longer is better.
    for (const { model } of personal) expect(model).not.toBe("fleet");
    expect(metrics?.macro.auroc).toBeGreaterThan(0.7);
  });

  it("reads its own settings from a file in the environment, and refuses malformed data in one sentence", async () => {
    const data = join(folder, "data");
    await mkdir(data);
    for (const part of ["train", "test"])
      await writeFile(join(data, `pump-1_${part}.csv`), "flow,pressure\n1,2\n3\n");
    const config = join(folder, "demo.yaml");
    await writeFile(config, `data: ${data}\nrounds: 2\nheadless: true\njson: true\n`);
    const { code, stdout, stderr } = await starling(["demo"], { TMPDIR: folder, STARLING_CONFIG: config });
    expect([code, stdout, stderr.trim().split("\n").at(-1)]).toEqual([
      2,
      "",
      `starling: ${join(data, "pump-1_test.csv")}: line 3 has 1 fields where 2 are expected; mend or remove it`,
    ]);
    await rm(data, { recursive: true });
    await rm(config);
    expect(await readdir(folder)).toEqual([]);
  });

  it.each(["SIGINT", "SIGKILL"] as const)("%s - ends every process", async (signal) => {
    const demo = spawn(
      process.execPath,
      [mainFile, "demo", "--devices", "2", "--rounds", "500", "--headless"],
      {
        stdio: ["ignore", "ignore", "pipe"],
        env: { ...process.env, TMPDIR: folder },
      },
    );
    const closed = new Promise((resolve) => demo.on("close", (code) => resolve(code)));
    await lineOf(demo, /^round +1 of 500/);
    const children = await childrenOf(demo.pid!);
    expect(children).toHaveLength(3);
    demo.kill(signal);
    expect(await closed).toBe(signal === "SIGINT" ? 1 : null);
    await expect.poll(() => children.filter(isAlive), { timeout: 10_000 }).toEqual([]);
  });
});

function lineOf({ stderr }: ChildProcess, pattern: RegExp): Promise<void> {
  return new Promise((resolve, reject) => {
    const lines = createInterface({ input: stderr! });
    lines.on("line", (line) => pattern.test(line) && resolve());
    lines.on("close", () => reject(new Error(`ended without a line like ${pattern}`)));
  });
}

async function childrenOf(pid: number): Promise<number[]> {
  const text = await readFile(`/proc/${pid}/task/${pid}/children`, "utf8");
  return text.trim().split(" ").map(Number);
}

/** Signal 0 asks only whether there is such a process. */
function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
