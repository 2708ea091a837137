import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Children, childGroup } from "../cli/demo/children.ts";

/** A folder and processes that are gone afterwards, whatever happens. */
export interface Scratch {
  readonly folder: string;
  readonly children: Children;
}

/** Sixty-four agents that end at once share the cores: the last one is not stuck, it waits for its turn. */
const graceMs = 20_000;

/** Rejects with the signal's reason when it is aborted, and where a process ends that nobody stopped. */
export async function withScratch<T>(
  signal: AbortSignal,
  work: (scratch: Scratch) => Promise<T>,
): Promise<T> {
  signal.throwIfAborted();
  const folder = await mkdtemp(join(tmpdir(), "starling-bench-"));
  const children = childGroup({ graceMs });
  const aborted = new Promise<never>((_, reject) => {
    signal.addEventListener("abort", () => reject(signal.reason), { once: true });
  });
  const working = work({ folder, children });
  // Heard of below, unless it fails because all is being stopped.
  working.catch(() => undefined);
  aborted.catch(() => undefined);
  try {
    return await Promise.race([working, aborted, children.failed]);
  } finally {
    await children.stopAll();
    // Retries: work that was interrupted may be writing its last file.
    await rm(folder, { recursive: true, force: true, maxRetries: 3 });
  }
}
