import { spawn } from "node:child_process";
import { readFile } from "node:fs/promises";

/**
 * The most memory that a running process ever held, in MiB: VmHWM of /proc/PID/status. The kernel counts it from the program's own
 * start, where getrusage's maximum also holds what the parent had before exec. undefined where there is no /proc or no such process.
 */
export async function peakRssMb(pid: number): Promise<number | undefined> {
  try {
    const kib = /^VmHWM:\s+(\d+) kB$/m.exec(await readFile(`/proc/${pid}/status`, "utf8"))?.[1];
    return kib === undefined ? undefined : toMb(Number(kib) * 1024);
  } catch {
    // No /proc on this system, or the process is gone: both mean that there is no figure.
    return undefined;
  }
}

/** The same figure of a Node process that does nothing: what every agent's must be compared with. */
export async function emptyNodeRssMb(): Promise<number | undefined> {
  const child = spawn(process.execPath, ["-e", "process.stdin.resume(); process.stdout.write('up')"], {
    stdio: ["pipe", "pipe", "ignore"],
  });
  const closed = new Promise<void>((resolve) =>
    child.on("close", () => resolve()).on("error", () => resolve()),
  );
  await Promise.race([new Promise((resolve) => child.stdout.once("data", resolve)), closed]);
  const peak = child.pid === undefined ? undefined : await peakRssMb(child.pid);
  child.stdin.end();
  await closed;
  return peak;
}

/** MiB with one decimal. */
export function toMb(bytes: number): number {
  return Math.round((bytes / 1024 / 1024) * 10) / 10;
}
