import { spawn } from "node:child_process";
import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { openSqliteLeases } from "../../../coordinator/embedded/sqlite-lease.ts";
import { leaseContract } from "../../contracts/lease.contract.ts";
import { temporaryFolder } from "./folder.ts";

leaseContract("sqlite lease", async () => {
  const folder = await temporaryFolder();
  return { open: () => openSqliteLeases({ folder: folder.path }), close: () => folder.remove() };
});

describe("sqlite lease", () => {
  test("says who holds it", async () => {
    const folder = await temporaryFolder();
    const leases = openSqliteLeases({ folder: folder.path });
    const lease = await leases.acquire("fleet");
    await expect(leases.acquire("fleet")).rejects.toThrow(
      `another coordinator (pid ${process.pid}) holds this state folder: stop it or choose another --state`,
    );
    await lease.release();
    await folder.remove();
  });

  test("a holder that was killed holds nothing", async () => {
    const folder = await temporaryFolder();
    const leases = openSqliteLeases({ folder: folder.path });
    const holder = spawn(
      process.execPath,
      [
        "-e",
        `const db = new (require("libsql"))(process.argv[1]); db.exec("begin exclusive"); console.log("held"); setInterval(() => {}, 1e6);`,
        join(folder.path, "fleet.lease.db"),
      ],
      { stdio: ["ignore", "pipe", "inherit"] },
    );
    await once(holder.stdout, "data");
    await writeFile(join(folder.path, "fleet.lease.pid"), `${holder.pid}\n`);
    await expect(leases.acquire("fleet")).rejects.toThrow(`(pid ${holder.pid})`);
    holder.kill("SIGKILL");
    await once(holder, "exit");
    const lease = await leases.acquire("fleet");
    await lease.release();
    await folder.remove();
  });

  test("a folder that is not there is BAD_INPUT", async () => {
    const leases = openSqliteLeases({ folder: "/nowhere/at/all" });
    await expect(leases.acquire("fleet")).rejects.toMatchObject({ code: "BAD_INPUT" });
  });
});
