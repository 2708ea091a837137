import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import fc from "fast-check";
import { expect, test } from "vitest";
import { type CsvOptions, readCsv } from "../../../models/data/csv.ts";
import { writeCsv } from "../../../models/data/csv-write.ts";
import { sentenceOf, temporaryFolder } from "./temp-folder.ts";

const folder = temporaryFolder();

function file(text: string | Uint8Array, name = "x.csv"): string {
  writeFileSync(join(folder, name), text);
  return join(folder, name);
}
const read = async (text: string, options: CsvOptions = {}) => (await readCsv(file(text), options)).series;

for (const delimiter of [",", ";", "\t", "|"]) {
  test(`csv - finds the delimiter ${JSON.stringify(delimiter)} and the header`, async () => {
    const series = await read(["a,b", "1,2.5", "-3e1,.5"].join("\n").replaceAll(",", delimiter));
    expect(series).toEqual({
      rows: 2,
      channels: 2,
      values: Float32Array.of(1, 2.5, -30, 0.5),
      names: ["a", "b"],
    });
  });
}

test("csv - a comma is a decimal sign where another delimiter splits the line", async () => {
  expect([...(await read("a;b\n1,5;2\n-0,25;3,5\n")).values]).toEqual([1.5, 2, -0.25, 3.5]);
  expect([...(await read("1,5;2,5\n3,5;4,5\n")).values]).toEqual([1.5, 2.5, 3.5, 4.5]);
});

test("csv - without a header the channels are c1, c2, ...; BOM, CRLF, quotes and empty lines do no harm", async () => {
  expect((await read("1,2\n3,4")).names).toEqual(["c1", "c2"]);
  const series = await read('\uFEFF"flow, in",temp\r\n1,2\r\n\r\n"3",4\r\n');
  expect([series.names, [...series.values]]).toEqual([
    ["flow, in", "temp"],
    [1, 2, 3, 4],
  ]);
});

test("csv - missing values and infinities are NaN", async () => {
  const series = await read("a,b,c,d\n,NaN,NA,null\n?,n/a,inf,1e99\n1,2,3,4\n");
  expect([...series.values]).toEqual([...Array(8).fill(Number.NaN), 1, 2, 3, 4]);
});

const FIRST = Date.UTC(2020, 2, 9, 10, 14, 33);
for (const [what, header, fields] of [
  ["'YYYY-MM-DD hh:mm:ss', as UTC", "when", ["2020-03-09 10:14:33", "2020-03-09 10:14:43"]],
  ["ISO with a zone", "x", ["2020-03-09T11:14:33+01:00", "2020-03-09T10:14:43Z"]],
  ["epoch seconds by name", "timestamp", [String(FIRST / 1000), String(FIRST / 1000 + 10)]],
  ["epoch milliseconds by name", "time_ms", [String(FIRST), String(FIRST + 10_000)]],
] as const) {
  test(`csv - finds the time column and the rate: ${what}`, async () => {
    const series = await read(`${header},v\n${fields[0]},1\n${fields[1]},2\n`);
    expect([series.names, series.rateHz]).toEqual([["v"], 0.1]);
    expect([...(series.timestampsMs ?? [])]).toEqual([FIRST, FIRST + 10_000]);
  });
}

test("csv - takes an unnamed first column of rising epoch seconds as the time, and no other numbers", async () => {
  expect((await read("1583748873,5\n1583748874,6\n")).channels).toBe(1);
  expect((await read("15,5\n16,6\n")).channels).toBe(2);
});

test("csv - takes the label column out, leaves others away, and keeps a given rate", async () => {
  const path = file("t,a,anomaly,change\n1,5,0.0,1\n2,6,1.0,0\n");
  const content = await readCsv(path, {
    labelColumn: "anomaly",
    ignoreColumns: ["change"],
    timeColumn: "t",
    rateHz: 4,
  });
  expect(content.labels).toEqual(Uint8Array.of(0, 1));
  expect([content.series.names, content.series.rateHz]).toEqual([["a"], 4]);
});

