import { mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { gzipSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { openDataSet, openDataSets } from "../../../models/data/data-set.ts";
import { DATASETS } from "../../../models/data/datasets.ts";
import type { DataSet } from "../../../models/data/device-set.ts";
import { writeNpy } from "../../../models/data/npy.ts";
import { describedSet, describedSets, parseDescription } from "../../../models/data/set-description.ts";
import { createRandom } from "../../../models/engine/random.ts";
import { nabScore } from "../../../models/evaluation/nab.ts";
import { idPattern } from "../../../protocol/ids.ts";
import { SHARED_DATA } from "./shared-data.ts";
import { sentenceOf, temporaryFolder } from "./temp-folder.ts";

const root = temporaryFolder();

/** A folder with these files; text ending in "\n" is left to the test. */
function folderOf(name: string, files: Readonly<Record<string, string | Uint8Array>>): string {
  const folder = join(root, name);
  for (const [file, content] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, file)), { recursive: true });
    writeFileSync(join(folder, file), content);
  }
  return folder;
}

function lines(...rows: readonly string[]): string {
  return `${rows.join("\n")}\n`;
}

/** Ten rows of a rising value, anomalous from row `from` on. */
function labelled(from: number): string {
  return lines("value,anomaly", ...Array.from({ length: 10 }, (_, i) => `${i},${Number(i >= from)}`));
}

const ids = ({ devices }: DataSet) => devices.map(({ device }) => device);

test("data set - NAME_train, NAME_test and NAME_label are devices, read when they are loaded", async () => {
  const folder = folderOf("parts", {
    "a_train.csv": "x\n1\n2\n",
    "a_test.csv": "x\n3\n4\n5\n",
    "a_label.csv": "l\n0\n1\n0\n",
  });
  await writeNpy(join(folder, "b_train.npy"), Float32Array.of(1, 2), [2, 1]);
  const set = folderOf("parts", { "b_test.npy": "damaged" });
  const opened = await openDataSet(set, { rateHz: 2 });
  expect(opened).toMatchObject({ name: "parts", kind: "series", judging: "device", rateHz: 2 });
  expect(ids(opened)).toEqual(["a", "b"]);
  const { train, test, labels, notes } = await opened.devices[0]!.load();
  expect([train.rows, test.rows, train.rateHz, labels, notes]).toEqual([2, 3, 2, Uint8Array.of(0, 1, 0), []]);
  expect(await sentenceOf(opened.devices[1]!.load(), root)).toMatch(/^BAD_INPUT parts\/b_test.npy: /);
});

test("data set - a channel that vanishes, appears or moves between the parts is named", async () => {
  const folder = folderOf("channels", {
    "gone_train.csv": "x,y\n1,2\n",
    "gone_test.csv": "x\n1\n",
    "more_train.csv": "x\n1\n",
    "more_test.csv": "x,y\n1,2\n",
    "moved_train.csv": "x,y\n1,2\n",
    "moved_test.csv": "y,x\n1,2\n",
  });
  const { devices } = await openDataSet(folder);
  expect(await Promise.all(devices.map((device) => sentenceOf(device.load(), root)))).toEqual([
    'BAD_INPUT gone: channel "y" is in the training part and not in the test part (2 and 1 channels); give both the same channels',
    'BAD_INPUT more: channel "y" is in the test part and not in the training part (1 and 2 channels); give both the same channels',
    'BAD_INPUT moved: channel 1 is "x" in the training part and "y" in the test part; give both the same order',
  ]);
});

test("data set - a channel without a value to train on is refused; one that is dead later is noted", async () => {
  const folder = folderOf("dead", {
    "a_train.csv": "x,y\n1,\n2,NaN\n",
    "a_test.csv": "x,y\n1,2\n",
    "b_train.csv": "x,y\n1,2\n",
    "b_test.csv": "x,y\n1,\n",
  });
  const [a, b] = (await openDataSet(folder)).devices;
  expect(await sentenceOf(a!.load(), root)).toBe(
    'BAD_INPUT a: channel "y" has no value in the training part; take that column out of all parts of the set, or mend it',
  );
  const { test, notes } = await b!.load();
  expect(test.values).toEqual(Float32Array.of(1, Number.NaN));
  expect(notes).toEqual(['b: channel "y" has no value in the test part; it is counted as missing']);
});

