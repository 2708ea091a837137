import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll } from "vitest";

/** A folder for this test file, removed at its end. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "starling-data-"));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** The message of the FleetError that `promise` must end in, without the folder, so that tests compare whole sentences. */
export async function sentenceOf(promise: Promise<unknown>, folder: string): Promise<string> {
  const error = await promise.then(
    () => undefined,
    (caught: unknown) => caught as Error & { code: string },
  );
  return error ? `${error.code} ${error.message.replaceAll(`${folder}/`, "")}` : "no error";
}
