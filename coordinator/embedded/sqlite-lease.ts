import { readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import Database from "libsql";
import { FleetError } from "../../protocol/errors.ts";
import { idPattern } from "../../protocol/ids.ts";
import type { Leases } from "../lease.ts";

/**
 * A lease is an exclusive transaction on a file of its own that is never committed: SQLite holds it with a lock of the operating system,
 * which ends with its process, however that ends. Who holds it stands in a second file, because the first can't be read meanwhile.
 */
export function openSqliteLeases({ folder }: { readonly folder: string }): Leases {
  return {
    async acquire(name) {
      if (!idPattern.test(name)) throw new FleetError("BAD_INPUT", `${name} can't be the name of a lease`);
      const path = join(folder, `${name}.lease.db`);
      const holderPath = join(folder, `${name}.lease.pid`);
      const database = await lock(path, holderPath);
      await writeFile(holderPath, `${process.pid}\n`);
      let held = true;
      return {
        // The operating system does not take a lock back.
        lost: new AbortController().signal,
        async release() {
          if (!held) return;
          held = false;
          await rm(holderPath, { force: true });
          database.exec("rollback");
          database.close();
        },
      };
    },
  };
}

async function lock(path: string, holderPath: string): Promise<Database.Database> {
  let database: Database.Database | undefined;
  try {
    database = new Database(path);
    database.pragma("busy_timeout = 0");
    database.exec("begin exclusive");
    return database;
  } catch (cause) {
    database?.close();
    if ((cause as { code?: string }).code?.startsWith("SQLITE_BUSY")) {
      const holder = await readFile(holderPath, "utf8").catch(() => "");
      const who = /^\d+\n$/.test(holder) ? ` (pid ${holder.trim()})` : "";
      throw new FleetError(
        "LOCKED",
        `another coordinator${who} holds this state folder: stop it or choose another --state`,
        { cause },
      );
    }
    throw new FleetError(
      "BAD_INPUT",
      `${path} can't be opened: is its folder there, and may it be written?`,
      { cause },
    );
  }
}
