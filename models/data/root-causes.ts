import { readFile } from "node:fs/promises";
import { FleetError } from "../../protocol/errors.ts";
import type { RowRange } from "./windows.ts";

/** The channels that, by the data's authors, show the anomaly of rows from..to-1. */
export interface RootCause extends RowRange {
  /** Counted from 0, rising. */
  readonly channels: readonly number[];
}

/**
 * Reads an interpretation file as SMD has them: a line `246-252:1,2,3` an event, rows 246 to 251 counted from 0, its
 * channels counted from 1. Sorted by row. Throws BAD_INPUT with the line that is none.
 * Source: Su et al. 2019, KDD, "Robust Anomaly Detection for Multivariate Time Series through Stochastic Recurrent Neural Network", section 5.1;
 * that the last row is not part of the event is seen from the labels of the same data.
 */
export async function readRootCauses(path: string): Promise<RootCause[]> {
  const bad = (what: string, cause?: unknown) => new FleetError("BAD_INPUT", `${path}: ${what}`, { cause });
  const text = await readFile(path, "utf8").catch((cause: NodeJS.ErrnoException) => {
    throw bad(`can't be read (${cause.code}); check the path`, cause);
  });
  const causes = text.split(/\r?\n/).flatMap((line, i): RootCause[] => {
    if (line.trim() === "") return [];
    const match = LINE.exec(line.trim());
    const [from, to] = [Number(match?.[1]), Number(match?.[2])];
    const channels = [...new Set((match?.[3] ?? "").split(",").map((channel) => Number(channel) - 1))];
    if (!match || from >= to || channels.some((channel) => channel < 0))
      throw bad(`line ${i + 1} is no event; write rows and channels as 246-252:1,2,3`);
    return [{ from, to, channels: channels.sort((a, b) => a - b) }];
  });
  return causes.sort((a, b) => a.from - b.from || a.to - b.to);
}

const LINE = /^(\d{1,9})-(\d{1,9}):(\d{1,5}(?:,\d{1,5})*)$/;
