import { writeFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { expect, test } from "vitest";
import { onceEach } from "../../../models/data/column-problem.ts";
import { linePreparer } from "../../../models/data/line-preparer.ts";
import type { ColumnProblem } from "../../../models/data/prepare.ts";
import { readPrepared } from "../../../models/data/prepared-file.ts";
import { channelKindsOf, Kinds, schemaFor } from "../../../models/data/schema.ts";
import { sentenceOf, temporaryFolder } from "./temp-folder.ts";

const folder = temporaryFolder();
const kinds = Kinds.parse({
  counter: [{ column: "total", wrap: 256 }],
  "heavy-tailed": ["size"],
  categorical: { word: ["tcp", "udp"] },
});

function file(text: string, name = "x.csv"): string {
  writeFileSync(join(folder, name), text);
  return join(folder, name);
}

const rowsArbitrary = fc.array(
  fc.record({
    gauge: fc.option(fc.integer({ min: -1000, max: 1000 })),
    total: fc.option(fc.integer({ min: 0, max: 255 })),
    size: fc.option(fc.integer({ min: -(2 ** 40), max: 2 ** 40 })),
    word: fc.option(fc.constantFrom("tcp", "udp", "icmp")),
    stepMs: fc.integer({ min: 0, max: 5000 }),
  }),
  { minLength: 1, maxLength: 30 },
);

test("lines that are cut anywhere, arrays, a jsonl file and a csv file give the same numbers", async () => {
  await fc.assert(
    fc.asyncProperty(rowsArbitrary, fc.nat(), fc.boolean(), async (rows, cut, timed) => {
      let ms = Date.UTC(2024, 0, 1);
      const records = rows.map(({ stepMs, ...record }) => {
        ms += stepMs;
        return timed ? { ...record, t: ms } : record;
      });
      const lines = records.map((record) => JSON.stringify(record));
      // The first row names the delimiter and the columns, whatever values are missing below.
      const head = `${timed ? "time," : ""}gauge,total,size,word`;
      const cells = records.map((record) => {
        const time = "t" in record ? `${new Date(record.t as number).toISOString()},` : "";
        return `${time}${[record.gauge, record.total, record.size, record.word].map((value) => value ?? "").join(",")}`;
      });
      const csv = await readPrepared(file([head, ...cells, ""].join("\n")), { kinds });
      const jsonl = await readPrepared(file(lines.join("\n"), "x.jsonl"), { kinds });
      expect(jsonl.series.values).toEqual(csv.series.values);
      expect(jsonl.series.names).toEqual(csv.series.names);
      expect(jsonl.kinds).toBe(timed ? "gchwww" : "grhwww");
      expect(csv.kinds).toBe(jsonl.kinds);

      const schema = schemaFor(["gauge", "total", "size", "word"], kinds, "test");
      const width = csv.series.channels;
      const stream = new Float32Array(rows.length * width);
      let preparer = linePreparer(schema);
      const asArrays = !timed && cut % 2 === 0;
      for (const [i, line] of lines.entries()) {
        if (i === cut % rows.length) {
          preparer = linePreparer(schema, { state: roundTrip(preparer.state()) });
        }
        const { gauge, total, size, word } = records[i]!;
        const text = asArrays ? JSON.stringify([gauge, total, size, word]) : line;
        stream.set(preparer.parse(text).values, i * width);
      }
      expect(stream).toEqual(csv.series.values);
    }),
    { numRuns: 60 },
  );
});

function roundTrip<T>(value: T): T {
  return value === undefined ? value : (JSON.parse(JSON.stringify(value)) as T);
}

test("a state goes on with columns in another order, and not where rows are measured another way", () => {
  const one = linePreparer(schemaFor(["n", "total"], kindsOf({ counter: ["total"] }), "test"));
  one.parse('{"n": 1, "total": 10}');
  const other = schemaFor(["total", "n"], kindsOf({ counter: ["total"] }), "test");
  const goesOn = linePreparer(other, { state: roundTrip(one.state()) });
  expect([...goesOn.parse('{"n": 1, "total": 14}').values]).toEqual([4, 1]);
  const timed = linePreparer(other, { state: roundTrip(one.state()) });
  expect([...timed.parse('{"n": 1, "total": 14, "t": 1000}').values]).toEqual([Number.NaN, 1]);
  expect([...timed.parse('{"n": 1, "total": 16, "t": 2000}').values]).toEqual([2, 1]);
  const atAnotherRate = linePreparer(other, { rateHz: 5, state: roundTrip(one.state()) });
  expect([...atAnotherRate.parse('{"n": 1, "total": 14}').values]).toEqual([Number.NaN, 1]);
});

function kindsOf(value: unknown): Kinds {
  return Kinds.parse(value);
}

test("a line without the time that counters are measured by counts for nothing", () => {
  const preparer = linePreparer(schemaFor(["total"], kindsOf({ counter: ["total"] }), "test"));
  preparer.parse('{"total": 10, "t": 1000}');
  expect(() => preparer.parse('{"total": 99}')).toThrow(/no time "t", which counters need/);
  expect([...preparer.parse('{"total": 20, "t": 2000}').values]).toEqual([10]);
});

test("text in a column of numbers, new and vanished columns, and falls below zero are told once each", () => {
  const problems: ColumnProblem[] = [];
  const told: string[] = [];
  const tell = onceEach((text) => told.push(text));
  const preparer = linePreparer(schemaFor(["n", "total"], kindsOf({ counter: ["total"] }), "test"), {
    onProblem(problem) {
      problems.push(problem);
      tell(problem);
    },
  });
  for (let i = 0; i < 3; i++) {
    expect([...preparer.parse('{"n": "off", "total": -1, "new": 3}').values]).toEqual([
      Number.NaN,
      Number.NaN,
    ]);
    preparer.parse('{"n": 1, "total": 2}');
    preparer.parse('{"total": 2}');
  }
  expect(problems.length).toBeGreaterThan(told.length);
  expect(told).toEqual([
    'column "new" is new and is not used: to use it, start again with it in the data, on every device of the fleet',
    'column "n" holds "off", which is no number and counts as missing: mend what writes it, or name the column as categorical',
    'column "total" is a counter and holds -1, which counts as missing: mend what writes it, or name the column as something else',
    'column "n" is not there any more and counts as missing: look at what writes it',
  ]);
});

for (const [name, text, ending, sentence] of [
  [
    "a column that is not there, with the nearest",
    "gauge,totl,size,word\n1,2,3,tcp\n",
    "csv",
    'kinds names the column "total", which is no channel here; did you mean "totl"?',
  ],
  [
    "a column that is not there, with all where none is near",
    '{"a": 1, "size": 1, "word": "x"}\n',
    "jsonl",
    'kinds names the column "total", which is no channel here; there are a, size, word',
  ],
  [
    "a csv without names",
    "1,2,3,tcp\n1,2,3,tcp\n",
    "csv",
    "has no line of names, and kinds go by names; put the columns' names in its first line",
  ],
  [
    "arrays",
    '[1, 2, 3, "tcp"]\n',
    "jsonl",
    "has arrays, which have no names, and kinds go by names; give an object a line",
  ],
  [
    "a file that has no columns of several kinds",
    "",
    "npy",
    "has no columns whose kinds could be named; kinds are for .csv, .tsv, .txt and .jsonl files",
  ],
] as const) {
  test(`one sentence says what is wrong with ${name}`, async () => {
    const path = file(text, `y.${ending}`);
    const said = await sentenceOf(readPrepared(path, { kinds }), folder);
    expect(said.replaceAll(`y.${ending}: `, "")).toBe(`BAD_INPUT ${sentence}`);
  });
}

test("two files of one device have the same columns, in whatever order, and times both or neither", async () => {
  const first = file("gauge,total,size,word\n1,2,3,tcp\n2,5,3,udp\n", "first.csv");
  const read = await readPrepared(first, { kinds });
  const like = { path: "first.csv", ...read };
  const turned = file("word,size,total,gauge\ntcp,3,2,1\nudp,3,5,2\n", "turned.csv");
  expect((await readPrepared(turned, { kinds, like })).series.values).toEqual(read.series.values);
  const narrow = file("gauge,total,word\n1,2,tcp\n", "narrow.csv");
  expect(await sentenceOf(readPrepared(narrow, { kinds, like }), folder)).toBe(
    'BAD_INPUT narrow.csv: has no column "size", and first.csv has it; give files of one device',
  );
  const wide = file("gauge,total,size,word,more\n1,2,3,tcp,1\n", "wide.csv");
  expect(await sentenceOf(readPrepared(wide, { kinds, like }), folder)).toBe(
    'BAD_INPUT wide.csv: has a column "more", and first.csv has none; give files of one device',
  );
  const timed = file("time,gauge,total,size,word\n2024-01-01T00:00:00Z,1,2,3,tcp\n", "timed.csv");
  expect(await sentenceOf(readPrepared(timed, { kinds, like }), folder)).toMatch(
    /^BAD_INPUT timed.csv: has times, unlike first.csv, /,
  );
});

test("letters tell gauges apart from what is prepared, and no letters are plain columns", () => {
  expect(channelKindsOf(schemaFor(["a"], {}, "test"), "row")).toBeUndefined();
  expect(channelKindsOf(schemaFor(["a", "b"], kindsOf({ counter: ["b"] }), "test"), "row")).toBe("gr");
});

test("a column is of one kind", () => {
  const twice = Kinds.safeParse({ counter: ["a"], "heavy-tailed": ["a"] });
  expect(twice.error?.issues[0]?.message).toBe('the column "a" is named twice; a column is of one kind');
});

test("words are channels, and a device has no more than 512", async () => {
  const values = Array.from({ length: 512 }, (_, i) => `w${i}`);
  const path = file("word\nw1\n", "many.csv");
  expect(
    await sentenceOf(readPrepared(path, { kinds: kindsOf({ categorical: { word: values } }) }), folder),
  ).toBe(
    "BAD_INPUT many.csv: its 1 columns become 513 channels by their kinds, and a device has 1 to 512; give categorical columns fewer words",
  );
});
