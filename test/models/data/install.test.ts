import { existsSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { DATASETS, type Dataset, datasetOfDevices, findDataset } from "../../../models/data/datasets.ts";
import { deviceId, readFolder } from "../../../models/data/folder.ts";
import { contentSha256, installByDownload, installFromFolder } from "../../../models/data/install.ts";
import { writeNpy } from "../../../models/data/npy.ts";
import { readLabels, readSeries } from "../../../models/data/read.ts";
import { SHARED_DATA } from "./shared-data.ts";
import { sentenceOf, temporaryFolder } from "./temp-folder.ts";

const root = temporaryFolder();
const TRAIN = Float32Array.of(0.1, 0.25, 0.3, 0.4);
const TEST = Float32Array.of(0.5, 0.6);
const LABEL = Uint8Array.of(1);
const TEXT = {
  train: "0.100000,0.250000\n0.300000,0.400000\n",
  test: "0.500000,0.600000\n",
  test_label: "1\n",
};

let server: Server;
let set: Dataset;
const served = new Map<string, string | "hang">();
const asked: string[] = [];

beforeAll(async () => {
  server = createServer((request, response) => {
    asked.push(request.url!);
    const text = served.get(request.url!);
    if (text === "hang") response.write("0.1,");
    else response.writeHead(text === undefined ? 404 : 200).end(text ?? "");
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const file = (part: "train" | "test" | "label", rows: number, values: Float32Array | Uint8Array) => {
    const path = `${part === "label" ? "test_label" : part}/m-1.txt`;
    return {
      device: "m-1",
      part,
      rows,
      sha256: contentSha256(values),
      upstream: { path, url: `${base}/${path}` },
    };
  };
  const { note, ...smd } = findDataset("smd")!;
  set = {
    ...smd,
    id: "tiny",
    note,
    files: [file("train", 2, TRAIN), file("test", 1, TEST), file("label", 1, LABEL)],
  };
});
afterAll(() => {
  server.closeAllConnections();
  server.close();
});

function serveAll(): void {
  served.clear();
  for (const [folder, text] of Object.entries(TEXT)) served.set(`/${folder}/m-1.txt`, text);
}

async function expectInstalled(to: string): Promise<void> {
  const [device] = await readFolder(to);
  expect((await readSeries(device!.train)).values).toEqual(TRAIN);
  expect((await readSeries(device!.test)).channels).toBe(2);
  expect(await readLabels(device!.label!)).toEqual(LABEL);
  expect(readdirSync(to).length).toBe(3);
}

test("install - downloads the authors' text, verifies its values, and does not fetch again what is there", async () => {
  serveAll();
  const to = join(root, "downloaded");
  const seen: string[] = [];
  const options = {
    fetch,
    onProgress: ({ file, filesDone, files }: { file: string; filesDone: number; files: number }) =>
      seen.push(`${file} ${filesDone}/${files}`),
  };
  expect(await installByDownload(set, to, options)).toEqual(["m-1"]);
  await expectInstalled(to);
  expect(seen[0]).toBe("m-1_train 0/3");
  expect(seen.at(-1)).toBe(" 3/3");
  const before = asked.length;
  writeFileSync(join(to, "m-1_test.npy.gz"), "damaged");
  await installByDownload(set, to, options);
  expect(asked.slice(before)).toEqual(["/test/m-1.txt"]);
  await expectInstalled(to);
});

test("install - refuses other values than the catalog's and leaves nothing behind", async () => {
  serveAll();
  served.set("/train/m-1.txt", TEXT.train.replace("0.25", "0.26"));
  const to = join(root, "tampered");
  expect(await sentenceOf(installByDownload(set, to, { fetch }), root)).toMatch(
    /^BAD_HASH http:.*train\/m-1\.txt: is not the m-1_train that the catalog knows; fetch it again$/,
  );
  expect(readdirSync(to)).toEqual([]);
});

test("install - says when the file is gone, the server is away, or the user stops it", async () => {
  served.clear();
  const to = join(root, "failing");
  expect(await sentenceOf(installByDownload(set, to, { fetch }), root)).toMatch(
    /^NOT_FOUND http:.*: the server answered 404; see whether the data set has moved$/,
  );
  const refused = {
    ...set,
    files: set.files.map((f) => ({ ...f, upstream: { path: "", url: "http://127.0.0.1:1/x" } })),
  };
  expect(await sentenceOf(installByDownload(refused, to, { fetch }), root)).toMatch(
    /^TIMEOUT http:\/\/127\.0\.0\.1:1\/x: can't be fetched \(.*\); check the network, or give --from$/,
  );
  served.set("/train/m-1.txt", "hang");
  const stop = new AbortController();
  const onProgress = ({ bytes }: { bytes: number }) => bytes > 0 && stop.abort();
  expect(
    await sentenceOf(installByDownload(set, to, { fetch, signal: stop.signal, onProgress }), root),
  ).toMatch(/^ABORTED http:.*: the download was stopped; run it again to go on$/);
  expect(readdirSync(to)).toEqual([]);
});

test("install - takes a local copy in our form or in the authors' own", async () => {
  const ours = join(root, "ours");
  mkdirSync(ours);
  await writeNpy(join(ours, "m-1_train.npy"), TRAIN, [2, 2]);
  await writeNpy(join(ours, "m-1_test.npy.gz"), TEST, [1, 2]);
  expect(await sentenceOf(installFromFolder(set, ours, join(root, "to-1")), root)).toBe(
    "BAD_INPUT ours: has no m-1_label beside the others; complete the copy",
  );
  await writeNpy(join(ours, "m-1_label.npy"), LABEL, [1]);
  expect(await installFromFolder(set, ours, join(root, "to-1"))).toEqual(["m-1"]);
  await expectInstalled(join(root, "to-1"));

  const theirs = join(root, "theirs");
  for (const [folder, text] of Object.entries(TEXT)) {
    mkdirSync(join(theirs, folder), { recursive: true });
    writeFileSync(join(theirs, folder, "m-1.txt"), text);
  }
  await installFromFolder(set, theirs, join(root, "to-2"));
  await expectInstalled(join(root, "to-2"));
});

test("install - says what can't be installed", async () => {
  const to = join(root, "never");
  expect(await sentenceOf(installFromFolder(set, join(root, "nowhere"), to), root)).toBe(
    "BAD_INPUT nowhere: holds no file of tiny, such as m-1_train.npy.gz; check --from",
  );
  expect(await sentenceOf(installFromFolder(set, root, to, { devices: ["m-9"] }), root)).toBe(
    'BAD_INPUT tiny has no device "m-9"; leave it out',
  );
  expect(await sentenceOf(installByDownload(findDataset("skab")!, to, { fetch }), root)).toBe(
    "UNSUPPORTED skab can't be installed by this command; see https://github.com/waico/SKAB",
  );
  expect(await sentenceOf(installByDownload(findDataset("jumpstarter2")!, to, { fetch }), root)).toMatch(
    /^UNSUPPORTED jumpstarter2 can't be downloaded by this command; get it from .* and give --from$/,
  );
  expect(existsSync(to)).toBe(false);
});

test("datasets - ids are unique, devices are valid ids, and a known set is recognised by its devices", () => {
  expect(new Set(DATASETS.map(({ id }) => id)).size).toBe(DATASETS.length);
  for (const { files } of DATASETS) for (const { device } of files) expect(deviceId(device)).toBe(device);
  expect(datasetOfDevices(["machine-1-6", "machine-3-4"])?.rateHz).toBe(1 / 60);
  expect(datasetOfDevices(["machine-1-6", "other"])).toBeUndefined();
  expect(datasetOfDevices([])).toBeUndefined();
});

test.skipIf(!SHARED_DATA)(
  "datasets - the local copies of SMD and jumpstarter2 have the catalog's content",
  async () => {
    for (const [id, device] of [
      ["smd", "machine-1-6"],
      ["jumpstarter2", "service00"],
    ] as const) {
      const to = join(root, `real-${id}`);
      expect(
        await installFromFolder(findDataset(id)!, join(SHARED_DATA!, id), to, { devices: [device] }),
      ).toEqual([device]);
      expect((await readFolder(to)).map((d) => d.device)).toEqual([device]);
    }
  },
);
