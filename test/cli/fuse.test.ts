import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createRandom } from "../../models/engine/random.ts";
import { createDetector } from "../../models/index.ts";
import { fusedSurprise, fusionRules } from "../../models/scoring/fusion.ts";
import { fitTail, tailProbability } from "../../models/scoring/tail.ts";
import { isBuilt, starling } from "./starling.ts";

let folder: string;
const at = (name: string) => join(folder, name);

interface Shape {
  readonly rows: number;
  readonly seed: number;
  readonly every?: number;
  readonly fault?: readonly [from: number, to: number];
  readonly timed?: boolean;
  readonly channel?: string;
}

/** As `starling score` writes it: uniform probabilities, tiny ones within the fault. */
async function scores(name: string, o: Shape): Promise<number[]> {
  const random = createRandom(o.seed);
  const [from, to] = o.fault ?? [0, 0];
  const probabilities: number[] = [];
  const lines = [`row,${o.timed ? "time," : ""}score,threshold,probability,alarm,channel`];
  for (let row = 0; row < o.rows; row += o.every ?? 1) {
    const p = (row >= from && row < to ? 1e-6 : 1) * random.uniform();
    probabilities.push(p);
    const time = o.timed ? `${new Date(Date.UTC(2026, 0, 1) + 1000 * row).toISOString()},` : "";
    lines.push(`${row},${time}1,2,${p},0,${o.channel ?? "flow"}`);
  }
  await writeFile(at(name), `${lines.join("\n")}\n`);
  return probabilities;
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "starling-fuse-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const jsonLines = (text: string) =>
  text
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line));

