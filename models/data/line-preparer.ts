import { FleetError } from "../../protocol/errors.ts";
import { type ColumnProblem, type PreparerState, type RowPreparer, rowPreparer } from "./prepare.ts";
import { fieldsOf, type Sample } from "./sample-line.ts";
import { channelsOf, hasCounters, type Schema } from "./schema.ts";

/** Turns JSON lines whose columns are of several kinds into samples, one after the other, with the numbers that a whole file gets. */
export interface LinePreparer {
  readonly channels: readonly string[];
  /** Throws BAD_INPUT with what is wrong with the line; it then counts for nothing. */
  parse(text: string): Sample;
  /** undefined before the first line, where none was given. */
  state(): LinePreparerState | undefined;
}

/** What counters go on from, by column, so that it holds for another order of columns too. Plain JSON. */
export interface LinePreparerState {
  /** How `at` is measured: another one has nothing to do with it. */
  readonly clock: string;
  readonly row: number;
  readonly counters: readonly { readonly column: string; readonly value: number; readonly at: number }[];
}

/** What counters are measured by: the lines' own times, or their numbers. */
export type Clock = "times" | "rows";

export interface LinePreparerOptions {
  /** Rows per second of lines without times. */
  readonly rateHz?: number | undefined;
  /** Without it, the first line says it: whether it has a time. */
  readonly clock?: Clock | undefined;
  /** Of an earlier one, to go on after a restart. */
  readonly state?: LinePreparerState | undefined;
  readonly onProblem?: ((problem: ColumnProblem) => void) | undefined;
}

export function linePreparer(schema: Schema, options: LinePreparerOptions = {}): LinePreparer {
  const { rateHz, onProblem, state: before } = options;
  const columns = schema.columns.map(({ name }) => name);
  const channels = channelsOf(schema);
  const counts = hasCounters(schema);
  let clock = options.clock;
  let preparer: RowPreparer | undefined;

  const nameOf = (by: Clock) => (by === "times" ? "times" : `rows at ${rateHz ?? 1} Hz`);
  const open = (by: Clock): RowPreparer => {
    const state = before?.clock === nameOf(by) ? preparerState(before, columns) : undefined;
    return rowPreparer(schema, { rateHz, onProblem, ignore: ["t"], state });
  };

  return {
    channels,
    parse(text) {
      const fields = fieldsOf(text, columns);
      const { atMs } = fields;
      const by = clock ?? (atMs === undefined ? "rows" : "times");
      if (counts && by === "times" && atMs === undefined)
        throw new FleetError(
          "BAD_INPUT",
          'it has no time "t", which counters need here, as what came before has times: give "t" in every line',
        );
      clock = by;
      preparer ??= open(by);
      const values = new Float32Array(channels.length);
      const timeMs = by === "times" ? atMs : undefined;
      if ("row" in fields) preparer.prepareRow(fields.row, values, timeMs);
      else preparer.prepareRecord(fields.record, values, timeMs);
      return { values, atMs };
    },
    state() {
      if (preparer === undefined || clock === undefined) return before;
      const { row, counters } = preparer.state();
      return {
        clock: nameOf(clock),
        row,
        counters: counters.flatMap((last, i) => (last === null ? [] : [{ column: columns[i]!, ...last }])),
      };
    },
  };
}

function preparerState({ row, counters }: LinePreparerState, columns: readonly string[]): PreparerState {
  const last = new Map(counters.map(({ column, value, at }) => [column, { value, at }]));
  return { row, counters: columns.map((column) => last.get(column) ?? null) };
}
