import { FleetError } from "../../protocol/errors.ts";
import type { ScoreFile } from "./read-scores.ts";

export const alignments = ["auto", "time", "row"] as const;
export type Alignment = (typeof alignments)[number];

/** The moments of several files side by side. */
export interface Aligned {
  /** (moments), where files are aligned by time. */
  readonly timesMs: Float64Array | undefined;
  readonly moments: number;
  /** For each file (moments): its line at that moment, -1 where it has none. */
  readonly lines: readonly Int32Array[];
}

/** Four months at one a second: one line with a made-up row must not take all memory. */
const MOST_ROWS = 10_000_000;

/**
 * Every moment that any file has: all their times, or all rows from 0 on. For `hold` moments after its own, a line counts on where the file has no other. Throws BAD_INPUT
 * where a file without times is to be aligned by them, and where no two files have anything in common.
 */
export function align(files: readonly ScoreFile[], { by, hold }: { by: Alignment; hold: number }): Aligned {
  const untimed = files.find(({ timesMs }) => timesMs === undefined);
  if (by === "time" && untimed)
    throw new FleetError("BAD_INPUT", `${untimed.path}: has no times; align by --align row`);
  const timed = by === "time" || (by === "auto" && !untimed);
  const keysOf = (file: ScoreFile) => (timed ? file.timesMs! : file.rows);
  const last = files.map(({ rows }) => rows.at(-1)!);
  const far = last.findIndex((row) => row >= MOST_ROWS);
  if (!timed && far >= 0)
    throw new FleetError(
      "BAD_INPUT",
      `${files[far]!.path}: row ${last[far]} is beyond the ${MOST_ROWS} that can be aligned by row; cut the files into parts`,
    );
  const keys = timed
    ? Float64Array.from(new Set(files.flatMap((file) => [...keysOf(file)]))).sort()
    : Float64Array.from({ length: 1 + Math.max(...last) }, (_, i) => i);
  const lines = files.map((file) => {
    const own = keysOf(file);
    const at = new Int32Array(keys.length).fill(-1);
    let next = 0;
    let age = 0;
    for (let i = 0; i < keys.length; i++) {
      if (next < own.length && own[next] === keys[i]) {
        next++;
        age = 0;
      } else age++;
      if (next > 0 && age <= hold) at[i] = next - 1;
    }
    return at;
  });
  const together = keys.some((_, i) => lines.filter((at) => at[i]! >= 0).length > 1);
  if (!together)
    throw new FleetError(
      "BAD_INPUT",
      `${files.map(({ path }) => path).join(" and ")} have no ${timed ? "time" : "row"} in common; ${timed ? "let a score count for some moments more with --hold N, or align by --align row" : "check that they are of the same stretch"}`,
    );
  return { timesMs: timed ? keys : undefined, moments: keys.length, lines };
}
