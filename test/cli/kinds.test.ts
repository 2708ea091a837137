import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { readKinds } from "../../cli/config/kinds-file.ts";
import { formatJoin } from "../../protocol/join.ts";
import { makeSigningKeys } from "../../protocol/manifest.ts";
import { isBuilt, starling } from "./starling.ts";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "starling-kinds-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

async function file(name: string, text: string): Promise<string> {
  const path = join(folder, name);
  await writeFile(path, text);
  return path;
}

describe("a file of kinds", () => {
  const kinds = { counter: ["n", { column: "m", wrap: 256 }], categorical: { state: ["on", "off"] } };

  it("is YAML or JSON, alone or under the key of a data set's description", async () => {
    const yaml = "counter: [n, { column: m, wrap: 256 }]\ncategorical: { state: ['on', 'off'] }\n";
    expect(await readKinds(await file("a.yaml", yaml))).toEqual(kinds);
    expect(await readKinds(await file("a.json", JSON.stringify(kinds)))).toEqual(kinds);
    const inside = `kinds:\n${yaml.replace(/^/gm, "  ").trimEnd()}\n`;
    expect(await readKinds(await file("b.yaml", inside))).toEqual(kinds);
  });

  for (const [what, text, sentence] of [
    [
      "a kind that there is not",
      "counters: [n]\n",
      'k.yaml:1:1: there is no kind "counters": did you mean "counter"?',
    ],
    [
      "one far from all",
      "a: [n]\n",
      'k.yaml:1:1: there is no kind "a": there are counter, heavy-tailed, categorical',
    ],
    [
      "a word in place of a list",
      "kinds:\n  counter: n\n",
      "k.yaml:2:12: kinds.counter is refused: counter must be a list of columns, each a name or { column: NAME, wrap: NUMBER ABOVE 0 }",
    ],
    [
      "a wrap below zero",
      "counter: [{ column: n, wrap: -1 }]\n",
      "k.yaml:1:30: counter.0.wrap is refused: counter must be a list of columns, each a name or { column: NAME, wrap: NUMBER ABOVE 0 }",
    ],
    [
      "a list in place of a map",
      "categorical: [state]\n",
      "k.yaml:1:14: categorical is refused: categorical must be a map of columns to lists of different words, numbers in quotes, such as { state: [on, off] }",
    ],
    [
      "words that YAML takes for truths",
      "categorical: { state: [true, false] }\n",
      "k.yaml:1:24: categorical.state.0 is refused: categorical must be a map of columns to lists of different words, numbers in quotes, such as { state: [on, off] }",
    ],
    [
      "a word twice",
      "categorical: { s: [a, a] }\n",
      "k.yaml:1:19: categorical.s is refused: a value is named twice",
    ],
    [
      "a column twice",
      "counter: [n]\nheavy-tailed: [n]\n",
      'k.yaml: the column "n" is named twice; a column is of one kind',
    ],
    [
      "nothing",
      "",
      "k.yaml: names no column; give counter, heavy-tailed or categorical, or leave out --kinds",
    ],
    ["a list", "[n]\n", 'k.yaml must be a YAML map of settings, such as "rounds: 10"'],
  ] as const) {
    it(`says with its place what is wrong with ${what}`, async () => {
      const path = await file("k.yaml", text);
      const error = await readKinds(path).then(
        () => undefined,
        (caught: Error) => caught,
      );
      expect(error?.message.replaceAll(`${folder}/`, "")).toBe(sentence);
    });
  }
});

describe.skipIf(!isBuilt)("--kinds", () => {
  it("plot draws prepared channels, and says on stderr what is odd about columns", async () => {
    const rows = Array.from(
      { length: 300 },
      (_, i) => `${i * 5},${i % 3 === 0 ? "on" : "idle"},${i < 150 ? i : ""}`,
    );
    const data = await file("plot.csv", `bytes,state,level\n${rows.join("\n")}\n`);
    const kinds = await file("plot.yaml", "counter: [bytes]\ncategorical: { state: ['on'] }\n");
    const out = join(folder, "plot.html");
    const ran = await starling(["plot", data, "-o", out, "--kinds", kinds, "--rate-hz", "2"]);
    expect(ran).toMatchObject({
      code: 0,
      stderr: `${data}: column "level" has had no value for 100 rows: look at its sensor and wiring\n`,
    });
    const [drawing] = JSON.parse(/id="drawings">(.*?)<\/script>/s.exec(await readFile(out, "utf8"))![1]!) as {
      series: { name: string }[];
    }[];
    expect(drawing!.series.map(({ name }) => name)).toEqual(["bytes", "state=on", "state=other", "level"]);
  });

  it("plot and agent end with one sentence and exit code 2 where kinds do not fit the data", async () => {
    const data = await file("data.csv", "bytes,state\n1,on\n2,off\n");
    const kinds = await file("byte.yaml", "counter: [byte]\n");
    const plot = await starling(["plot", data, "-o", join(folder, "x.html"), "--kinds", kinds]);
    const says = `${data}: kinds names the column "byte", which is no channel here; did you mean "bytes"?`;
    expect(plot).toMatchObject({ code: 2, stderr: expect.stringContaining(says) });
    const { publicKey } = makeSigningKeys();
    const ticket = formatJoin({ url: "mqtt://127.0.0.1:1", device: "d", token: "t".repeat(43), publicKey });
    const agent = await starling([
      ...["agent", "--join", ticket, "--state", join(folder, "state"), "--source", data, "--kinds", kinds],
    ]);
    expect(agent).toMatchObject({ code: 2, stderr: expect.stringContaining(says) });
    const none = await starling(["plot", data, "-o", "x.html", "--kinds", join(folder, "none.yaml")]);
    expect(none).toMatchObject({ code: 2, stderr: expect.stringMatching(/none\.yaml can't be read/) });
  });
});
