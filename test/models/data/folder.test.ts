import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { deviceId, readFolder } from "../../../models/data/folder.ts";
import { writeNpy } from "../../../models/data/npy.ts";
import { readLabels, readSeries } from "../../../models/data/read.ts";
import { idPattern } from "../../../protocol/ids.ts";
import { sentenceOf, temporaryFolder } from "./temp-folder.ts";

const root = temporaryFolder();

function folderOf(name: string, files: readonly string[]): string {
  const folder = join(root, name);
  mkdirSync(folder);
  for (const file of files) writeFileSync(join(folder, file), "1\n");
  return folder;
}

test("folder - finds the devices, sorted by number, with labels where there are any", async () => {
  const folder = folderOf("good", [
    "machine-10-1_train.npy",
    "machine-10-1_test.npy.gz",
    "machine-10-1_label.csv",
    "machine-2-1_train.csv.gz",
    "machine-2-1_test.csv",
    "README.md",
    ".part_machine-2-1_train.npy.gz",
    "x_notes.csv",
  ]);
  expect(await readFolder(folder)).toEqual([
    {
      device: "machine-2-1",
      train: join(folder, "machine-2-1_train.csv.gz"),
      test: join(folder, "machine-2-1_test.csv"),
    },
    {
      device: "machine-10-1",
      train: join(folder, "machine-10-1_train.npy"),
      test: join(folder, "machine-10-1_test.npy.gz"),
      label: join(folder, "machine-10-1_label.csv"),
    },
  ]);
});

test("folder - names become valid device ids", () => {
  for (const [name, id] of [
    ["machine-1-6", "machine-1-6"],
    ["Pump 3 (north)", "pump-3-north"],
    ["__x", "x"],
    ["öl", "l"],
    ["...", "device"],
    ["a".repeat(80), "a".repeat(63)],
  ] as const) {
    expect(deviceId(name)).toBe(id);
    expect(deviceId(name)).toMatch(idPattern);
  }
});

for (const [name, files, sentence] of [
  [
    "none",
    ["data.txt"],
    "holds no NAME_train and NAME_test files (.npy or .csv, plain or .gz); name them so",
  ],
  ["alone", ["a_train.npy"], "holds a_train.npy but no a_test; add it"],
  ["label-alone", ["a_label.npy"], "holds a_label.npy but no a_train; add it"],
  [
    "twice",
    ["a_train.npy", "a_train.csv", "a_test.npy"],
    "holds both a_train.csv and a_train.npy; remove one of them",
  ],
  [
    "same",
    ["A_train.npy", "A_test.npy", "a_train.npy", "a_test.npy"],
    'names A and a both make the device id "a"; rename one',
  ],
] as const) {
  test(`folder - one sentence: ${sentence}`, async () => {
    expect(await sentenceOf(readFolder(folderOf(name, files)), root)).toBe(`BAD_INPUT ${name}: ${sentence}`);
  });
}

test("folder - a folder that is not there, or is a file, is said", async () => {
  expect(await sentenceOf(readFolder(join(root, "nowhere")), root)).toBe(
    "BAD_INPUT nowhere: can't be opened (ENOENT); check the path",
  );
  writeFileSync(join(root, "file"), "");
  expect(await sentenceOf(readFolder(join(root, "file")), root)).toBe(
    "BAD_INPUT file: is a file; name the folder that holds it",
  );
});

test("read - a series by its ending, with a rate and names from outside, infinities as missing", async () => {
  const path = join(root, "s.npy.gz");
  await writeNpy(path, Float32Array.of(1, Number.POSITIVE_INFINITY, Number.NaN, 4), [2, 2]);
  expect(await readSeries(path, { rateHz: 0.5, names: ["a", "b"] })).toEqual({
    rows: 2,
    channels: 2,
    values: Float32Array.of(1, Number.NaN, Number.NaN, 4),
    names: ["a", "b"],
    rateHz: 0.5,
  });
  await writeNpy(path, Float32Array.of(1, 2), [2]);
  expect((await readSeries(path)).channels).toBe(1);
  expect(await sentenceOf(readSeries(path, { names: ["a", "b"] }), root)).toBe(
    "BAD_INPUT s.npy.gz: has 1 channels but 2 names are given; give one for each",
  );
  expect(await sentenceOf(readSeries(join(root, "s.xlsx")), root)).toBe(
    "BAD_INPUT s.xlsx: has an unknown ending; use one of .npy, .csv, .tsv, .txt, .jsonl, .ndjson, .parquet, .wav, plain or with .gz",
  );
  await writeNpy(path, new Float32Array(8), [2, 2, 2]);
  expect(await sentenceOf(readSeries(path), root)).toBe(
    "BAD_INPUT s.npy.gz: has 3 dimensions (key 'shape'); a series is (rows) or (rows, channels)",
  );
});

test("read - labels from npy and csv; another value or count is said", async () => {
  const path = join(root, "l.npy");
  await writeNpy(path, Uint8Array.of(0, 1, 1), [3]);
  expect(await readLabels(path, { rows: 3 })).toEqual(Uint8Array.of(0, 1, 1));
  expect(await sentenceOf(readLabels(path, { rows: 4 }), root)).toBe(
    "BAD_INPUT l.npy: holds 3 labels for a series of 4 rows; give the labels of that series",
  );
  await writeNpy(path, Uint8Array.of(0, 2), [2]);
  expect(await sentenceOf(readLabels(path), root)).toBe(
    "BAD_INPUT l.npy: row 2 holds the label 2; labels are 0 and 1",
  );
  const csv = join(root, "l.csv");
  writeFileSync(csv, "time,label\n2020-01-01,0\n2020-01-02,1\n");
  expect(await readLabels(csv)).toEqual(Uint8Array.of(0, 1));
  writeFileSync(csv, "a,label\n5,0\n6,1\n");
  expect(await readLabels(csv, { labelColumn: "label" })).toEqual(Uint8Array.of(0, 1));
  expect(await sentenceOf(readLabels(csv), root)).toBe(
    "BAD_INPUT l.csv: has 2 columns of numbers; say which one is the label (labelColumn)",
  );
});
