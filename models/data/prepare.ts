import { exactNumberOf } from "./fields.ts";
import { type ColumnSchema, channelsOf, OTHER, type Schema, wordsOf } from "./schema.ts";

/** A field as a file, a message or a driver gives it. null, undefined, "", NaN and infinities are missing. */
export type RawValue = number | string | boolean | null | undefined;

/** What is wrong with a column of a device. Told once when it begins, and again only after the column was well. */
export type ColumnProblem =
  /** A word where a number is expected; the value counts as missing. */
  | { readonly kind: "text"; readonly column: string; readonly value: string }
  /** A counter below zero, which none can be; the value counts as missing. */
  | { readonly kind: "negative"; readonly column: string; readonly value: number }
  /** A column that the schema does not have; it is not used. */
  | { readonly kind: "appeared"; readonly column: string }
  /** A column of the schema that records no longer have; its values count as missing. */
  | { readonly kind: "vanished"; readonly column: string }
  /** A column that is there and has had no value for this many rows in a row. */
  | { readonly kind: "silent"; readonly column: string; readonly rows: number };

export interface PreparerOptions {
  /** Rows per second, for counters of rows without a time; without it a counter becomes its increase per row. */
  readonly rateHz?: number | undefined;
  /** From an earlier preparer of the same schema, to go on after a restart. */
  readonly state?: PreparerState | undefined;
  readonly onProblem?: ((problem: ColumnProblem) => void) | undefined;
  /** Fields of a record that are known and no channel, such as its time. */
  readonly ignore?: readonly string[] | undefined;
  /** Rows without a value before a column is called silent. */
  readonly silentRows?: number | undefined;
}

/** Plain JSON. */
export interface PreparerState {
  /** Rows that were prepared. */
  readonly row: number;
  /** The last value of each counter and when that was, in seconds or rows; null before the first. Other columns: null. */
  readonly counters: readonly ({ readonly value: number; readonly at: number } | null)[];
}

/** Turns raw rows into channels, one after the other. A series is prepared the same way, so that both give the same numbers. */
export interface RowPreparer {
  readonly channels: readonly string[];
  /** `raw`: one field per column of the schema. `out`: (channels), NaN where a value is missing, and never 0 for it. */
  prepareRow(raw: readonly RawValue[], out: Float32Array, timestampMs?: number): void;
  /** As `prepareRow`, from fields by name. */
  prepareRecord(record: Readonly<Record<string, RawValue>>, out: Float32Array, timestampMs?: number): void;
  state(): PreparerState;
}

/** About the time after which an operator wants to know that a sensor is gone. */
export const DEFAULT_SILENT_ROWS = 100;

/**
 * A counter's increase per second since its last value, over gaps too; the first value gives none. A fall is a reset,
 * and the counter has since grown from 0 to where it is. With `wrap`, a fall that is a step of less than half the
 * range around the end is a wrap. A time that stands still or goes back gives no rate.
 * Source for resets: Prometheus documentation, Query functions, `rate()`.
 */
