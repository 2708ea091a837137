import { sql } from "kysely";
import { FleetError } from "../../protocol/errors.ts";
import type { Entry, Journal, ReadOptions, Write } from "../journal.ts";
import { type Db, type JournalFile, openFile, sqliteCode } from "./sqlite-file.ts";
import type { JournalTables } from "./sqlite-schema.ts";

export interface SqliteJournalOptions {
  readonly path: string;
  /** The clock, milliseconds since 1970. */
  readonly now: () => number;
}

/** Most writes of one transaction: it holds the event loop for about 10 ms. */
const maxGroup = 256;

type Outcome = "written" | "duplicate";

interface Waiting {
  readonly writes: readonly PreparedWrite[];
  resolve(outcome: Outcome): void;
  reject(error: unknown): void;
}

/** A write with its value as JSON, so that what the caller does with its objects later changes nothing. */
type PreparedWrite = Write & { readonly json: string };

/**
 * The journal in one SQLite file, WAL mode, every commit synced to disk. Other processes may write to the file at the same time.
 *
 * Throws CORRUPT where the file is no journal, BAD_INPUT where it can't be opened or is of a newer version. Once it is open, what the disk
 * refuses is a plain Error and never a FleetError: an Ingest must not acknowledge the message that could not be stored.
 */
export async function openSqliteJournal({ path, now }: SqliteJournalOptions): Promise<Journal> {
  const file = openFile(path);
  const { db } = file;
  const queue: Waiting[] = [];
  let writing: Promise<void> | undefined;
  let closed = false;

  /** Group commit: whatever waits when a transaction begins shares its one sync, each write with its own outcome. */
  async function drain(): Promise<void> {
    while (queue.length > 0) {
      // Whoever writes in this same turn of the event loop shall be in the group, and reads and sockets get theirs between groups.
      await new Promise(setImmediate);
      const group = queue.splice(0, maxGroup);
      try {
        const outcomes = file.transaction(() => group.map(({ writes }) => apply(file, writes, now())));
        group.forEach(({ resolve, reject }, i) => {
          const outcome = outcomes[i]!;
          if (outcome instanceof FleetError) reject(outcome);
          else resolve(outcome);
        });
      } catch (cause) {
        for (const { reject } of group) reject(diskError(path, cause));
      }
    }
    writing = undefined;
  }

  const open = () => {
    if (closed) throw new Error("the journal is closed");
  };
  const reading = async <T>(query: () => Promise<T>): Promise<T> => {
    open();
    try {
      return await query();
    } catch (cause) {
      if (cause instanceof FleetError) throw cause;
      throw diskError(path, cause);
    }
  };

  return {
    write(writes) {
      return new Promise((resolve, reject) => {
        open();
        queue.push({
          writes: writes.map((write) => ({ ...write, json: toJson(write.value) })),
          resolve,
          reject,
        });
        writing ??= drain();
      });
    },

    read: (stream, options = {}) =>
      reading(async () => (await entriesQuery(db, stream, options).execute()).map((row) => toEntry(row))),

    find: (stream, key) =>
      reading(async () => {
        const query = db
          .selectFrom("entries")
          .selectAll()
          .where("stream", "=", stream)
          .where("key", "=", key);
        const row = await query.executeTakeFirst();
        return row === undefined ? undefined : toEntry(row);
      }),

    count: (stream, label) =>
      reading(async () => {
        let query = db
          .selectFrom("entries")
          .select(({ fn }) => fn.countAll<number>().as("count"))
          .where("stream", "=", stream);
        if (label !== undefined) query = query.where("label", "=", label);
        return (await query.executeTakeFirstOrThrow()).count;
      }),

    get: (cell) =>
      reading(async () => {
        const row = await db.selectFrom("cells").selectAll().where("cell", "=", cell).executeTakeFirst();
        return row === undefined
          ? undefined
          : { value: fromJson(row.value, `cell ${cell}`), revision: row.revision };
      }),

    list: (prefix) =>
      reading(async () => {
        const rows = await db
          .selectFrom("cells")
          .selectAll()
          .where("cell", ">=", prefix)
          .where("cell", "<", `${prefix}\u{10ffff}`)
          .orderBy("cell")
          .execute();
        return rows.map(({ cell, revision, value }) => ({
          cell,
          revision,
          value: fromJson(value, `cell ${cell}`),
        }));
      }),

    async close() {
      if (closed) return;
      closed = true;
      await writing;
      await file.close();
    },
  };
}

