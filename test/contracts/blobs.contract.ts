import { afterEach, beforeEach, expect, test } from "vitest";
import type { Blobs } from "../../coordinator/blobs.ts";
import { sha256 } from "../../protocol/hash.ts";

export interface BlobsFixture {
  /** Opens the same store once more, after a restart. */
  open(): Promise<Blobs>;
  close(): Promise<void>;
}

/** What every Blobs does. */
export function blobsContract(name: string, start: () => Promise<BlobsFixture>): void {
  let fixture: BlobsFixture;
  let blobs: Blobs;
  beforeEach(async () => {
    fixture = await start();
    blobs = await fixture.open();
  });
  afterEach(() => fixture.close());

  const bytes = Uint8Array.from({ length: 100_000 }, (_, i) => i * 7);

  test(`${name} - what is put is got by its sha256`, async () => {
    const hash = await blobs.put(bytes);
    expect(hash).toBe(sha256(bytes));
    expect(sha256(await blobs.get(hash))).toBe(hash);
    expect(await blobs.has(hash)).toBe(true);
    const empty = await blobs.put(new Uint8Array());
    expect(await blobs.get(empty)).toHaveLength(0);
  });

  test(`${name} - the same bytes put many times, also at once, are one blob`, async () => {
    const hashes = await Promise.all(Array.from({ length: 8 }, () => blobs.put(bytes)));
    expect(new Set(hashes).size).toBe(1);
    await blobs.put(bytes);
    expect(await blobs.list()).toEqual([hashes[0]]);
  });

  test(`${name} - what is not there is NOT_FOUND, and its removal no error`, async () => {
    const hash = sha256("nothing");
    await expect(blobs.get(hash)).rejects.toMatchObject({ code: "NOT_FOUND" });
    expect(await blobs.has(hash)).toBe(false);
    await blobs.remove(hash);
  });

  test(`${name} - lists what is there, and not what was removed`, async () => {
    const hashes = await Promise.all([1, 2, 3].map((n) => blobs.put(Uint8Array.of(n))));
    expect([...(await blobs.list())].sort()).toEqual([...hashes].sort());
    await blobs.remove(hashes[1]!);
    expect([...(await blobs.list())].sort()).toEqual([hashes[0], hashes[2]].sort());
    expect(await blobs.has(hashes[1]!)).toBe(false);
  });

  test(`${name} - is there after a restart`, async () => {
    const hash = await blobs.put(bytes);
    blobs = await fixture.open();
    expect(sha256(await blobs.get(hash))).toBe(hash);
    expect(await blobs.list()).toEqual([hash]);
  });

  test(`${name} - takes no name that is not a sha256`, async () => {
    await expect(async () => blobs.get("../../etc/passwd")).rejects.toThrow();
  });
}
