import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { isBuilt, starling } from "./starling.ts";

/** Third-party data that lies beside the project where it is developed, and nowhere else. */
const smd = new URL("../../../shared/data/smd", import.meta.url).pathname;

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "starling-datasets-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

describe.skipIf(!isBuilt)("starling datasets", () => {
  it("lists every set with licence and source", async () => {
    const { code, stdout } = await starling(["datasets", "--json"]);
    expect(code).toBe(0);
    const { datasets } = JSON.parse(stdout) as { datasets: Record<string, unknown>[] };
    expect(datasets.map(({ id }) => id)).toContain("smd");
    for (const set of datasets)
      expect(set).toMatchObject({ licence: expect.any(String), source: expect.stringMatching(/^https:/) });
    const text = await starling(["datasets"]);
    expect(text.stdout).toMatch(/^smd +MIT +download /m);
  });

  it("shows one with its files and checksums", async () => {
    const { stdout } = await starling(["datasets", "show", "smd"]);
    expect(stdout).toMatch(/licence +MIT\n/);
    expect(stdout).toMatch(/^machine-1-6_train +23688 +[0-9a-f]{64}$/m);
  });

  it("look - says how a folder is read, and what in it can't be", async () => {
    const own = join(folder, "own");
    await mkdir(own);
    const rows = ["x,fault", "1,0", "2,0", "3,0", "4,0", "5,1"].join("\n");
    await writeFile(join(own, "pump.csv"), `${rows}\n`);
    const look = ["datasets", "look", own, "--label-column", "fault"];
    expect((await starling(look)).stdout).toMatch(/^pump +- +4 +1 +1 +100\.0 %$/m);
    const { sets } = JSON.parse((await starling([...look, "--json"])).stdout);
    expect(sets[0].devices).toEqual([
      { device: "pump", trainRows: 4, testRows: 1, channels: 1, anomalous: 1, notes: [] },
    ]);
    const { code, stderr } = await starling(["datasets", "look", own]);
    expect(code).toBe(2);
    expect(stderr).toMatch(/column "fault" looks like the label; name it as the label column/);
  });

  it("get --from - refuses a folder that does not hold the set", async () => {
    const empty = join(folder, "empty");
    await mkdir(empty);
    const { code, stderr } = await starling([
      "datasets",
      "get",
      "smd",
      "--to",
      join(folder, "to"),
      "--from",
      empty,
    ]);
    expect(code).toBe(2);
    expect(stderr).toMatch(/holds no file of smd, such as machine-1-6_train\.npy\.gz; check --from\n$/);
  });

  it("get --from - refuses other values than the catalog's", async () => {
    const copy = join(folder, "wrong");
    await mkdir(join(copy, "train"), { recursive: true });
    await writeFile(join(copy, "train", "machine-1-6.txt"), "0.1,0.2\n0.3,0.4\n");
    const { code, stderr } = await starling([
      "datasets",
      "get",
      "smd",
      "--to",
      join(folder, "to"),
      "--from",
      copy,
    ]);
    expect(code).toBe(1);
    expect(stderr).toMatch(
      /^starling: .*is not the machine-1-6_train that the catalog knows; fetch it again\n$/,
    );
  });

  it("get - says what to do for a set that can't be downloaded", async () => {
    const copy = await starling(["datasets", "get", "jumpstarter2", "--to", folder]);
    expect(copy.code).toBe(2);
    expect(copy.stderr).toMatch(
      /jumpstarter2 can't be downloaded by this command: get it from https:.* --from\n$/,
    );
    const byHand = await starling(["datasets", "get", "nab", "--to", folder]);
    expect(byHand.code).toBe(2);
    expect(byHand.stderr).toMatch(/nab can't be installed: .*https:/);
  });

  it.skipIf(!existsSync(smd))("get --from - installs a copy, every value checked", async () => {
    const to = join(folder, "smd");
    const args = ["datasets", "get", "smd", "--to", to, "--from", smd, "--devices", "machine-2-8"];
    const { code, stdout } = await starling([...args, "--json"]);
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toEqual({ dataset: "smd", to, devices: ["machine-2-8"] });
    expect((await readdir(to)).sort()).toEqual(
      ["label", "test", "train"].map((part) => `machine-2-8_${part}.npy.gz`),
    );
  });
});
