import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Worker } from "node:worker_threads";
import Database from "libsql";
import { describe, expect, test } from "vitest";
import { openSqliteJournal } from "../../../coordinator/embedded/sqlite-journal.ts";
import { journalContract } from "../../contracts/journal.contract.ts";
import { type MemoryStore, openMemoryJournal } from "../../contracts/memory-journal.ts";
import { temporaryFolder } from "./folder.ts";

journalContract("memory journal", async (now) => {
  const store: MemoryStore = { entries: [], cells: new Map() };
  return { open: async () => openMemoryJournal(store, now), close: async () => undefined };
});

journalContract("sqlite journal", async (now) => {
  const folder = await temporaryFolder();
  return {
    open: () => openSqliteJournal({ path: join(folder.path, "journal.db"), now }),
    close: () => folder.remove(),
  };
});

describe("sqlite journal", () => {
  const now = () => 5;

  test("a file that is no database is CORRUPT, with a sentence", async () => {
    const folder = await temporaryFolder();
    const path = join(folder.path, "journal.db");
    await writeFile(path, "these are notes about pumps\n".repeat(200));
    await expect(openSqliteJournal({ path, now })).rejects.toMatchObject({
      code: "CORRUPT",
      message: expect.stringMatching(/journal\.db is not a Starling journal .* --state$/),
    });
    await folder.remove();
  });

  test("a folder that is not there and a newer schema are BAD_INPUT", async () => {
    const folder = await temporaryFolder();
    const nowhere = openSqliteJournal({ path: join(folder.path, "no", "journal.db"), now });
    await expect(nowhere).rejects.toMatchObject({ code: "BAD_INPUT" });
    const path = join(folder.path, "journal.db");
    const newer = new Database(path);
    newer.exec("pragma user_version = 99");
    newer.close();
    await expect(openSqliteJournal({ path, now })).rejects.toMatchObject({
      code: "BAD_INPUT",
      message: expect.stringContaining("newer Starling"),
    });
    await folder.remove();
  });

  test("the file is in WAL mode, so that others read while it is written", async () => {
    const folder = await temporaryFolder();
    const path = join(folder.path, "journal.db");
    const journal = await openSqliteJournal({ path, now });
    await journal.write([{ kind: "put", cell: "c", value: 1 }]);
    const reader = new Database(path);
    expect(reader.prepare("pragma journal_mode").get()).toMatchObject({ journal_mode: "wal" });
    reader.close();
    await journal.close();
    await folder.remove();
  });

  test("two connections open and fill a new file at the same time", async () => {
    const folder = await temporaryFolder();
    const path = join(folder.path, "journal.db");
    const journals = await Promise.all([1, 2, 3].map(() => openSqliteJournal({ path, now })));
    const outcomes = await Promise.all(
      journals.map((journal) => journal.write([{ kind: "append", stream: "s", key: "one", value: 1 }])),
    );
    expect(outcomes.filter((outcome) => outcome === "written")).toHaveLength(1);
    for (const journal of journals) await journal.close();
    await folder.remove();
  });

  test("waits while another thread holds the file, and both writes are kept", async () => {
    const folder = await temporaryFolder();
    const path = join(folder.path, "journal.db");
    const journal = await openSqliteJournal({ path, now });
    await journal.write([{ kind: "put", cell: "c", value: "mine" }]);
    const worker = new Worker(
      `const { parentPort, workerData } = require("node:worker_threads");
       const db = new (require("libsql"))(workerData);
       db.exec("begin immediate");
       db.exec("update cells set revision = revision + 1, value = '\\"theirs\\"'");
       parentPort.postMessage("holding");
       Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 150);
       db.exec("commit");
       db.close();`,
      { eval: true, workerData: path },
    );
    const exited = new Promise((resolve) => worker.once("exit", resolve));
    await new Promise((resolve) => worker.once("message", resolve));
    await expect(
      journal.write([{ kind: "put", cell: "c", value: "mine again", revision: 1 }]),
    ).rejects.toMatchObject({ code: "LOCKED" });
    expect(await journal.get("c")).toEqual({ value: "theirs", revision: 2 });
    await exited;
    await journal.close();
    await folder.remove();
  });

  test("what the disk refuses is no FleetError, so that no message is acknowledged for it", async () => {
    const folder = await temporaryFolder();
    const path = join(folder.path, "journal.db");
    const journal = await openSqliteJournal({ path, now });
    const saboteur = new Database(path);
    saboteur.exec("drop table entries");
    const error = await journal
      .write([{ kind: "append", stream: "s", key: "k", value: 1 }])
      .catch((e: unknown) => e);
    expect(error).toBeInstanceOf(Error);
    expect((error as Error).name).toBe("Error");
    // The journal itself goes on.
    expect(await journal.write([{ kind: "put", cell: "c", value: 1 }])).toBe("written");
    saboteur.close();
    await journal.close();
    await folder.remove();
  });
});
