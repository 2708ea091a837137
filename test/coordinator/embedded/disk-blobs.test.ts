import { readdir, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { openDiskBlobs } from "../../../coordinator/embedded/disk-blobs.ts";
import { blobsContract } from "../../contracts/blobs.contract.ts";
import { openMemoryBlobs } from "../../contracts/memory-blobs.ts";
import { temporaryFolder } from "./folder.ts";

blobsContract("memory blobs", async () => {
  const store = new Map<string, Uint8Array>();
  return { open: async () => openMemoryBlobs(store), close: async () => undefined };
});

blobsContract("disk blobs", async () => {
  const folder = await temporaryFolder();
  return { open: () => openDiskBlobs({ folder: folder.path }), close: () => folder.remove() };
});

describe("disk blobs", () => {
  test("damaged bytes are CORRUPT when read, and whole again when put again", async () => {
    const folder = await temporaryFolder();
    const blobs = await openDiskBlobs({ folder: folder.path });
    const bytes = new Uint8Array(1000).fill(7);
    const hash = await blobs.put(bytes);
    await truncate(join(folder.path, hash.slice(0, 2), hash), 999);
    await expect(blobs.get(hash)).rejects.toMatchObject({ code: "CORRUPT" });
    await blobs.put(bytes);
    expect(new Uint8Array(await blobs.get(hash))).toEqual(bytes);
    await folder.remove();
  });

  test("what a killed process had half written is removed at the next start", async () => {
    const folder = await temporaryFolder();
    await openDiskBlobs({ folder: folder.path });
    await writeFile(join(folder.path, "tmp", "half"), "half");
    const blobs = await openDiskBlobs({ folder: folder.path });
    expect(await readdir(join(folder.path, "tmp"))).toEqual([]);
    expect(await blobs.list()).toEqual([]);
    await folder.remove();
  });
});