test("data set - csv files with a label column: the first 80 % of each trains", async () => {
  const folder = folderOf("plain-csv", {
    "pump-10.csv": labelled(9),
    "pump-2.csv": labelled(10),
    "north/pump.csv.gz": gzipSync(labelled(8)),
    "notes.txt": "not data",
  });
  const set = await openDataSet(folder, { labelColumn: "anomaly" });
  expect(set.devices.map(({ device, group }) => [device, group])).toEqual([
    ["north-pump", "north"],
    ["pump-2", undefined],
    ["pump-10", undefined],
  ]);
  expect(set.schema).toEqual({ columns: [{ name: "value", kind: "gauge" }] });
  const { train, test, labels } = await set.devices[2]!.load();
  expect([...train.values, ...test.values]).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
  expect([train.rows, labels]).toEqual([8, Uint8Array.of(0, 1)]);
});

test("data set - what is to train on can be told, and stops before the first anomaly where asked", async () => {
  const folder = folderOf("part", { "a.csv": labelled(3) });
  const load = async (train: object) => {
    const set = await openDataSet(folder, { labelColumn: "anomaly", train });
    const { train: t, test } = await set.devices[0]!.load();
    return [t.rows, test.rows];
  };
  expect(await load({ rows: 6 })).toEqual([6, 4]);
  expect(await load({ fraction: 0.55 })).toEqual([5, 5]);
  expect(await load({ fraction: 0.55, atMostRows: 2 })).toEqual([2, 8]);
  expect(await load({ rows: 6, normalOnly: true })).toEqual([3, 4]);
  expect(await load({ rows: 2, normalOnly: true })).toEqual([2, 8]);
  expect(await sentenceOf(load({ rows: 10 }), root)).toBe(
    "BAD_INPUT part/a.csv: has 10 rows and 10 of them are to train on; both parts need rows, so change the part or leave the file out",
  );
  folderOf("part", { "a.csv": labelled(0) });
  expect(await sentenceOf(load({ rows: 6, normalOnly: true }), root)).toBe(
    "BAD_INPUT part/a.csv: is anomalous from its first row, so there is nothing to train on; leave it out",
  );
});

test("data set - a label never becomes a channel unnoticed", async () => {
  const folder = folderOf("leak", { "a.csv": labelled(9) });
  expect(await sentenceOf(openDataSet(folder), root)).toBe(
    'BAD_INPUT leak/a.csv: column "anomaly" looks like the label; name it as the label column (--label-column anomaly) or ignore it',
  );
  const { labels } = await (await openDataSet(folder, { ignoreColumns: ["anomaly"] })).devices[0]!.load();
  expect(labels).toBeUndefined();
});

test("data set - text in a column of numbers, and columns that differ between files, are errors", async () => {
  const folder = folderOf("bad-csv", {
    "1.csv": lines("x,y", "1,2", "2,3", "3,4"),
    "2.csv": lines("x,y", "1,2", "2,off", "3,4"),
    "3.csv": lines("x", "1", "2", "3"),
    "4.csv": lines("x,y,z", "1,2,3", "1,2,3"),
  });
  const { devices } = await openDataSet(folder);
  expect(await Promise.all(devices.map((device) => sentenceOf(device.load(), root)))).toEqual([
    "no error",
    'BAD_INPUT bad-csv/2.csv: line 3 column "y" holds "off", not a number; mend it, or name the column as categorical in the kinds',
    'BAD_INPUT bad-csv/3.csv: has no column "y", which other files or the set\'s description have; add it or leave the file out',
    'BAD_INPUT bad-csv/4.csv: has a column "z", which other files or the set\'s description do not have; ignore that column or leave the file out',
  ]);
});

