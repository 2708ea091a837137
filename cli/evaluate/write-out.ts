import { writeFile } from "node:fs/promises";
import { FleetError } from "../../protocol/errors.ts";

/** Throws BAD_INPUT where the path can't be written. */
export async function writeOut(file: string, text: string, flag = "w"): Promise<void> {
  try {
    await writeFile(file, text, { flag });
  } catch (cause) {
    throw new FleetError(
      "BAD_INPUT",
      `${file}: can't be written (${(cause as Error).message}); check the path`,
      {
        cause,
      },
    );
  }
}
