import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { copyFile, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { writePlant } from "../../models/data/plant.ts";
import { isBuilt, mainFile, starling } from "./starling.ts";

let folder: string;
let plant: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "starling-evaluate-"));
  plant = join(folder, "plant");
  await writePlant(plant, { seed: 3, stations: 2, trainRows: 700, testRows: 900 });
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const quick = (data = plant) => [
  "evaluate",
  "--data",
  data,
  "--rounds",
  "2",
  "--epochs",
  "1",
  "--window",
  "16",
];
const results = async (file: string) => JSON.parse(await readFile(file, "utf8"));

describe.skipIf(!isBuilt)("starling evaluate", () => {
  it("judges detectors by arms, seeds and devices, and the same command gives the same bytes in any number of threads", async () => {
    const [one, two] = [join(folder, "one.json"), join(folder, "two.json")];
    const args = [...quick(), "--detector", "cnn-forecaster,rnn-forecaster", "--seeds", "2"];
    const first = await starling([...args, "--json", one]);
    expect(first).toMatchObject({ code: 0 });
    expect((await starling([...args, "--json", two, "--jobs", "2"])).code).toBe(0);
    expect(await readFile(two, "utf8")).toBe(await readFile(one, "utf8"));
    expect(existsSync(`${one}.partial`)).toBe(false);

    const { rows, summary, settings, failures } = await results(one);
    expect(failures).toEqual([]);
    expect(settings).toMatchObject({ vus: { window: 20, thresholds: 100 }, seeds: [1, 2], rounds: 2 });
    // Two detectors of four arms, and what guessing gets; two devices and their mean.
    expect(rows).toHaveLength(2 * (2 * 4 + 2) * 3);
    const keys = [
      "data",
      "detector",
      "arm",
      "seed",
      "device",
      "vusPr",
      "aucPr",
      "auroc",
      "pointF1",
      "eventF1",
    ];
    keys.push("falsePositiveRate", "falseAlarmsPerDay", "detectionDelay", "hitRate100", "compositeF1");
    expect(Object.keys(rows[0]).slice(0, keys.length)).toEqual(keys);
    const of = (like: object) =>
      rows.filter((row: Record<string, unknown>) => Object.entries(like).every(([k, v]) => row[k] === v));
    // The figures have six digits, so what is computed from them has five.
    const local = { detector: "cnn-forecaster", arm: "local", seed: 1 };
    const [a, b] = [of({ ...local, device: "pump-01" })[0], of({ ...local, device: "pump-02" })[0]];
    expect(of({ ...local, device: "macro" })[0].auroc).toBeCloseTo((a.auroc + b.auroc) / 2, 5);
    expect(of({ ...local, device: "macro" })[0].auroc).toBeGreaterThan(0.55);
    expect(of({ detector: "always-alarm", device: "macro", seed: 1 })[0]).toMatchObject({
      auroc: 0.5,
      falsePositiveRate: 1,
    });
    // One alarm without end finds every event, and is worth no more than the anomalous share of its rows.
    const always = of({ detector: "always-alarm", device: "pump-01", seed: 1 })[0];
    expect(always.compositeF1).toBeCloseTo((2 * always.pointPrecision) / (1 + always.pointPrecision), 5);
    expect(always.eventF1).toBe(1);
    expect(of({ ...local, seed: 2, device: "pump-01" })[0].auroc).not.toBe(a.auroc);

    const line = summary.find(
      (row: { detector: string; arm: string }) => row.detector === "cnn-forecaster" && row.arm === "local",
    );
    const macros = [1, 2].map((seed) => of({ ...local, seed, device: "macro" })[0].vusPr);
    expect(line.mean.vusPr).toBeCloseTo((macros[0] + macros[1]) / 2, 5);
    expect(line.sd.vusPr).toBeCloseTo(Math.abs(macros[0] - macros[1]) / Math.SQRT2, 5);
    expect(first.stdout).toMatch(/^rnn-forecaster +finetune +0\.\d{3} \+- 0\.\d{3} /m);
    expect(first.stdout).toMatch(/^random +- /m);
    expect(first.stdout).toMatch(/^always-alarm +- /m);
    expect(first.stdout).toMatch(/worst device\n/);
    expect(first.stdout).toMatch(/VUS: window 20, 100 thresholds\./);
  });

  it("goes on where it was killed, and takes nothing from a run with other settings", async () => {
    const file = join(folder, "killed.json");
    const args = [...quick(), "--seeds", "3", "--arms", "local", "--json"];
    const child = spawn(process.execPath, [mainFile, ...args, file], { stdio: ["ignore", "ignore", "pipe"] });
    const ended = new Promise((resolve) => child.on("close", (_, signal) => resolve(signal)));
    // The three jobs of guessing, and then at least one detector with its seed.
    for await (const text of child.stderr.setEncoding("utf8"))
      if (/done 4 of 6/.test(text)) child.kill("SIGKILL");
    expect(await ended).toBe("SIGKILL");
    const partial = await readFile(`${file}.partial`, "utf8");
    await writeFile(`${file}.partial`, `${partial}\n{"key":"cut o`);

    const other = join(folder, "other.json");
    await writeFile(`${other}.partial`, partial);
    const changed = await starling([...args, other, "--rounds", "1"]);
    expect(changed.stderr).toMatch(/^3 of 6 parts are kept from a run that was stopped$/m);

    const again = await starling([...args, file]);
    expect(again).toMatchObject({ code: 0, stderr: expect.stringMatching(/^[4-6] of 6 parts are kept/) });
    const whole = join(folder, "whole.json");
    expect((await starling([...args, whole])).stderr).not.toMatch(/kept/);
    expect(await readFile(file, "utf8")).toBe(await readFile(whole, "utf8"));
    expect(existsSync(`${file}.partial`)).toBe(false);
    expect((await starling([...args, join(folder, "no", "such.json")])).stderr).toMatch(
      /such\.json.*check the path/,
    );
  });

  it("leaves out a device that can't be read or is too short with a sentence, goes on with the others, and ends with 1", async () => {
    const mixed = join(folder, "mixed");
    await writePlant(mixed, { seed: 3, stations: 2, trainRows: 700, testRows: 900 });
    for (const part of ["train", "test"]) await writeFile(join(mixed, `bad_${part}.csv`), "flow\n1\nwet\n");
    const head = (await readFile(join(mixed, "pump-01_train.csv"), "utf8"))
      .split("\n")
      .slice(0, 30)
      .join("\n");
    await writeFile(join(mixed, "short_train.csv"), `${head}\n`);
    await copyFile(join(mixed, "pump-01_test.csv"), join(mixed, "short_test.csv"));
    await copyFile(join(mixed, "pump-01_label.npy"), join(mixed, "short_label.npy"));
    const file = join(folder, "mixed.json");
    const ran = await starling([...quick(mixed), "--seeds", "1", "--arms", "local", "--json", file]);
    expect(ran.code).toBe(1);
    expect(ran.stderr).toMatch(/mixed: .*bad_train\.csv: line 3 .*"wet"/);
    expect(ran.stderr).toMatch(/short: 29 training rows are too few for cnn-forecaster with windows of 16;/);
    const { rows, failures } = await results(file);
    expect(failures.map(({ device }: { device: string }) => device)).toEqual(["bad", "short"]);
    expect(rows.filter(({ arm }: { arm: string }) => arm === "local")).toHaveLength(3);
  });

  it("says in one sentence what was asked for wrongly, before anything is trained", async () => {
    const cases: [string[], RegExp][] = [
      [
        ["--detector", "cnn-forecastr"],
        /there is no detector "cnn-forecastr": did you mean "cnn-forecaster"\?/,
      ],
      [["--arms", "locl"], /--arms is "locl", but must be .*local/],
      [["--devices", "pump-09"], /plant has no device "pump-09"; it has pump-01, pump-02/],
      [["--options", "cnn-forecaster.depth=2"], /cnn-forecaster has no hyperparameter "depth"/],
      [["--options", "units=2"], /write DETECTOR\.OPTION=NUMBER/],
      [["--options", "gru-forecaster.units=8"], /--detector does not name/],
    ];
    for (const [args, says] of cases) {
      const { code, stderr } = await starling([...quick(), ...args]);
      expect(stderr).toMatch(says);
      expect(code).toBe(2);
    }
    expect((await starling(["evaluate", "--data", join(folder, "none")])).code).toBe(2);
  });

  it("--report writes one page that asks for nothing from elsewhere, with a plot for every device, detector and arm", async () => {
    const file = join(folder, "report.html");
    const args = [...quick(), "--seeds", "1", "--arms", "local,fedavg", "--report", file, "--json", "-"];
    const { code, stdout, stderr } = await starling(args);
    expect(code).toBe(0);
    expect(JSON.parse(stdout).rows.length).toBeGreaterThan(0);
    expect(stderr).toMatch(/^cnn-forecaster +fedavg /m);
    const html = await readFile(file, "utf8");
    expect(html.length).toBeLessThan(200_000);
    expect(html).not.toMatch(/https?:|src=|href=|@import|url\(/);
    expect(html.match(/<canvas data-plot/g)).toHaveLength(2 * 2);
    const drawings = JSON.parse(/id="drawings">(.*?)<\/script>/s.exec(html)![1]!);
    expect(drawings).toHaveLength(4);
    for (const { rows, score, labels, heat } of drawings) {
      expect(rows).toBe(900);
      expect(Buffer.from(score.lowest, "base64")).toHaveLength(score.columns);
      expect(Buffer.from(heat.cells, "base64")).toHaveLength(heat.columns * heat.names.length);
      expect(labels.length).toBeGreaterThan(0);
    }
    expect(drawings[0].heat.names).toContain("bearing_temperature");
    expect(html).toMatch(/calibration of tail probabilities/);
  });
});
