import type Database from "libsql";
import { FleetError } from "../../protocol/errors.ts";

export interface JournalTables {
  entries: {
    seq: number | undefined;
    stream: string;
    key: string;
    label: string | null;
    at_ms: number;
    /** JSON. */
    value: string;
  };
  cells: { cell: string; revision: number; value: string };
}

/** Step n takes a file from user_version n to n + 1. Steps are added, never changed. */
const steps: readonly (readonly string[])[] = [
  [
    // Nothing is ever deleted, so seq grows without AUTOINCREMENT.
    `create table entries (
      seq integer primary key,
      stream text not null,
      key text not null,
      label text,
      at_ms integer not null,
      value text not null,
      unique (stream, key)
    )`,
    "create index entries_by_stream on entries (stream, seq)",
    "create index entries_by_label on entries (stream, label, seq)",
    "create table cells (cell text primary key, revision integer not null, value text not null) without rowid",
  ],
];

/** Brings an open file to this program's schema. Runs inside a transaction, so that two processes may open a new file at the same time. */
export function migrate(database: Database.Database): void {
  const { user_version: found } = database.prepare("pragma user_version").get() as { user_version: number };
  if (found > steps.length) {
    throw new FleetError(
      "BAD_INPUT",
      `the journal was written by a newer Starling (schema ${found}, this one knows ${steps.length}): upgrade it, or choose another --state`,
    );
  }
  for (const step of steps.slice(found)) for (const statement of step) database.exec(statement);
  if (found < steps.length) database.exec(`pragma user_version = ${steps.length}`);
}
