import { mkdir, open, readFile, rename } from "node:fs/promises";
import { basename, dirname } from "node:path";
import { FleetError } from "../protocol/errors.ts";
import type { Log } from "./log.ts";

/** The whole file or its old content, whenever the power goes: a temporary file, fsync, rename, fsync of the folder. */
export async function writeDurably(path: string, ...parts: readonly Uint8Array[]): Promise<void> {
  const temporary = `${path}.new`;
  const file = await open(temporary, "w");
  try {
    for (const part of parts) await file.writeFile(part);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(temporary, path);
  await syncFolder(dirname(path));
}

export async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, "r");
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

export interface ReadOptions<T> {
  readonly parse: (bytes: Uint8Array) => T;
  /** Where a damaged file is kept for someone to look at. */
  readonly damagedDir: string;
  readonly log: Log;
}

/**
 * What `parse` makes of a file, undefined where there is none. A file that does not parse is moved aside with a warning: an agent
 * recovers what it can from the coordinator rather than refuse to start.
 */
export async function readOrSetAside<T>(path: string, options: ReadOptions<T>): Promise<T | undefined> {
  const bytes = await readIfThere(path);
  if (bytes === undefined) return undefined;
  try {
    return options.parse(bytes);
  } catch (cause) {
    await setAside(path, options.damagedDir);
    options.log.warn(
      { code: "CORRUPT", file: path, error: cause instanceof Error ? cause.message : String(cause) },
      `${basename(path)} is damaged; it was moved to ${options.damagedDir} and the agent goes on without it`,
    );
    return undefined;
  }
}

export async function setAside(path: string, damagedDir: string): Promise<void> {
  await mkdir(damagedDir, { recursive: true });
  await rename(path, `${damagedDir}/${basename(path)}`);
}

export async function readIfThere(path: string): Promise<Uint8Array | undefined> {
  try {
    const { buffer, byteOffset, length } = await readFile(path);
    return new Uint8Array(buffer, byteOffset, length); // a Buffer's slice() would not be a copy
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw new FleetError("CORRUPT", `${path} can't be read; check the disk and the folder's permissions`, {
      cause,
    });
  }
}
