import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import fc from "fast-check";
import { expect, test } from "vitest";
import { readSeries } from "../../../models/data/read.ts";
import { sentenceOf, temporaryFolder } from "./temp-folder.ts";

const root = temporaryFolder();
const fileOf = (name: string, content: string | Uint8Array) => {
  const path = join(root, name);
  writeFileSync(path, content);
  return path;
};

test("json lines - objects with times, missing values and other keys; also gzipped, with empty lines", async () => {
  const text =
    '{"t":0,"a":1,"b":2}\r\n\n{"t":"1970-01-01T00:00:02Z","b":null,"a":3,"note":"x"}\n{"t":4000,"b":5}';
  const wanted = {
    rows: 3,
    channels: 2,
    values: Float32Array.of(1, 2, 3, Number.NaN, Number.NaN, 5),
    names: ["a", "b"],
    timestampsMs: Float64Array.of(0, 2000, 4000),
    rateHz: 0.5,
  };
  expect(await readSeries(fileOf("a.jsonl", text))).toEqual(wanted);
  expect(await readSeries(fileOf("a.ndjson.gz", gzipSync(text)))).toEqual(wanted);
});

test("json lines - arrays of numbers, with a rate from outside", async () => {
  expect(await readSeries(fileOf("b.jsonl", "[1,2]\n[3,null]\n"), { rateHz: 2 })).toEqual({
    rows: 2,
    channels: 2,
    values: Float32Array.of(1, 2, 3, Number.NaN),
    names: ["c1", "c2"],
    rateHz: 2,
  });
});

test("json lines - what is wrong is said with its line", async () => {
  for (const [content, sentence] of [
    ["", "has no samples; check the file"],
    ["\n \n", "has no samples; check the file"],
    ['{"a":1}\nx', "line 2: it is not JSON"],
    ['{"a":"1"}', 'line 1: "a" is not a number or null'],
    ["[1]\n[1,2]", "line 2: it has 2 values, not 1"],
    ['{"a":1}\n\n{"b":1}', "line 3: it names none of the channels a"],
    [
      '{"a":1}\n{"a":1,"t":5}',
      "line 2: some lines have a time `t` and some have none; give it to all or to none",
    ],
    [
      '{"a":1,"t":5}\n{"a":1}',
      "line 2: some lines have a time `t` and some have none; give it to all or to none",
    ],
    [`[1]\n${"1".repeat(1_200_000)}`, "line 2 is longer than 1048576 bytes; put each sample on its own line"],
    [
      Buffer.from([0x5b, 0x31, 0x5d, 0x0a, 0xff, 0xfe]),
      "is not UTF-8 text in or after line 1; save it as UTF-8",
    ],
  ] as const)
    expect(await sentenceOf(readSeries(fileOf("x.jsonl", content)), root)).toBe(
      `BAD_INPUT x.jsonl: ${sentence}`,
    );
  const path = fileOf("x.jsonl", "[1]\n".repeat(100_000));
  expect(await sentenceOf(readSeries(path, { maxBytes: 100_000 }), root)).toBe(
    "BAD_INPUT x.jsonl: holds more than 100000 bytes; raise maxBytes or split it",
  );
});

test("json lines - reads back what was written, however the numbers look; any damage is one sentence", async () => {
  const value = fc.oneof(fc.float({ noNaN: true, noDefaultInfinity: true }), fc.constant(null));
  const rows = fc.array(fc.tuple(value, value), { minLength: 1, maxLength: 20 });
  const property = fc.asyncProperty(rows, fc.nat(), fc.nat(255), async (list, at, byte) => {
    const text = Buffer.from(list.map(([a, b]) => JSON.stringify({ a, b })).join("\n"));
    const path = fileOf("p.jsonl", text);
    const { values } = await readSeries(path);
    expect([...values]).toEqual(list.flat().map((v) => (v === null ? Number.NaN : v + 0)));
    text[at % text.length] = byte;
    writeFileSync(path, text);
    const outcome = await sentenceOf(readSeries(path), root);
    expect(outcome).toMatch(/^(?:no error$|BAD_INPUT p\.jsonl: )/);
  });
  await fc.assert(property, { numRuns: 100 });
});
