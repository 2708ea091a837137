import { stat } from "node:fs/promises";
import { join } from "node:path";
import { FleetError } from "../../protocol/errors.ts";
import { listFolder } from "./list-folder.ts";

/**
 * The files of a folder that a pattern matches, as "group/file.csv", sorted, numbers by their value. In a pattern `*`
 * stands for anything within one name; an ending `.gz` of a file may be left out. Names that begin with a dot are left
 * alone. Throws BAD_INPUT where there is none.
 */
export async function findFiles(folder: string, patterns: readonly string[]): Promise<string[]> {
  const depth = Math.max(...patterns.map((pattern) => pattern.split("/").length));
  const files = (await listFiles(folder, depth)).filter((file) => matches(file, patterns));
  if (files.length === 0)
    throw new FleetError(
      "BAD_INPUT",
      `${folder}: holds no file like ${patterns.join(" or ")}; check the path`,
    );
  return files;
}

/** All files down to that depth (1 = those of the folder itself), as "group/file.csv", sorted. */
export async function listFiles(folder: string, depth: number): Promise<string[]> {
  return (await walk(folder, depth)).sort(NUMERIC.compare);
}

/** The one file of that name, plain or `.gz`. Throws BAD_INPUT where there is none. */
export async function findFile(folder: string, pattern: string): Promise<string> {
  return join(folder, (await findFiles(folder, [pattern]))[0]!);
}

export function matches(file: string, patterns: readonly string[]): boolean {
  return patterns.some((pattern) => {
    const parts = pattern.split("*").map((text) => text.replace(/[.+?^${}()|[\]\\]/g, "\\$&"));
    return new RegExp(`^${parts.join("[^/]*")}(?:\\.gz)?$`).test(file);
  });
}

const NUMERIC = new Intl.Collator("en", { numeric: true });

async function walk(folder: string, depth: number): Promise<string[]> {
  const files: string[] = [];
  for (const entry of await listFolder(folder)) {
    if (entry.name.startsWith(".")) continue;
    const path = join(folder, entry.name);
    const is = entry.isSymbolicLink() ? await stat(path).catch(() => undefined) : entry;
    if (is?.isFile()) files.push(entry.name);
    else if (is?.isDirectory() && depth > 1)
      files.push(...(await walk(path, depth - 1)).map((file) => `${entry.name}/${file}`));
  }
  return files;
}