export function rowPreparer(schema: Schema, options: PreparerOptions = {}): RowPreparer {
  const { columns } = schema;
  const { onProblem, silentRows = DEFAULT_SILENT_ROWS, rateHz = 1 } = options;
  const channels = channelsOf(schema);
  const words = columns.map(wordIndex);
  const counters = columns.map((_, i) => options.state?.counters[i] ?? null);
  let row = options.state?.row ?? 0;
  const fields: RawValue[] = new Array(columns.length);
  const expected = new Set([...columns.map(({ name }) => name), ...(options.ignore ?? [])]);
  const appeared = new Set<string>();
  const unwell: (ColumnProblem["kind"] | undefined)[] = columns.map(() => undefined);
  const missingFor = new Uint32Array(columns.length);

  const report = (i: number, problem: ColumnProblem) => {
    if (unwell[i] === problem.kind) return;
    unwell[i] = problem.kind;
    onProblem?.(problem);
  };
  const watch = (i: number, raw: RawValue, present: boolean) => {
    const column = columns[i]!.name;
    if (present) {
      missingFor[i] = 0;
      unwell[i] = undefined;
      return;
    }
    missingFor[i]!++;
    // A column that has vanished, or holds words, is silent too: the first says more.
    if (missingFor[i]! >= silentRows && unwell[i] === undefined)
      report(i, { kind: "silent", column, rows: missingFor[i]! });
    if (typeof raw === "string" && columns[i]!.kind !== "categorical" && numberIn(raw) === undefined)
      report(i, { kind: "text", column, value: raw.slice(0, LONGEST_QUOTE) });
  };

  const prepareRow = (raw: readonly RawValue[], out: Float32Array, timestampMs?: number) => {
    const at = timestampMs === undefined ? row / rateHz : timestampMs / 1000;
    for (let i = 0, c = 0; i < columns.length; i++) {
      const column = columns[i]!;
      const value = raw[i];
      if (column.kind === "categorical") {
        const known = words[i]!;
        const word = wordIn(value);
        const hot = word === undefined ? -1 : (known.get(word) ?? known.get(OTHER)!);
        for (let k = 0; k < known.size; k++) out[c++] = word === undefined ? Number.NaN : Number(k === hot);
        watch(i, value, word !== undefined);
        continue;
      }
      let number = numberIn(value) ?? Number.NaN;
      if (column.kind === "counter" && number < 0) {
        report(i, { kind: "negative", column: column.name, value: number });
        number = Number.NaN;
      }
      watch(i, value, !Number.isNaN(number));
      let result = number;
      if (column.kind === "heavy-tailed") result = Math.sign(number) * Math.log1p(Math.abs(number));
      else if (column.kind === "counter" && !Number.isNaN(number)) {
        const last = counters[i]!;
        counters[i] = { value: number, at };
        result =
          last && at > last.at ? increase(last.value, number, column.wrap) / (at - last.at) : Number.NaN;
      }
      result = Math.fround(result);
      out[c++] = Number.isFinite(result) ? result : Number.NaN;
    }
    row++;
  };

  return {
    channels,
    prepareRow,
    prepareRecord(record, out, timestampMs) {
      for (const name in record) {
        if (expected.has(name) || appeared.has(name) || appeared.size >= MOST_NEW_COLUMNS) continue;
        appeared.add(name);
        onProblem?.({ kind: "appeared", column: name });
      }
      for (let i = 0; i < columns.length; i++) {
        const { name } = columns[i]!;
        fields[i] = Object.hasOwn(record, name) ? record[name] : undefined;
        if (fields[i] === undefined) report(i, { kind: "vanished", column: name });
        else if (unwell[i] === "vanished") unwell[i] = undefined;
      }
      prepareRow(fields, out, timestampMs);
    },
    state: () => ({ row, counters: [...counters] }),
  };
}

/** A sender that makes up names must not fill the memory of a device. */
const MOST_NEW_COLUMNS = 100;
const LONGEST_QUOTE = 40;

function wordIndex(column: ColumnSchema): ReadonlyMap<string, number> | undefined {
  return column.kind === "categorical" ? new Map(wordsOf(column).map((word, k) => [word, k])) : undefined;
}

/** NaN = missing, undefined = no number. */
function numberIn(raw: RawValue): number | undefined {
  if (typeof raw === "number") return Number.isFinite(raw) ? raw : Number.NaN;
  if (typeof raw === "boolean") return Number(raw);
  return raw === null || raw === undefined ? Number.NaN : exactNumberOf(raw.trim(), false);
}

/** undefined = missing. "null" or "NA" may be a word of its own here. */
function wordIn(raw: RawValue): string | undefined {
  if (raw === null || raw === undefined || (typeof raw === "number" && Number.isNaN(raw))) return undefined;
  const word = String(raw).trim();
  return word === "" ? undefined : word;
}

function increase(from: number, to: number, wrap: number | undefined): number {
  if (to >= from) return to - from;
  const around = wrap === undefined ? Number.POSITIVE_INFINITY : to + wrap - from;
  return around >= 0 && around < wrap! / 2 ? around : to;
}