test("csv - reads .csv.gz, and long files in many chunks", async () => {
  const rows = 20_000;
  const text = `a,b\n${Array.from({ length: rows }, (_, i) => `${i},${i / 8}`).join("\n")}\n`;
  const { series } = await readCsv(file(gzipSync(text), "long.csv.gz"));
  expect(series.rows).toBe(rows);
  expect([...series.values.slice(-2)]).toEqual([rows - 1, (rows - 1) / 8]);
});

test("csv - write and read give the same values, names and times", async () => {
  const property = fc.asyncProperty(
    fc.float32Array({ noDefaultInfinity: true, minLength: 2, maxLength: 40 }),
    async (all) => {
      const values = all.subarray(0, all.length - (all.length % 2)).map((v) => (Object.is(v, -0) ? 0 : v));
      const rows = values.length / 2;
      const timestampsMs = Float64Array.from({ length: rows }, (_, i) => FIRST + i * 1500);
      await writeCsv(join(folder, "w.csv"), {
        rows,
        channels: 2,
        values,
        names: ["a", 'b "c", d'],
        timestampsMs,
      });
      const { series } = await readCsv(join(folder, "w.csv"), { header: true });
      expect(series.values).toEqual(values);
      expect(series.timestampsMs).toEqual(timestampsMs);
      expect(series.names).toEqual(["a", 'b "c", d']);
    },
  );
  await fc.assert(property, { numRuns: 50 });
});

const MALFORMED: [text: string | Uint8Array, sentence: string, options?: CsvOptions][] = [
  ["", "x.csv: is empty; check the file"],
  ["a,b\n", "x.csv: has no data rows; check the file"],
  [
    "a,b\n1,2\n3,four\n",
    'x.csv: line 3 column "b" holds "four", not a number; mend it, or name the column as categorical in the kinds',
  ],
  [
    "0,tcp\n1,2\n",
    'x.csv: line 1 column "c2" holds "tcp", not a number; mend it, or name the column as categorical in the kinds',
  ],
  ["a,b\n1,2\n3\n5,6\n", "x.csv: line 3 has 1 fields where 2 are expected; mend or remove it"],
  ["a,b\n1,2\n\n3,4,5\n", "x.csv: line 4 has 3 fields where 2 are expected; mend or remove it"],
  [
    "t,a\n2020-01-01 00:00:00,1\n2020-02-31 00:00:00,2\n",
    'x.csv: line 3 column "t" holds "2020-02-31 00:00:00", not a time',
    { timeColumn: "t" },
  ],
  ["time,a\n1,1\n1e300,2\n", 'x.csv: line 3 column "time" holds "1e300", not a time'],
  [
    "a,label\n1,0\n2,5\n",
    'x.csv: line 3 column "label" holds "5", not a label 0 or 1',
    { labelColumn: "label" },
  ],
  ["a,b\n1,2\n", 'x.csv: has no column "fault"; it has a, b', { labelColumn: "fault" }],
  ["time\n2020-01-01\n", "x.csv: has no column of numbers beside time"],
  ['a,b\n1,"2\n3,4\n', "x.csv: line 3 ends inside a quote; close it there or above"],
  ['a,b\n1,2\n3,4"5\n', "x.csv: line 3 has a quote in the wrong place; mend or remove it"],
  ['a,b\n1,2\n3,"4"5\n', "x.csv: line 3 has a quote in the wrong place; mend or remove it"],
  [gzipSync("a\n1\n"), "x.csv: is gzip data; let its name end in .gz"],
  [Uint8Array.of(65, 10, 0, 1, 2), "x.csv: is binary (a zero at byte 2); give a text file in UTF-8"],
  ["a\n1\n2\n3\n", "x.csv: holds more than 6 bytes; raise maxBytes or split it", { maxBytes: 6 }],
];
for (const [text, sentence, options] of MALFORMED) {
  test(`csv - one sentence: ${sentence}`, async () => {
    expect(await sentenceOf(readCsv(file(text), options), folder)).toBe(`BAD_INPUT ${sentence}`);
  });
}

test("csv - stops at a line that never ends", async () => {
  const path = file(`a,b\n1,2\n${"9".repeat(1_200_000)}`, "endless.csv");
  expect(await sentenceOf(readCsv(path), folder)).toMatch(
    /^BAD_INPUT endless\.csv: line \d is longer than 1048576 bytes; /,
  );
});
