import { access, mkdir, open, readdir, readFile, rename, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { FleetError } from "../../protocol/errors.ts";
import { sha256 } from "../../protocol/hash.ts";
import { Sha256 } from "../../protocol/ids.ts";
import type { Blobs } from "../blobs.ts";

/**
 * Blobs as files, `ab/abcdef...` below `folder`. A file has its name only once all of it is on disk: it is written and synced under another
 * name in `tmp/`, and what a killed process left there is removed here, so one process at a time may have the folder open.
 */
export async function openDiskBlobs({ folder }: { readonly folder: string }): Promise<Blobs> {
  const drafts = join(folder, "tmp");
  await rm(drafts, { recursive: true, force: true });
  await mkdir(drafts, { recursive: true });
  const pathOf = (hash: Sha256) => join(folder, Sha256.parse(hash).slice(0, 2), hash);
  let written = 0;

  return {
    async put(bytes) {
      const hash = sha256(bytes);
      const path = pathOf(hash);
      const there = await read(path);
      // Damaged bytes are replaced rather than trusted.
      if (there !== undefined && sha256(there) === hash) return hash;

      const draft = join(drafts, `${hash}.${written++}`);
      const file = await open(draft, "wx");
      try {
        await file.writeFile(bytes);
        await file.sync();
      } finally {
        await file.close();
      }
      const shelf = dirname(path);
      if ((await mkdir(shelf, { recursive: true })) !== undefined) await syncFolder(folder);
      await rename(draft, path);
      await syncFolder(shelf);
      return hash;
    },

    async get(hash) {
      const bytes = await read(pathOf(hash));
      if (bytes === undefined) throw new FleetError("NOT_FOUND", `there is no blob ${hash}`);
      if (sha256(bytes) !== hash)
        throw new FleetError("CORRUPT", `blob ${hash} is damaged on disk: restore ${pathOf(hash)}`);
      return bytes;
    },

    has: (hash) =>
      access(pathOf(hash)).then(
        () => true,
        () => false,
      ),

    async remove(hash) {
      await rm(pathOf(hash), { force: true });
    },

    async list() {
      const found: Sha256[] = [];
      for (const shelf of await readdir(folder)) {
        if (!/^[0-9a-f]{2}$/.test(shelf)) continue;
        for (const name of await readdir(join(folder, shelf)))
          if (Sha256.safeParse(name).success) found.push(name);
      }
      return found.sort();
    },
  };
}

async function read(path: string): Promise<Uint8Array | undefined> {
  try {
    return await readFile(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}

/** A new name is durable once the folder that holds it is. */
async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
