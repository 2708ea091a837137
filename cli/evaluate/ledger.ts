import { appendFileSync } from "node:fs";
import { readFile, rm } from "node:fs/promises";
import { FleetError } from "../../protocol/errors.ts";
import { sha256 } from "../../protocol/hash.ts";
import { version } from "../version.ts";
import type { Job, JobResult } from "./job.ts";

/** Finished jobs, a line of JSON each, so that a run that was stopped goes on where it was. */
export interface Ledger {
  find(job: Job): JobResult | undefined;
  keep(job: Job, result: JobResult): void;
  /** Everything is in the result file now. */
  remove(): Promise<void>;
}

export const noLedger: Ledger = { find: () => undefined, keep() {}, remove: async () => {} };

/** Lines of other settings or of another version of Starling are not used; one that was cut off by a kill is left out. */
export async function openLedger(file: string): Promise<Ledger> {
  const known = new Map<string, JobResult>();
  for (const line of (await readIfThere(file)).split("\n")) {
    try {
      const { key, result } = JSON.parse(line) as { key: string; result: JobResult };
      known.set(key, result);
    } catch {
      // The last line of a run that was killed, or the empty one.
    }
  }
  return {
    find: (job) => known.get(keyOf(job)),
    keep(job, result) {
      // A line begins with a line feed, so that a half one before it does not spoil it. Written at once: the next kill may come at any moment.
      appendFileSync(file, `\n${JSON.stringify({ key: keyOf(job), result })}`);
    },
    remove: () => rm(file, { force: true }),
  };
}

function keyOf(job: Job): string {
  return sha256(Buffer.from(JSON.stringify([version, job])));
}

async function readIfThere(file: string): Promise<string> {
  try {
    return await readFile(file, "utf8");
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === "ENOENT") return "";
    throw new FleetError(
      "BAD_INPUT",
      `${file}: can't be read (${(cause as Error).message}); check the path`,
      {
        cause,
      },
    );
  }
}