test("data set - a dataset.yaml of one's own: kinds, files that only train, windows of labels", async () => {
  const time = (i: number) => `2024-01-01 00:0${i}:00`;
  const rows = (values: readonly number[]) => lines("when,bytes", ...values.map((v, i) => `${time(i)},${v}`));
  const folder = folderOf("own", {
    "dataset.yaml": lines(
      "name: plant",
      "title: A plant",
      "layout: csv",
      "files: ['*/*.csv']",
      "timeColumn: when",
      "labelWindows: windows.json",
      "kinds: { counter: [bytes] }",
      "train: { rows: 2 }",
      "trainOnly: ['clean/*']",
    ),
    "a/1.csv": rows([0, 60, 120, 240, 300, 360]),
    "clean/1.csv": rows([0, 60]),
    "windows.json": JSON.stringify({
      "a/1.csv": [
        [time(3), time(4)],
        ["2030-01-01", "2030-01-02"],
      ],
      "clean/1.csv": [],
    }),
  });
  const set = await openDataSet(folder);
  expect(set).toMatchObject({ name: "plant", kind: "series", readBy: join(folder, "dataset.yaml") });
  expect(set.devices.map(({ device, judged }) => [device, judged])).toEqual([
    ["a-1", true],
    ["clean-1", false],
  ]);
  const { train, test, labels, windows } = await set.devices[0]!.load();
  expect([...train.values]).toEqual([Number.NaN, 1]);
  // The rate goes on over the border of the two parts, and both ends of a window belong to it.
  expect([...test.values]).toEqual([1, 2, 1, 1]);
  expect(labels).toEqual(Uint8Array.of(0, 1, 1, 0));
  expect(windows).toEqual([{ from: 1, to: 3 }]);
  const clean = await set.devices[1]!.load();
  expect([clean.train.rows, clean.test.rows]).toEqual([2, 0]);
  expect(await sentenceOf(openDataSet(folder, { labelColumn: "x" }), root)).toBe(
    'BAD_INPUT own: is read by own/dataset.yaml, which says what labelColumn is; change it there, or read the folder without a description (set "none")'.replace(
      "own: is",
      "own: is",
    ),
  );
});

const records = {
  layout: "records",
  file: "log.csv",
  labelColumn: "label",
  normalLabels: "[ok]",
  deviceColumn: "site",
};

test("data set - records: devices by a column, small ones pooled, normal rows alone to train on, one seeded split", async () => {
  const rows = Array.from({ length: 400 }, (_, i) => {
    const site = i % 39 === 0 ? `rare-${i}` : i % 2 ? "a" : "b";
    return `${i},${i % 3 ? "red" : "blue"},${site},${i % 5 ? "ok" : "attack"}`;
  });
  const yaml = (more = "") =>
    lines(
      "name: log",
      "title: L",
      ...Object.entries(records).map(([k, v]) => `${k}: ${v}`),
      "minTrainRows: 20",
      "kinds: { categorical: { colour: [red] } }",
      more,
    );
  const folder = folderOf("records", {
    "log.csv": lines("n,colour,site,label", ...rows),
    "dataset.yaml": yaml(),
  });
  const read = async () => {
    const set = await openDataSet(folder);
    return { set, data: await Promise.all(set.devices.map((device) => device.load())) };
  };
  const { set, data } = await read();
  expect(set.kind).toBe("records");
  expect(data[0]!.train.names).toEqual(["n", "colour=red", "colour=other"]);
  expect(ids(set)).toEqual(["a", "b", "rest"]);
  const numbers = (series: { values: Float32Array; rows: number }) =>
    Array.from({ length: series.rows }, (_, row) => series.values[3 * row]!);
  for (const { train, test, labels } of data) {
    for (const n of numbers(train)) expect(n % 5).not.toBe(0);
    expect([...labels!]).toEqual(numbers(test).map((n) => Number(n % 5 === 0)));
    expect(numbers(test)).toEqual(numbers(test).toSorted((x, y) => x - y));
  }
  const again = await read();
  expect(again.data).toEqual(data);
  // All sites in one device: each row is in the part that it was in before.
  folderOf("records", { "dataset.yaml": yaml().replace("minTrainRows: 20", "minTrainRows: 1000") });
  const pooled = await read();
  expect(ids(pooled.set)).toEqual(["rest"]);
  const own = new Set(numbers(pooled.data[0]!.test));
  expect(own.size).toBe(120); // 30 % of 400
  for (const { test } of data) for (const n of numbers(test)) expect(own.has(n)).toBe(true);
  folderOf("records", { "dataset.yaml": yaml("seed: 2") });
  expect((await read()).data).not.toEqual(data);
});

