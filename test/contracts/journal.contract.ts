import { afterEach, beforeEach, expect, test } from "vitest";
import type { Journal, Write } from "../../coordinator/journal.ts";

export interface JournalFixture {
  /** Opens the same journal once more, as another process would. */
  open(): Promise<Journal>;
  close(): Promise<void>;
}

/** What every Journal does. */
export function journalContract(name: string, start: (now: () => number) => Promise<JournalFixture>): void {
  let fixture: JournalFixture;
  let journal: Journal;
  let nowMs = 1_000;
  beforeEach(async () => {
    nowMs = 1_000;
    fixture = await start(() => nowMs);
    journal = await fixture.open();
  });
  afterEach(async () => {
    await journal.close();
    await fixture.close();
  });

  const append = (key: string, value: unknown = key, stream = "s"): Write => ({
    kind: "append",
    stream,
    key,
    value,
  });
  const put = (cell: string, value: unknown, revision?: number): Write =>
    revision === undefined ? { kind: "put", cell, value } : { kind: "put", cell, value, revision };

  test(`${name} - an entry is there once, however often it is appended`, async () => {
    expect(await journal.write([append("a", { n: 1, deep: [null, true, "ü"] })])).toBe("written");
    nowMs = 2_000;
    expect(await journal.write([append("a", { n: 2 })])).toBe("duplicate");
    expect(await journal.write([append("a", 0, "other stream")])).toBe("written");
    expect(await journal.read("s")).toEqual([
      expect.objectContaining({ key: "a", value: { n: 1, deep: [null, true, "ü"] }, atMs: 1_000 }),
    ]);
    expect(await journal.find("s", "a")).toMatchObject({ stream: "s", key: "a", label: undefined });
    expect(await journal.find("s", "b")).toBeUndefined();
    expect(await journal.count("s")).toBe(1);
    expect(await journal.count("nothing")).toBe(0);
  });

  test(`${name} - a duplicate in a write undoes all of it`, async () => {
    await journal.write([append("b")]);
    expect(await journal.write([append("a"), put("cell", 1), append("b"), append("c")])).toBe("duplicate");
    expect(await journal.write([append("d"), append("d")])).toBe("duplicate");
    expect((await journal.read("s")).map(({ key }) => key)).toEqual(["b"]);
    expect(await journal.get("cell")).toBeUndefined();
  });

  test(`${name} - a cell changes only from the revision that was read`, async () => {
    await journal.write([put("c", "one", 0)]);
    expect(await journal.get("c")).toEqual({ value: "one", revision: 1 });
    await expect(journal.write([put("c", "again", 0)])).rejects.toMatchObject({ code: "LOCKED" });
    await expect(journal.write([put("none", "x", 3)])).rejects.toMatchObject({ code: "LOCKED" });
    await journal.write([put("c", "two", 1)]);
    await journal.write([put("c", "three")]);
    expect(await journal.get("c")).toEqual({ value: "three", revision: 3 });
  });

  test(`${name} - a lost comparison undoes all of its write`, async () => {
    await journal.write([put("c", 1)]);
    const losing = journal.write([append("a"), put("d", 1), put("c", 2, 7)]);
    await expect(losing).rejects.toMatchObject({ code: "LOCKED" });
    expect(await journal.count("s")).toBe(0);
    expect(await journal.get("d")).toBeUndefined();
    expect(await journal.get("c")).toEqual({ value: 1, revision: 1 });
  });

  test(`${name} - a repeated write is a duplicate, even when its cell has moved on since`, async () => {
    const write = [put("round", "closed", 0), append("update-1")];
    expect(await journal.write(write)).toBe("written");
    expect(await journal.write(write)).toBe("duplicate");
    expect(await journal.get("round")).toEqual({ value: "closed", revision: 1 });
  });

  test(`${name} - writes that wait together keep each its own outcome`, async () => {
    const outcomes = await Promise.allSettled([
      journal.write([append("a")]),
      journal.write([append("a")]),
      journal.write([put("c", 1, 0)]),
      journal.write([append("x"), put("c", 2, 0)]),
      journal.write([append("b"), put("c", 3, 1)]),
      journal.write([append("c")]),
    ]);
    expect(outcomes.map((o) => (o.status === "fulfilled" ? o.value : o.reason.code))).toEqual([
      "written",
      "duplicate",
      "written",
      "LOCKED",
      "written",
      "written",
    ]);
    expect((await journal.read("s")).map(({ key }) => key)).toEqual(["a", "b", "c"]);
    expect(await journal.get("c")).toEqual({ value: 3, revision: 2 });
  });

  test(`${name} - what is written does not change when its object does`, async () => {
    const value = { n: 1 };
    const writing = journal.write([append("a", value)]);
    value.n = 2;
    await writing;
    expect((await journal.find("s", "a"))?.value).toEqual({ n: 1 });
  });

  test(`${name} - reads pages in both directions, by label too`, async () => {
    for (let i = 0; i < 10; i++)
      await journal.write([
        { kind: "append", stream: "s", key: `k${i}`, value: i, label: i % 2 ? "odd" : "even" },
        { kind: "append", stream: "t", key: `k${i}`, value: -i },
      ]);
    const values = async (...args: Parameters<Journal["read"]>) =>
      (await journal.read(...args)).map(({ value }) => value);
    expect(await values("s")).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    expect(await values("s", { newestFirst: true, limit: 3 })).toEqual([9, 8, 7]);
    const [, second, third] = await journal.read("s", { limit: 3 });
    expect(await values("s", { afterSeq: third!.seq, limit: 2 })).toEqual([3, 4]);
    expect(await values("s", { beforeSeq: third!.seq })).toEqual([1, 0]);
    expect(await values("s", { afterSeq: second!.seq, newestFirst: true, limit: 1 })).toEqual([9]);
    expect(await values("s", { label: "odd", afterSeq: third!.seq })).toEqual([3, 5, 7, 9]);
    expect(await values("s", { label: "even", newestFirst: true, limit: 2 })).toEqual([8, 6]);
    expect(await journal.count("s", "odd")).toBe(5);
    expect((await journal.find("s", "k3"))?.label).toBe("odd");
    const seqs = (await journal.read("s")).map(({ seq }) => seq);
    expect([...seqs].sort((a, b) => a - b)).toEqual(seqs);
  });

  test(`${name} - lists the cells of a prefix by name`, async () => {
    for (const cell of ["dev/b", "dev/a", "dew", "dev", "dev/", "de"]) await journal.write([put(cell, cell)]);
    expect((await journal.list("dev/")).map(({ cell }) => cell)).toEqual(["dev/", "dev/a", "dev/b"]);
    expect(await journal.list("dev/a")).toEqual([{ cell: "dev/a", value: "dev/a", revision: 1 }]);
    expect(await journal.list("")).toHaveLength(6);
  });

  test(`${name} - what was written is there when it is opened again`, async () => {
    await journal.write([append("a", { n: 1 }), put("c", [1, 2])]);
    const before = await journal.read("s");
    await journal.close();
    journal = await fixture.open();
    expect(await journal.read("s")).toEqual(before);
    expect(await journal.get("c")).toEqual({ value: [1, 2], revision: 1 });
    expect(await journal.write([append("a")])).toBe("duplicate");
    await journal.write([append("b")]);
    expect((await journal.read("s"))[1]!.seq).toBeGreaterThan(before[0]!.seq);
  });

  test(`${name} - two writers at the same cell lose no change`, async () => {
    const other = await fixture.open();
    const each = 40;
    const count = async (writer: Journal, who: string) => {
      let retries = 0;
      for (let i = 0; i < each; ) {
        const cell = await writer.get("counter");
        try {
          const next = ((cell?.value as number | undefined) ?? 0) + 1;
          await writer.write([put("counter", next, cell?.revision ?? 0), append(`${who}${i}`)]);
          i++;
        } catch (error) {
          expect(error).toMatchObject({ code: "LOCKED" });
          retries++;
        }
      }
      return retries;
    };
    await Promise.all([count(journal, "a"), count(other, "b")]);
    expect(await journal.get("counter")).toEqual({ value: 2 * each, revision: 2 * each });
    expect(await other.count("s")).toBe(2 * each);
    await other.close();
  });

  test(`${name} - refuses to write once closed, with no FleetError that would be acknowledged`, async () => {
    await journal.close();
    const error = await journal.write([append("a")]).catch((e: unknown) => e);
    expect(error).toBeInstanceOf(Error);
    expect(error).not.toHaveProperty("code");
    await journal.close();
  });

  test(`${name} - close waits for the writes before it`, async () => {
    const writing = journal.write([append("a")]);
    await journal.close();
    expect(await writing).toBe("written");
  });
}
