import { link, readFile, rename, unlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { FleetError } from "../protocol/errors.ts";

export interface FolderLock {
  release(): Promise<void>;
}

/**
 * Holds `dir` for this process. The lock names its holder (pid and, on Linux, boot and start time of the process, because pids come
 * again: in a container it is always 1), so what a killed agent leaves behind holds nothing. Throws LOCKED.
 */
export async function lockFolder(dir: string): Promise<FolderLock> {
  const path = join(dir, "lock");
  const mine = await holderOf(process.pid);
  const draft = join(dir, `lock.${process.pid}`);
  await writeFile(draft, mine ?? `${process.pid}`);
  try {
    while (!(await linked(draft, path))) {
      const holder = (await readFile(path, "utf8").catch(() => "")).trim();
      const pid = Number(holder.split(" ")[0]);
      if (holder !== "" && (await holderOf(pid)) === holder) {
        throw new FleetError(
          "LOCKED",
          `${dir} belongs to the agent of process ${pid}; stop it or give another folder`,
        );
      }
      // Renamed first and looked at again: another starting agent may have taken the dead one's place a moment ago.
      const stale = join(dir, `lock.stale.${process.pid}`);
      await rename(path, stale).catch(ignoreMissing);
      const moved = (await readFile(stale, "utf8").catch(() => "")).trim();
      if (moved !== holder && moved !== "") await linked(stale, path);
      await unlink(stale).catch(ignoreMissing);
    }
  } finally {
    await unlink(draft).catch(ignoreMissing);
  }
  return { release: () => unlink(path).catch(ignoreMissing) };
}

/** Who a process is, as the lock names it; undefined when it does not live. */
async function holderOf(pid: number): Promise<string | undefined> {
  if (!Number.isSafeInteger(pid) || pid <= 0) return undefined;
  try {
    process.kill(pid, 0);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EPERM") return undefined;
  }
  if (process.platform !== "linux") return `${pid}`;
  try {
    const stat = await readFile(`/proc/${pid}/stat`, "utf8");
    const boot = (await readFile("/proc/sys/kernel/random/boot_id", "utf8")).trim();
    // Field 22, counted from after the command's name, which may itself hold blanks and brackets.
    const startTime = stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19];
    return `${pid} ${startTime} ${boot}`;
  } catch {
    return `${pid}`; // no /proc in this sandbox: the pid alone has to do
  }
}

/** Creates `path` with the content of `from` in one step; false where it is there already. */
async function linked(from: string, path: string): Promise<boolean> {
  try {
    await link(from, path);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return false;
    throw error;
  }
}

function ignoreMissing(error: NodeJS.ErrnoException): void {
  if (error.code !== "ENOENT") throw error;
}