test("data set - records: a pool that has nothing to train on is an error, as its rows would be judged by nobody", async () => {
  const rows = Array.from({ length: 50 }, (_, i) => `${i},a,ok`);
  const folder = folderOf("pool", {
    "log.csv": lines("n,site,label", ...rows, "1,b,attack", "2,b,attack", "3,b,attack"),
    "dataset.yaml": lines(
      "name: log",
      "title: L",
      ...Object.entries(records).map(([k, v]) => `${k}: ${v}`),
      "minTrainRows: 5",
    ),
  });
  expect(await sentenceOf(openDataSet(folder), root)).toBe(
    'BAD_INPUT pool/log.csv: the pool "rest" of small devices has rows to judge and no normal row to train on; raise minTrainRows (5) so that more devices join it',
  );
});

test("data set - images: one task a class, its images dealt to devices, all test images judged", async () => {
  const idx = (shape: readonly number[], values: readonly number[]) => {
    const head = Buffer.alloc(4 + 4 * shape.length);
    head.set([0, 0, 8, shape.length]);
    for (const [i, n] of shape.entries()) head.writeUInt32BE(n, 4 + 4 * i);
    return Buffer.concat([head, Uint8Array.from(values)]);
  };
  const classes = [0, 1, 0, 1, 0, 1, 0];
  const folder = folderOf("images", {
    "train-i": idx(
      [7, 1, 2],
      classes.flatMap((_, i) => [255, i]),
    ),
    "train-l.gz": gzipSync(idx([7], classes)),
    "test-i": idx([2, 1, 2], [0, 51, 102, 255]),
    "test-l": idx([2], [1, 0]),
    "dataset.yaml": lines(
      "name: tiny",
      "title: Tiny",
      "layout: images",
      "train: { images: train-i, labels: train-l }",
      "test: { images: test-i, labels: test-l }",
      "classes: [bag, shoe]",
      "devices: 3",
    ),
  });
  const sets = await openDataSets(folder);
  expect(sets.map(({ name, title, kind, shape }) => [name, title, kind, shape])).toEqual([
    ["tiny:0", "Tiny: bag", "images", [1, 2, 1]],
    ["tiny:1", "Tiny: shoe", "images", [1, 2, 1]],
  ]);
  const data = await Promise.all(sets[0]!.devices.map((device) => device.load()));
  expect(data.map(({ train }) => train.rows)).toEqual([2, 1, 1]);
  const dealt = data.flatMap(({ train }) => [...train.values].filter((_, i) => i % 2 === 1));
  expect(dealt.map((v) => Math.round(v * 255)).sort()).toEqual([0, 2, 4, 6]);
  expect(data[0]!.test.values).toEqual(Float32Array.of(0, 51 / 255, 102 / 255, 1));
  expect([data[0]!.labels, data[0]!.testClasses]).toEqual([Uint8Array.of(1, 0), Uint8Array.of(1, 0)]);
  expect(await sentenceOf(openDataSet(folder), root)).toBe(
    "BAD_INPUT images: is a set of 2 tasks; name one of 0, 1",
  );
  expect((await openDataSet(folder, { task: "1" })).name).toBe("tiny:1");
  expect(await sentenceOf(openDataSet(folder, { task: "2" }), root)).toBe(
    'BAD_INPUT tiny has no task "2"; there are 0, 1 and classes',
  );
});

test("data set - a folder without data, and a set that nobody knows, are said", async () => {
  const folder = folderOf("nothing", { "x.bin": "" });
  expect(await sentenceOf(openDataSet(folder), root)).toBe(
    `BAD_INPUT ${root}/nothing: is no data set that can be read: it needs NAME_train and NAME_test files, csv files, or a dataset.yaml (docs/data.md); known sets are ${(await describedSets()).join(", ")}`.replace(
      `${root}/`,
      "",
    ),
  );
  expect(await sentenceOf(openDataSet(folder, { set: "skap" }), root)).toBe(
    'BAD_INPUT there is no described data set "skap": did you mean "skab"?; or name a .yaml file',
  );
  expect(await sentenceOf(openDataSet(join(root, "nowhere")), root)).toBe(
    "BAD_INPUT nowhere: can't be opened (ENOENT); check the path",
  );
});

