import { type Compilable, Kysely, type SqliteDatabase, SqliteDialect } from "kysely";
import Database from "libsql";
import { FleetError } from "../../protocol/errors.ts";
import { type JournalTables, migrate } from "./sqlite-schema.ts";

export type Db = Kysely<JournalTables>;

/** How long another process's write is waited for. It blocks this process, and a write takes milliseconds. */
const busyMs = 5_000;

/** The journal's file, open and of this program's schema. */
export interface JournalFile {
  readonly db: Db;
  /** Runs a statement at once, for use inside `transaction`. */
  run(statement: Statement): { readonly changes: number };
  first<Row>(query: Compilable<Row>): Row | undefined;
  transaction<T>(work: () => T): T;
  close(): Promise<void>;
}

/** A query of the builder, or sql`...`. */
interface Statement {
  compile(db: Db): { readonly sql: string; readonly parameters: readonly unknown[] };
}

/** Throws CORRUPT where the file is no journal, BAD_INPUT where it can't be opened or is of a newer version. */
export function openFile(path: string): JournalFile {
  let database: Database.Database;
  try {
    database = new Database(path);
  } catch (cause) {
    throw new FleetError(
      "BAD_INPUT",
      `${path} can't be opened: is its folder there, and may it be written?`,
      {
        cause,
      },
    );
  }
  try {
    database.pragma(`busy_timeout = ${busyMs}`);
    database.pragma("journal_mode = WAL");
    database.pragma("synchronous = FULL");
    transaction(database, () => migrate(database));
  } catch (cause) {
    database.close();
    if (cause instanceof FleetError) throw cause;
    const code = sqliteCode(cause);
    if (code.startsWith("SQLITE_NOTADB") || code.startsWith("SQLITE_CORRUPT")) {
      throw new FleetError(
        "CORRUPT",
        `${path} is not a Starling journal or is damaged: restore it from a backup, or choose another --state`,
        { cause },
      );
    }
    throw new FleetError(
      "BAD_INPUT",
      `${path} can't be opened for writing (${code === "" ? String(cause) : code})`,
      { cause },
    );
  }

  const db: Db = new Kysely({
    dialect: new SqliteDialect({ database: database as unknown as SqliteDatabase }),
  });
  // A handful of different statements, each used for every write.
  const prepared = new Map<string, Database.Statement>();
  const prepare = (statement: string) => {
    const known = prepared.get(statement) ?? database.prepare(statement);
    prepared.set(statement, known);
    return known;
  };
  return {
    db,
    run(statement) {
      const compiled = statement.compile(db);
      return prepare(compiled.sql).run([...compiled.parameters]);
    },
    first<Row>(query: Compilable<Row>) {
      const compiled = query.compile();
      return prepare(compiled.sql).get([...compiled.parameters]) as Row | undefined;
    },
    transaction: (work) => transaction(database, work),
    async close() {
      await db.destroy();
      // Kysely closes only what it has used.
      if (database.open) database.close();
    },
  };
}

/**
 * From BEGIN to COMMIT without a pause: a transaction that left the event loop to others could not end while one of them waits for its lock.
 * IMMEDIATE, because with another process at the file one that has read and then wants to write could not wait for its turn.
 */
function transaction<T>(database: Database.Database, work: () => T): T {
  database.exec("begin immediate");
  try {
    const result = work();
    database.exec("commit");
    return result;
  } catch (error) {
    // SQLite may have rolled back by itself, as it does when the disk is full.
    if (database.inTransaction) database.exec("rollback");
    throw error;
  }
}

/** Such as SQLITE_BUSY, or empty where the error is not SQLite's. */
export function sqliteCode(error: unknown): string {
  return error instanceof Error && "code" in error ? String(error.code) : "";
}
