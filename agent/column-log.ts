import { onceEach } from "../models/data/column-problem.ts";
import type { ColumnProblem } from "../models/data/prepare.ts";
import type { Log } from "./log.ts";

/** Tells what is wrong with columns, of a file where there is one, in the log. */
export function columnLog(log: Log, file?: string): (problem: ColumnProblem) => void {
  return onceEach((text, { column, kind }) =>
    log.warn({ column, problem: kind }, file === undefined ? text : `${file}: ${text}`),
  );
}