test("data set - a folder that has a known set's name by chance is said, and can be read all the same", async () => {
  const folder = folderOf("by-chance/skab", { "a/1.csv": labelled(9) });
  expect(await sentenceOf(openDataSet(folder), root)).toBe(
    'BAD_INPUT by-chance/skab/a/1.csv: has no column "datetime"; it has value,anomaly (the folder\'s name makes it the known set skab; set "none" reads it by what is in it)',
  );
  expect(ids(await openDataSet(folder, { set: "none", labelColumn: "anomaly" }))).toEqual(["a-1"]);
});

test("data set - a plain copy of a known set is recognised by its devices, whatever its folder is called", async () => {
  const folder = folderOf("copy", {
    "machine-1-6_train.csv": "x\n1\n",
    "machine-1-6_test.csv": "x\n1\n2\n",
    "machine-1-6_interpretation.txt": "0-2:1\n",
  });
  const set = await openDataSet(folder);
  expect([set.name, set.rateHz]).toEqual(["smd", 1 / 60]);
  expect((await set.devices[0]!.load()).rootCauses).toEqual([{ from: 0, to: 2, channels: [0] }]);
  expect((await openDataSet(folder, { set: "none" })).name).toBe("copy");
  folderOf("copy", { "machine-1-6_interpretation.txt": "0-3:1\n" });
  expect(await sentenceOf((await openDataSet(folder)).devices[0]!.load(), root)).toBe(
    "BAD_INPUT machine-1-6: the root cause of rows 0 to 3 names a row or channel that the test part does not have",
  );
});

for (const [what, yaml, sentence] of [
  ["no YAML", "name: [", /^line \d+ is no YAML: /],
  ["no map", "- a", 'must be a map of keys such as "layout: csv"; see docs/data.md'],
  ["no layout", "name: a\ntitle: A", "layout must be one of parts, csv, records, images; see docs/data.md"],
  ["another layout", "layout: xml", "layout must be one of parts, csv, records, images; see docs/data.md"],
  [
    "an unknown key",
    "{ name: a, title: A, layout: csv, train: { row: 3 } }",
    'there is no key "train.row" in this layout; remove or rename it (docs/data.md lists them)',
  ],
  [
    "a path that leaves the folder",
    "{ name: a, title: A, layout: csv, files: ['../*.csv'] }",
    'files.0 is refused: must stay within the data folder and use "/"',
  ],
  [
    "an absolute path",
    "{ name: a, title: A, layout: records, file: /etc/passwd, labelColumn: l, deviceColumn: d }",
    'file is refused: must stay within the data folder and use "/"',
  ],
] as const) {
  test(`description - ${what} is one sentence with the key`, async () => {
    const said = (await sentenceOf(parseDescription(yaml, "x.yaml"), root)).replace("BAD_INPUT x.yaml: ", "");
    if (typeof sentence === "string") expect(said).toBe(sentence);
    else expect(said).toMatch(sentence);
  });
}

test("description - a kind for a column that is not there is an error", async () => {
  const folder = folderOf("kinds", {
    "a.csv": labelled(9),
    "dataset.yaml": "{ name: k, title: K, layout: csv, labelColumn: anomaly, kinds: { counter: [bytes] } }",
  });
  expect(await sentenceOf(openDataSet(folder), root)).toBe(
    'BAD_INPUT kinds/a.csv: kinds names the column "bytes", which is no channel here; there are value',
  );
});

test("description - every data set that `starling datasets` knows has one, with its title", async () => {
  const names = await describedSets();
  expect(names).toEqual(DATASETS.map(({ id }) => id).sort());
  for (const name of names) {
    const description = await describedSet(name);
    expect(description.name).toBe(name);
    expect(description.title).toContain(DATASETS.find(({ id }) => id === name)!.title);
  }
});

