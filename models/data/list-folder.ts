import type { Dirent } from "node:fs";
import { readdir } from "node:fs/promises";
import { FleetError } from "../../protocol/errors.ts";

/** What a folder holds. Throws BAD_INPUT where it is none or can't be opened. */
export async function listFolder(folder: string): Promise<Dirent[]> {
  try {
    return await readdir(folder, { withFileTypes: true });
  } catch (cause) {
    const code = (cause as NodeJS.ErrnoException).code;
    const what =
      code === "ENOTDIR"
        ? "is a file; name the folder that holds it"
        : `can't be opened (${code}); check the path`;
    throw new FleetError("BAD_INPUT", `${folder}: ${what}`, { cause });
  }
}