/** All of `writes`, or none of them. */
function apply(file: JournalFile, writes: readonly PreparedWrite[], atMs: number): Outcome | FleetError {
  if (writes.length === 1) return applyEach(file, writes, atMs);
  file.run(sql`savepoint one_write`);
  const outcome = applyEach(file, writes, atMs);
  if (outcome !== "written") file.run(sql`rollback to one_write`);
  file.run(sql`release one_write`);
  return outcome;
}

function applyEach(file: JournalFile, writes: readonly PreparedWrite[], atMs: number): Outcome | FleetError {
  // Appends first: a repeated write is a duplicate, even though the cell that it went with has moved on since.
  for (const write of writes) if (write.kind === "append" && !append(file, write, atMs)) return "duplicate";
  for (const write of writes) {
    const lost = write.kind === "put" ? put(file, write) : undefined;
    if (lost !== undefined) return lost;
  }
  return "written";
}

function append(
  { db, run }: JournalFile,
  { stream, key, label, json }: Extract<PreparedWrite, { kind: "append" }>,
  atMs: number,
): boolean {
  const inserted = run(
    db
      .insertInto("entries")
      .values({ stream, key, label: label ?? null, at_ms: atMs, value: json })
      .onConflict((conflict) => conflict.columns(["stream", "key"]).doNothing()),
  );
  return inserted.changes === 1;
}

function put(
  { db, run, first }: JournalFile,
  { cell, json, revision }: Extract<PreparedWrite, { kind: "put" }>,
): FleetError | undefined {
  if (revision !== undefined) {
    const row = first(db.selectFrom("cells").select("revision").where("cell", "=", cell));
    const found = row?.revision ?? 0;
    if (found !== revision)
      return new FleetError(
        "LOCKED",
        `cell ${cell} is at revision ${found} and not ${revision}: somebody else wrote it; read it again`,
      );
  }
  run(
    db
      .insertInto("cells")
      .values({ cell, revision: 1, value: json })
      .onConflict((conflict) =>
        conflict.column("cell").doUpdateSet({ value: json, revision: sql`cells.revision + 1` }),
      ),
  );
  return undefined;
}

function entriesQuery(db: Db, stream: string, options: ReadOptions) {
  const { label, afterSeq, beforeSeq, newestFirst = beforeSeq !== undefined, limit } = options;
  let query = db.selectFrom("entries").selectAll().where("stream", "=", stream);
  if (label !== undefined) query = query.where("label", "=", label);
  if (afterSeq !== undefined) query = query.where("seq", ">", afterSeq);
  if (beforeSeq !== undefined) query = query.where("seq", "<", beforeSeq);
  if (limit !== undefined) query = query.limit(limit);
  return query.orderBy("seq", newestFirst ? "desc" : "asc");
}

function toEntry(row: JournalTables["entries"]): Entry {
  const { seq, stream, key, label, at_ms, value } = row;
  return {
    seq: seq!,
    stream,
    key,
    label: label ?? undefined,
    atMs: at_ms,
    value: fromJson(value, `entry ${key} of ${stream}`),
  };
}

function toJson(value: unknown): string {
  return JSON.stringify(value) ?? "null";
}

function fromJson(json: string, what: string): unknown {
  try {
    return JSON.parse(json);
  } catch (cause) {
    throw new FleetError("CORRUPT", `${what} in the journal is not JSON: restore the journal from a backup`, {
      cause,
    });
  }
}

function diskError(path: string, cause: unknown): Error {
  return new Error(`the journal ${path} can't be used: ${sqliteCode(cause)} ${String(cause)}`, { cause });
}