test("data set - windows that lack a file, or end before they begin, are said", async () => {
  const folder = folderOf("windows", {
    "dataset.yaml": "{ name: w, title: W, layout: csv, labelWindows: w.json, train: { rows: 1 } }",
    "a.csv": lines("time,x", "2024-01-01,1", "2024-01-02,2"),
    "w.json": "{}",
  });
  expect(await sentenceOf(openDataSet(folder), root)).toBe(
    'BAD_INPUT windows/w.json: has no entry "a.csv"; add one, empty where the file is all normal',
  );
  folderOf("windows", { "w.json": '{ "a.csv": [["2024-01-02", "2024-01-01"]] }' });
  expect(await sentenceOf(openDataSet(folder), root)).toBe(
    'BAD_INPUT windows/w.json: "a.csv" has a window that ends before it begins; correct it',
  );
  folderOf("windows", { "w.json": '{ "a.csv": [] }', "a.csv": "x\n1\n2\n" });
  expect(await sentenceOf((await openDataSet(folder)).devices[0]!.load(), root)).toBe(
    "BAD_INPUT windows/a.csv: has no column of times, which label windows need",
  );
});

describe.skipIf(!SHARED_DATA)("the sets of the shared folder", () => {
  const open = (name: string) => openDataSets(join(SHARED_DATA!, name));
  const loadAll = (set: DataSet) => Promise.all(set.devices.map((device) => device.load()));
  const sum = (numbers: readonly number[]) => numbers.reduce((a, b) => a + b, 0);
  const anomalous = (labels: Uint8Array | undefined) => sum([...(labels ?? [])]);

  test("all devices have valid ids of their own", async () => {
    for (const name of readdirSync(SHARED_DATA!, { withFileTypes: true }).filter((e) => e.isDirectory()))
      for (const set of await open(name.name)) {
        expect(new Set(ids(set)).size).toBe(set.devices.length);
        for (const id of ids(set)) expect(id).toMatch(idPattern);
      }
  });

  test("smd - 8 machines of 38 channels, with the root causes of every event", async () => {
    const [set] = await open("smd");
    expect([set!.devices.length, set!.rateHz]).toEqual([8, 1 / 60]);
    const data = await loadAll(set!);
    for (const { train, test, labels, rootCauses } of data) {
      expect([train.channels, test.channels]).toEqual([38, 38]);
      expect(Math.abs(train.rows - 23_700) + Math.abs(test.rows - 23_700)).toBeLessThan(30);
      expect(anomalous(labels) / test.rows).toBeGreaterThan(0.0067);
      expect(anomalous(labels) / test.rows).toBeLessThan(0.158);
      // The labels say where events begin and end, which is what `to` is checked against.
      for (const { from, to } of rootCauses!) expect([labels![from], labels![to - 1]]).toEqual([1, 1]);
    }
  });

  test("jumpstarter2 - 20 services of 19 channels", async () => {
    const [set] = await open("jumpstarter2");
    const data = await loadAll(set!);
    expect(data.map(({ train, test }) => [train.rows, test.rows, train.channels])).toEqual(
      Array(20).fill([5760, 7200, 19]),
    );
  });

  test("skab - 28 experiments train on 400 rows, other/2 on its normal ones, the anomaly-free run on all", async () => {
    const [set] = await open("skab");
    const data = await loadAll(set!);
    const groups = ["anomaly-free", "other", "valve1", "valve2"];
    expect(groups.map((name) => [name, set!.devices.filter(({ group }) => group === name).length])).toEqual([
      ["anomaly-free", 1],
      ["other", 8],
      ["valve1", 16],
      ["valve2", 4],
    ]);
    for (const [i, { train, test, labels }] of data.entries()) {
      const { device, judged } = set!.devices[i]!;
      expect(train.channels).toBe(8);
      expect(train.rateHz).toBe(1);
      const special = { "other-2": 104, "anomaly-free-anomaly-free": 9405 }[device];
      expect(train.rows).toBe(special ?? 400);
      expect([judged, test.rows > 0, labels !== undefined]).toEqual(
        Array(3).fill(device !== "anomaly-free-anomaly-free"),
      );
    }
    const rows = sum(data.map(({ test }) => test.rows));
    const share = sum(data.map(({ labels }) => anomalous(labels))) / rows;
    expect(Math.abs(share - 0.54)).toBeLessThan(0.01);
  });

  test("nab - 24 files, the probationary part trains and holds no window", async () => {
    const [set] = await open("nab");
    const data = await loadAll(set!);
    expect(data.length).toBe(24);
    for (const { train, test, labels, windows } of data) {
      const rows = train.rows + test.rows;
      expect(train.rows).toBe(Math.min(Math.floor(0.15 * rows), 750));
      expect(train.channels).toBe(1);
      expect(anomalous(labels)).toBe(sum(windows!.map(({ from, to }) => to - from)));
      // One that had begun in the probationary part would be cut here.
      expect(windows!.every(({ from }) => from > 0)).toBe(true);
    }
    const taxi = data[set!.devices.findIndex(({ device }) => device.endsWith("nyc_taxi"))]!;
    expect(taxi.windows!.length).toBe(5);
    // The test parts alone, without a probation, are worth what the whole files are.
    const random = createRandom(1).uniform;
    const corpora = data.map(({ train, test, windows }) => {
      const scores = Float64Array.from({ length: train.rows + test.rows }, random);
      const moved = windows!.map(({ from, to }) => ({ from: from + train.rows, to: to + train.rows }));
      return {
        whole: { scores, windows: moved },
        part: { scores: scores.subarray(train.rows), windows: windows! },
      };
    });
    const part = nabScore(
      corpora.map((c) => c.part),
      { threshold: 0.99, probation: 0 },
    );
    const whole = nabScore(
      corpora.map((c) => c.whole),
      { threshold: 0.99 },
    );
    expect(part).toEqual(whole);
  });

  test("nsl-kdd - normal rows train, a drawn 30 % of all rows is judged, one device a service", async () => {
    const [set] = await open("nsl-kdd");
    const data = await loadAll(set!);
    expect(ids(set!)).toEqual(
      "domain_u eco_i finger ftp ftp_data http other private rest smtp telnet urp_i".split(" "),
    );
    const test = sum(data.map((device) => device.test.rows));
    const attacks = sum(data.map(({ labels }) => anomalous(labels)));
    expect(test).toBe(Math.round(25_192 * 0.3));
    expect(sum(data.map(({ train }) => train.rows))).toBe(13_449 - (test - attacks));
    // 38 numbers, 3 protocols and 11 flags with one more each for others; the service is the device.
    expect(data[0]!.train.channels).toBe(38 + 4 + 12);
    for (const { train } of data) expect(train.values.some(Number.isNaN)).toBe(false);
  });

  test("fashion-mnist - ten tasks; in each, ten devices share the images of one class", async () => {
    const sets = await open("fashion-mnist");
    expect(sets.length).toBe(10);
    let images = 0;
    for (const set of sets) {
      const data = await Promise.all(set.devices.map((device) => device.load()));
      expect([data.length, set.shape]).toEqual([10, [28, 28, 1]]);
      images += sum(data.map(({ train }) => train.rows));
      expect([data[0]!.test.rows, anomalous(data[0]!.labels)]).toEqual([10_000, 9_000]);
    }
    expect(images).toBe(20_000);
  });

  test("fashion-mnist:classes - the task to tell the classes apart has all images, with their classes, and no labels", async () => {
    const set = await openDataSet(join(SHARED_DATA!, "fashion-mnist"), { task: "classes" });
    const data = await Promise.all(set.devices.map((device) => device.load()));
    expect(data.map(({ train, trainClasses }) => [train.rows, trainClasses!.length])).toEqual(
      new Array(10).fill([2000, 2000]),
    );
    const counts = new Array<number>(10).fill(0);
    for (const { trainClasses } of data) for (const c of trainClasses!) counts[c]!++;
    for (const count of counts) expect(Math.abs(count - 2000)).toBeLessThan(100);
    expect([set.name, data[0]!.labels]).toEqual(["fashion-mnist:classes", undefined]);
  });
});