describe.skipIf(!isBuilt)("starling fuse", () => {
  it.each(fusionRules)("%s - fuses row by row, and says which file made an alarm", async (rule) => {
    const a = await scores("a.csv", { rows: 300, seed: 1, fault: [100, 120], channel: "pressure, inner" });
    const b = await scores("b.csv", { rows: 300, seed: 2, fault: [200, 220], channel: "" });
    await writeFile(
      at("a.csv"),
      (await readFile(at("a.csv"), "utf8")).replaceAll("pressure, inner", '"pressure, inner"'),
    );
    const args = ["fuse", at("a.csv"), at("b.csv"), "--rule", rule, "-o", at("fused.jsonl"), "--json"];
    const { code, stdout, stderr } = await starling(args);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    const lines = jsonLines(await readFile(at("fused.jsonl"), "utf8"));
    expect(lines.map(({ score }) => score)).toEqual(a.map((p, i) => fusedSurprise([p, b[i]!], rule)));
    for (const { score, probability } of lines) expect(probability).toBeCloseTo(Math.exp(-score), 12);
    const { alarms, calibrated, caution, moments, threshold } = JSON.parse(stdout);
    expect({ calibrated, moments }).toEqual({ calibrated: false, moments: 300 });
    expect(caution).toMatch(/taken as independent/);
    expect(threshold).toBeCloseTo(-Math.log(0.001), 9);
    expect(alarms.map(({ from, to }: { from: number; to: number }) => [from, to])).toEqual([
      [100, 120],
      [200, 220],
    ]);
    expect(alarms[0].modalities[0]).toMatchObject({ name: "a", channel: "pressure, inner" });
    expect(alarms[1].modalities[0]).toMatchObject({ name: "b", channel: null });
    const { stdout: text } = await starling(["fuse", at("a.csv"), at("b.csv"), "--rule", rule]);
    expect(text).toMatch(/300 moments of 2 files, 2 alarms by /);
    expect(text).toMatch(/a \(pressure, inner\) \d+ %/);
  });

  it("aligns by time, holds what comes slower, and leaves out what is missing", async () => {
    const a = await scores("fast.csv", { rows: 40, seed: 3, timed: true });
    const b = await scores("slow.csv", { rows: 40, seed: 4, every: 10, timed: true });
    const fused = async (...more: string[]) => {
      const { code, stdout } = await starling([
        "fuse",
        at("fast.csv"),
        at("slow.csv"),
        "-o",
        "-",
        "--format",
        "jsonl",
        ...more,
      ]);
      expect(code).toBe(0);
      return jsonLines(stdout).map(({ score }) => score);
    };
    const expected = (hold: number) =>
      a.map((p, i) => fusedSurprise([p, i % 10 <= hold ? b[Math.floor(i / 10)]! : Number.NaN], "fisher"));
    expect(await fused()).toEqual(expected(0));
    expect(await fused("--hold", "9")).toEqual(expected(9));
    expect(await fused("--align", "row", "--hold", "3")).toEqual(expected(3));
  });

  it("with scores of normal rows, threshold and probability are those of the fused ones", async () => {
    const a = await scores("normal-a.csv", { rows: 2000, seed: 5 });
    await writeFile(at("normal-b.csv"), await readFile(at("normal-a.csv")));
    await scores("live-a.csv", { rows: 500, seed: 6, fault: [300, 310] });
    await writeFile(at("live-b.csv"), await readFile(at("live-a.csv")));
    const args = ["fuse", at("live-a.csv"), at("live-b.csv"), "-o", at("calibrated.jsonl"), "--json"];
    const normal = `${at("normal-a.csv")},${at("normal-b.csv")}`;
    const { code, stdout } = await starling([...args, "--calibrate", normal, "--quantile", "0.99"]);
    expect(code).toBe(0);
    const { calibrated, threshold, alarms } = JSON.parse(stdout);
    expect(calibrated).toBe(true);
    // Two files that say the same: the formula alone would alarm at -ln 0.01.
    expect(threshold).toBeGreaterThan(-Math.log(0.01) * 1.3);
    const tail = fitTail(Float64Array.from(a, (p) => fusedSurprise([p, p], "fisher")));
    for (const { score, probability } of jsonLines(await readFile(at("calibrated.jsonl"), "utf8")))
      expect(probability).toBeCloseTo(tailProbability(tail, score), 12);
    expect(alarms).toHaveLength(1);
    expect(alarms[0]).toMatchObject({ from: 300, to: 310 });
  });

  it("takes what `starling score` writes of two detectors", async () => {
    const random = createRandom(1);
    const files: string[] = [];
    for (const [name, faulty] of [
      ["sensors", true],
      ["sound", false],
    ] as const) {
      const row = (i: number) => [random.normal() + (faulty && i >= 100 && i < 130 ? 6 : 0), random.normal()];
      const detector = await createDetector("mahalanobis");
      await detector.fit(
        Array.from({ length: 1000 }, () => row(0)),
        { names: ["x", "y"] },
      );
      await writeFile(at(`${name}.detector`), detector.save());
      const live = Array.from({ length: 300 }, (_, i) => row(i).join(","));
      await writeFile(at(`${name}.csv`), `x,y\n${live.join("\n")}\n`);
      detector.dispose();
      files.push(at(`${name}-scores.csv`));
      const args = ["score", at(`${name}.csv`), "--model", at(`${name}.detector`), "-o", files.at(-1)!];
      expect((await starling(args)).code).toBe(0);
    }
    const { code, stdout } = await starling(["fuse", ...files, "--json"]);
    expect(code).toBe(0);
    const { alarms } = JSON.parse(stdout);
    const hit = alarms.find(({ from, to }: Record<string, number>) => from! < 110 && to! > 110);
    expect(hit.modalities[0]).toMatchObject({ name: "sensors-scores", channel: "x" });
  });

  it("says what is wrong in one sentence, with exit code 2", async () => {
    await scores("one.csv", { rows: 50, seed: 1 });
    await scores("timed.csv", { rows: 50, seed: 1, timed: true });
    await writeFile(at("far.csv"), "row,probability\n0,0.5\n9007199254740991,0.5\n");
    await writeFile(at("none.csv"), "row,score\n0,1\n");
    await writeFile(at("text.csv"), "row,probability\n0,0.5\n1,high\n");
    await writeFile(at("big.csv"), "row,probability\n0,1.5\n");
    await writeFile(at("back.csv"), "row,probability\n1,0.5\n0,0.5\n");
    await writeFile(at("head.csv"), "row,probability\n");
    await writeFile(at("late.csv"), "row,probability\n99,0.5\n");
    await writeFile(at("broken.jsonl"), '{"row":0,"probability":0.5}\n{"row":\n');
    const one = at("one.csv");
    const cases: [string[], RegExp][] = [
      [[], /SCORES is missing/],
      [[one], /two modalities or more/],
      [[one, at("gone.csv")], /gone\.csv: there is no such file; check the path/],
      [
        [one, at("none.csv")],
        /none\.csv: has no column "probability"; give a file that `starling score --out` wrote/,
      ],
      [[one, at("text.csv")], /text\.csv: line 3: "high" is no probability/],
      [[one, at("big.csv")], /big\.csv: line 2: "1\.5" is no probability; it must be within 0 and 1/],
      [[one, at("back.csv")], /back\.csv: line 3 is not after the one before it/],
      [[one, at("head.csv")], /head\.csv: has no scores/],
      [[one, at("late.csv")], /have no row in common/],
      [[one, at("broken.jsonl")], /broken\.jsonl: line 2 is no JSON/],
      [[one, at("timed.csv"), "--align", "time"], /one\.csv: has no times; align by --align row/],
      [[one, one, "--rule", "mean"], /--rule is "mean", but must be fisher or max/],
      [[one, one, "--calibrate", one], /--calibrate has 1 file and there are 2 SCORES/],
      [[one, one, "--alarm-budget", "1 per week"], /needs the scores of normal rows/],
      [[one, at("far.csv")], /row 9007199254740991 is beyond the 10000000 that can be aligned/],
      [[one, one, "--out", "-", "--json"], /both want stdout/],
      [[one, one, "--hold", "-1"], /--hold is "-1"/],
    ];
    for (const [args, says] of cases) {
      const { code, stderr } = await starling(["fuse", ...args]);
      expect(stderr).toMatch(says);
      expect(stderr.trimEnd().split("\n")).toHaveLength(1);
      expect(code).toBe(2);
    }
  });
});
