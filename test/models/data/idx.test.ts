import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { readIdx } from "../../../models/data/idx.ts";
import { SHARED_DATA } from "./shared-data.ts";
import { temporaryFolder } from "./temp-folder.ts";

const folder = temporaryFolder();
const images = Uint8Array.of(0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 3, 1, 2, 3, 253, 254, 255);

async function file(name: string, bytes: Uint8Array): Promise<string> {
  const path = join(folder, name);
  await writeFile(path, bytes);
  return path;
}

describe("idx", () => {
  it("reads shape and values, plain and gzipped", async () => {
    for (const path of [await file("a-idx3-ubyte", images), await file("a.gz", gzipSync(images))]) {
      const { shape, values } = await readIdx(path);
      expect(shape).toEqual([2, 1, 3]);
      expect([...values]).toEqual([1, 2, 3, 253, 254, 255]);
    }
  });

  it.each([
    ["another file", Uint8Array.of(1, 2, 3, 4, 5), "bad magic"],
    ["nothing", new Uint8Array(0), "bad magic"],
    ["floats", Uint8Array.of(0, 0, 13, 1, 0, 0, 0, 0), "type 0xd"],
    ["a header that ends early", images.subarray(0, 9), "ends inside its header, at byte 9"],
    ["a value too few", images.subarray(0, -1), "holds 5 values"],
    ["a value too many", Uint8Array.of(...images, 0), "holds 7 values"],
  ])("refuses %s with the file and what is wrong", async (_, bytes, words) => {
    const path = await file("bad-idx", bytes);
    await expect(readIdx(path)).rejects.toThrow(words);
    await expect(readIdx(path)).rejects.toMatchObject({
      code: "BAD_INPUT",
      message: expect.stringContaining(path),
    });
  });

  it("refuses more values than allowed before anything is made of them", async () => {
    const bomb = Uint8Array.of(0, 0, 8, 2, 255, 255, 255, 255, 0, 0, 0, 9);
    await expect(readIdx(await file("bomb", bomb), { maxBytes: 1e6 })).rejects.toThrow(
      "more than 1000000 bytes",
    );
  });

  it.skipIf(!SHARED_DATA)("reads the labels of Fashion-MNIST: a thousand of each class", async () => {
    const fashion = join(SHARED_DATA!, "fashion-mnist/t10k-labels-idx1-ubyte.gz");
    const { shape, values } = await readIdx(fashion);
    expect(shape).toEqual([10_000]);
    expect(
      values.reduce((counts, label) => counts.with(label, counts[label]! + 1), Array(10).fill(0)),
    ).toEqual(Array(10).fill(1000));
  });
});
