import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { parse } from "yaml";
import { createRandom } from "../../models/engine/random.ts";
import { TaskSpec } from "../../protocol/task.ts";
import { isBuilt, starling } from "./starling.ts";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "starling-tune-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

/** Two pumps whose training rows depend on nothing; their test rows and labels are the caller's. */
async function pumps(
  name: string,
  test: (row: number) => number,
  label: (row: number) => number,
): Promise<string> {
  const to = join(folder, name);
  await mkdir(to);
  for (const pump of [1, 2]) {
    const random = createRandom(pump);
    const line = (row: number) =>
      [0, 1].map((c) => (Math.sin(row / 6 + c) + 0.05 * random.normal()).toFixed(4)).join(",");
    const lines = (rows: number, one: (row: number) => unknown) =>
      `${Array.from({ length: rows }, (_, row) => one(row)).join("\n")}\n`;
    await writeFile(join(to, `pump${pump}_train.csv`), lines(1500, line));
    await writeFile(
      join(to, `pump${pump}_test.csv`),
      lines(300, (row) => `${test(row)},${test(row + 1)}`),
    );
    await writeFile(join(to, `pump${pump}_label.csv`), lines(300, label));
  }
  return to;
}

const quick = ["--detector", "rnn-forecaster", "--trials", "3", "--rounds", "1"];

describe.skipIf(!isBuilt)("starling tune", () => {
  it("gives the same answer whatever the labels and the test rows are, and its YAML is a task", async () => {
    const first = await pumps("first", Math.sin, (row) => (row > 250 ? 1 : 0));
    const second = await pumps(
      "second",
      (row) => 100 + row,
      (row) => row % 2,
    );
    const run = (data: string, more: string[] = []) => starling(["tune", "--data", data, ...quick, ...more]);
    const { code, stdout, stderr } = await run(first);
    expect(stderr).toBe("");
    expect(code).toBe(0);
    expect((await run(second)).stdout).toBe(stdout);
    expect(stdout).toMatch(/Criterion: mean AUC-PR .* labels and test rows are not used/);
    const yaml = parse(stdout.slice(stdout.indexOf("# for starling coordinator"))) as { task: unknown };
    const task = TaskSpec.parse(yaml.task);
    expect(task.detector.name).toBe("rnn-forecaster");

    const json = JSON.parse((await run(first, ["--json"])).stdout);
    expect(json).toMatchObject({
      detector: "rnn-forecaster",
      seed: 1,
      config: yaml,
      devices: ["pump1", "pump2"],
    });
    expect(json.trials).toHaveLength(3);
    expect(json.best.aucPr).toBeGreaterThan(json.random);
  });

  it("refuses a detector, a device and a folder that are not there", async () => {
    const data = await pumps("third", Math.sin, () => 0);
    const refused = async (args: string[]) => {
      const { code, stderr } = await starling(["tune", ...args]);
      expect(code).toBe(2);
      return stderr;
    };
    expect(await refused(["--data", data, "--detector", "rnn"])).toMatch(/--detector is "rnn", but must be/);
    expect(await refused(["--data", data, "--devices", "pump9"])).toMatch(
      /no device "pump9"; it has pump1, pump2/,
    );
    expect(await refused(["--data", join(folder, "nothing")])).toMatch(/nothing/);
    expect(await refused([])).toMatch(/--data is missing/);
  });

  it("--help says the criterion", async () => {
    const { stdout } = await starling(["tune", "--help"]);
    expect(stdout.replace(/\s+/g, " ")).toMatch(
      /faults made in the last 30 % of each device's training rows/,
    );
  });
});
