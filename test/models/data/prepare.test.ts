import { writeFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { expect, test } from "vitest";
import { type ColumnProblem, type RawValue, rowPreparer } from "../../../models/data/prepare.ts";
import { channelsOf, Schema, schemaOf } from "../../../models/data/schema.ts";
import { readTable } from "../../../models/data/table.ts";
import { sentenceOf, temporaryFolder } from "./temp-folder.ts";

const folder = temporaryFolder();

function file(text: string, name = "x.csv"): string {
  writeFileSync(join(folder, name), text);
  return join(folder, name);
}

/** Prepares rows of one column, without times. */
function prepared(column: object, values: readonly RawValue[], rateHz?: number): number[][] {
  const preparer = rowPreparer(Schema.parse({ columns: [{ name: "x", ...column }] }), { rateHz });
  return values.map((value) => {
    const out = new Float32Array(preparer.channels.length);
    preparer.prepareRow([value], out);
    return [...out];
  });
}
const missing = Number.NaN;

test("prepare - a gauge stays as it is; null, words for missing and infinities are missing and never 0", () => {
  expect(
    prepared({ kind: "gauge" }, [
      1.5,
      "2.5",
      null,
      undefined,
      "",
      "NaN",
      Number.POSITIVE_INFINITY,
      true,
    ]).flat(),
  ).toEqual([1.5, 2.5, missing, missing, missing, missing, missing, 1]);
});

test("prepare - a heavy-tailed value keeps its sign", () => {
  const [a, b, c] = prepared({ kind: "heavy-tailed" }, [Math.E - 1, -(Math.E - 1), 0]).flat();
  expect([a, b, c]).toEqual([1, -1, 0]);
});

test("prepare - a counter becomes its rate, over gaps, and a reset counts from zero", () => {
  expect(prepared({ kind: "counter" }, [100, 110, null, 130, 5, 6], 2).flat()).toEqual([
    missing, // no value before it
    20,
    missing,
    20, // 20 in two rows of half a second
    10, // restarted: 5 since
    2,
  ]);
});

test("prepare - a counter beyond 2^52 does not lose its small steps to float32", () => {
  const start = 2 ** 52;
  expect(prepared({ kind: "counter" }, [start, start + 3, String(start + 4)]).flat()).toEqual([
    missing,
    3,
    1,
  ]);
});

test("prepare - a counter wraps where that is the shorter way, and resets else", () => {
  const wrap = 2 ** 32;
  expect(prepared({ kind: "counter", wrap }, [wrap - 10, 5, 2]).flat()).toEqual([missing, 15, 2]);
});

test("prepare - a counter over times that stand still or go back has no rate", () => {
  const preparer = rowPreparer({ columns: [{ name: "x", kind: "counter" }] });
  const out = new Float32Array(1);
  const rates = [
    [0, 0],
    [4000, 8],
    [4000, 9],
    [3000, 10],
    [5000, 14],
  ].map(([ms, value]) => {
    preparer.prepareRow([value], out, ms);
    return out[0];
  });
  expect(rates).toEqual([missing, 2, missing, missing, 2]);
});

test("prepare - a categorical value is one of its words, another one, or missing", () => {
  const column = { kind: "categorical", values: ["tcp", "udp"] };
  expect(channelsOf(Schema.parse({ columns: [{ name: "p", ...column }] }))).toEqual([
    "p=tcp",
    "p=udp",
    "p=other",
  ]);
  expect(prepared(column, ["udp", " tcp ", "gre", 7, null, ""])).toEqual([
    [0, 1, 0],
    [1, 0, 0],
    [0, 0, 1],
    [0, 0, 1],
    [missing, missing, missing],
    [missing, missing, missing],
  ]);
  // Where the data has the word "other" itself, there is one channel for both.
  expect(prepared({ kind: "categorical", values: ["other", "a"] }, ["other", "b", "a"])).toEqual([
    [1, 0],
    [1, 0],
    [0, 1],
  ]);
});

test("prepare - what is wrong with a column is told once, until the column was well again", () => {
  const told: ColumnProblem[] = [];
  const preparer = rowPreparer(
    {
      columns: [
        { name: "a", kind: "gauge" },
        { name: "n", kind: "counter" },
      ],
    },
    { onProblem: (problem) => told.push(problem), ignore: ["time"], silentRows: 3 },
  );
  const out = new Float32Array(2);
  const push = (record: Record<string, RawValue>) => {
    told.length = 0;
    preparer.prepareRecord({ time: 0, ...record }, out);
    return [...told];
  };
  expect(push({ a: 1, n: 1 })).toEqual([]);
  expect(push({ a: "off", n: 2 })).toEqual([{ kind: "text", column: "a", value: "off" }]);
  expect([...out]).toEqual([missing, 1]);
  expect(push({ a: "off", n: 3 })).toEqual([]);
  expect(push({ a: 2, n: -3 })).toEqual([{ kind: "negative", column: "n", value: -3 }]);
  expect(out[1]).toBeNaN();
  expect(push({ a: "off", n: 4 })).toEqual([{ kind: "text", column: "a", value: "off" }]);
  expect(push({ n: 5 })).toEqual([{ kind: "vanished", column: "a" }]);
  expect(push({ n: 6 })).toEqual([]);
  expect(push({ a: 1, n: 7, b: 1 })).toEqual([{ kind: "appeared", column: "b" }]);
  expect(push({ a: null, n: 8, b: 1 })).toEqual([]);
  expect(push({ a: null, n: 9 })).toEqual([]);
  expect(push({ a: null, n: 10 })).toEqual([{ kind: "silent", column: "a", rows: 3 }]);
  expect(push({ a: null, n: 11 })).toEqual([]);
});

test("prepare - names that a sender makes up do not fill the memory", () => {
  let told = 0;
  const preparer = rowPreparer({ columns: [{ name: "a", kind: "gauge" }] }, { onProblem: () => told++ });
  for (let i = 0; i < 1000; i++) preparer.prepareRecord({ a: 1, [`made-up-${i}`]: 1 }, new Float32Array(1));
  expect(told).toBe(100);
});

test("schema - names of columns that are none are given back; a name or word given twice is refused", () => {
  const { schema, unknown } = schemaOf(["a", "b", "c"], {
    counter: [{ column: "b", wrap: 256 }, "z"],
    categorical: { c: ["x"] },
  });
  expect(unknown).toEqual(["z"]);
  expect(schema.columns).toEqual([
    { name: "a", kind: "gauge" },
    { name: "b", kind: "counter", wrap: 256 },
    { name: "c", kind: "categorical", values: ["x"] },
  ]);
  const gauge = { name: "a", kind: "gauge" };
  expect(Schema.safeParse({ columns: [gauge, gauge] }).success).toBe(false);
  expect(
    Schema.safeParse({ columns: [{ name: "a", kind: "categorical", values: ["x", "x"] }] }).success,
  ).toBe(false);
});

const words = ["tcp", "udp", "x11", "other"];
const rowsArbitrary = fc.array(
  fc.record({
    gauge: fc.option(
      fc.float({ noDefaultInfinity: true, noNaN: true }).map((x) => x + 0),
    ) /* no -0: text has none */,
    total: fc.option(fc.integer({ min: 0, max: 300 })),
    size: fc.option(fc.integer({ min: -(2 ** 40), max: 2 ** 40 })),
    word: fc.option(fc.constantFrom(...words)),
    stepMs: fc.integer({ min: 0, max: 5000 }),
  }),
  { minLength: 1, maxLength: 30 },
);
const { schema: everyKind } = schemaOf(["gauge", "total", "size", "word"], {
  counter: [{ column: "total", wrap: 256 }],
  "heavy-tailed": ["size"],
  categorical: { word: ["tcp", "udp"] },
});

test("prepare - a stream that is cut anywhere, a file and a plain reference give the same numbers", async () => {
  await fc.assert(
    fc.asyncProperty(rowsArbitrary, fc.nat(), fc.boolean(), async (rows, cut, timed) => {
      let ms = Date.UTC(2024, 0, 1);
      const timesMs = rows.map(({ stepMs }) => (ms += stepMs));
      const at = timed ? timesMs.map((t) => t / 1000) : rows.map((_, i) => i);

      // The reference looks back over the whole column.
      const reference = rows.flatMap(({ gauge, total, size, word }, i) => {
        const before = rows.slice(0, i).findLastIndex((row) => row.total !== null);
        let rate = Number.NaN;
        if (total !== null && before >= 0 && at[i]! > at[before]!) {
          const from = rows[before]!.total!;
          const rise =
            total >= from
              ? total - from
              : total + 256 - from < 128 && total + 256 >= from
                ? total + 256 - from
                : total;
          rate = rise / (at[i]! - at[before]!);
        }
        const hot =
          word === null
            ? [0, 0, 0].fill(Number.NaN)
            : [word === "tcp", word === "udp", !["tcp", "udp"].includes(word)].map(Number);
        const log = size === null ? Number.NaN : Math.sign(size) * Math.log1p(Math.abs(size));
        return [gauge ?? Number.NaN, rate, log, ...hot];
      });

      const wire = Schema.parse(JSON.parse(JSON.stringify(everyKind)));
      let preparer = rowPreparer(wire);
      const width = preparer.channels.length;
      const stream = new Float32Array(rows.length * width);
      rows.forEach(({ stepMs: _, ...record }, i) => {
        if (i === cut % rows.length)
          preparer = rowPreparer(wire, { state: JSON.parse(JSON.stringify(preparer.state())) });
        preparer.prepareRecord(
          record,
          stream.subarray(i * width, (i + 1) * width),
          timed ? timesMs[i] : undefined,
        );
      });
      expect(stream).toEqual(Float32Array.from(reference));

      const text = rows.map(({ gauge, total, size, word }, i) => {
        const time = timed ? [new Date(timesMs[i]!).toISOString()] : [];
        return [...time, gauge, total, size, word].map((field) => field ?? "").join(",");
      });
      const header = [...(timed ? ["time"] : []), "gauge", "total", "size", "word"].join(",");
      const { series } = await readTable(file([header, ...text, ""].join("\n")), {
        schema: wire,
        delimiter: ",",
        header: true,
        ...(timed ? { timeColumn: "time" } : {}),
      });
      expect(series.values).toEqual(stream);
      expect(series.names).toEqual(preparer.channels);
    }),
    { numRuns: 100 },
  );
});

for (const [name, text, sentence] of [
  [
    "text",
    "a,b\n1,2\n3,off\n",
    'line 3 column "b" holds "off", not a number; mend it, or name the column as categorical in the kinds',
  ],
  ["ragged", "a,b\n1,2\n3\n", "line 3 has 1 fields where 2 are expected; mend or remove it"],
  [
    "vanished",
    "a,c\n1,2\n",
    'has no column "b", which other files or the set\'s description have; add it or leave the file out',
  ],
  [
    "appeared",
    "a,b,c\n1,2,3\n",
    'has a column "c", which other files or the set\'s description do not have; ignore that column or leave the file out',
  ],
  ["empty", "a,b\n", "has no data rows; check the file"],
] as const) {
  test(`table - ${name}: one sentence that names the place`, async () => {
    const { schema } = schemaOf(["a", "b"]);
    expect(await sentenceOf(readTable(file(text), { schema }), folder)).toBe(`BAD_INPUT x.csv: ${sentence}`);
  });
}

test("table - labels that are words, a text column beside, names for a file without a header", async () => {
  const { schema } = schemaOf(["n"]);
  const table = await readTable(file("1,ssh,normal\n2,ftp,neptune\n"), {
    schema,
    columnNames: ["n", "service", "label"],
    labelColumn: "label",
    normalLabels: ["normal"],
    texts: ["service"],
  });
  expect(table.series.values).toEqual(Float32Array.of(1, 2));
  expect(table.labels).toEqual(Uint8Array.of(0, 1));
  expect(table.texts).toEqual({ service: ["ssh", "ftp"] });
  expect(await sentenceOf(readTable(file("1,2\n"), { schema, columnNames: ["n"] }), folder)).toBe(
    "BAD_INPUT x.csv: has 2 columns but 1 names are given; give one for each",
  );
});
