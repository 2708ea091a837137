import { readFile } from "node:fs/promises";

/** Linux counts processor time for user space in hundredths of a second on every architecture (USER_HZ, proc(5)). */
const tickMs = 10;

/** Processor time of a process so far, all its threads, user and system, milliseconds. undefined where there is no /proc or no such process. */
export async function cpuMs(pid: number): Promise<number | undefined> {
  try {
    const stat = await readFile(`/proc/${pid}/stat`, "utf8");
    // The second field is the program's name in brackets and may hold spaces; utime and stime are the 14th and 15th, proc(5).
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return (Number(fields[11]) + Number(fields[12])) * tickMs;
  } catch {
    // No /proc on this system, or the process is gone: both mean that there is no figure.
    return undefined;
  }
}

/** Of all `pids` together; undefined where one of them has none. */
export async function cpuMsOfAll(pids: readonly number[]): Promise<number | undefined> {
  const all = await Promise.all(pids.map(cpuMs));
  return all.reduce((sum, one) => (sum === undefined || one === undefined ? undefined : sum + one), 0);
}
