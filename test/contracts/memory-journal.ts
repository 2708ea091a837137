import type { Entry, Journal } from "../../coordinator/journal.ts";
import { FleetError } from "../../protocol/errors.ts";

/** What is kept between openings of the same in-memory journal. */
export interface MemoryStore {
  entries: Entry[];
  cells: Map<string, { json: string; revision: number }>;
}

/** The plainest thing that keeps the Journal's contract: it holds the contract test to the interface and not to SQLite. */
export function openMemoryJournal(store: MemoryStore, now: () => number): Journal {
  let closed = false;
  const copy = <T>(value: T): T => JSON.parse(JSON.stringify(value)) as T;
  return {
    async write(writes) {
      if (closed) throw new Error("closed");
      const entries = [...store.entries];
      const cells = new Map(store.cells);
      for (const write of writes) {
        if (write.kind !== "append") continue;
        const { stream, key, label, value } = write;
        if (entries.some((e) => e.stream === stream && e.key === key)) return "duplicate";
        entries.push({ seq: entries.length + 1, stream, key, label, atMs: now(), value: copy(value) });
      }
      for (const write of writes) {
        if (write.kind !== "put") continue;
        const revision = cells.get(write.cell)?.revision ?? 0;
        if (write.revision !== undefined && write.revision !== revision)
          throw new FleetError("LOCKED", "the cell has another revision");
        cells.set(write.cell, { json: JSON.stringify(write.value), revision: revision + 1 });
      }
      Object.assign(store, { entries, cells });
      return "written";
    },
    async read(stream, { label, afterSeq = 0, beforeSeq, newestFirst, limit } = {}) {
      const found = store.entries.filter(
        (e) =>
          e.stream === stream &&
          (label === undefined || e.label === label) &&
          e.seq > afterSeq &&
          (beforeSeq === undefined || e.seq < beforeSeq),
      );
      if (newestFirst ?? beforeSeq !== undefined) found.reverse();
      return found.slice(0, limit);
    },
    find: async (stream, key) => store.entries.find((e) => e.stream === stream && e.key === key),
    count: async (stream, label) =>
      store.entries.filter((e) => e.stream === stream && (label === undefined || e.label === label)).length,
    async get(cell) {
      const found = store.cells.get(cell);
      return found && { value: JSON.parse(found.json), revision: found.revision };
    },
    list: async (prefix) =>
      [...store.cells]
        .filter(([cell]) => cell.startsWith(prefix))
        .sort(([a], [b]) => (a < b ? -1 : 1))
        .map(([cell, { json, revision }]) => ({ cell, value: JSON.parse(json), revision })),
    async close() {
      closed = true;
    },
  };
}
