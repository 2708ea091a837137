import { FleetError } from "../../protocol/errors.ts";
import { DEFAULT_MAX_BYTES, fileChunks, type ReadLimits, tooLarge } from "./bytes.ts";
import { parseRows, quoted, type RowSink, readHead } from "./csv.ts";
import { decodeHead, type Layout, type LayoutOptions, sniffLayout } from "./csv-layout.ts";
import { exactNumberOf, isMissing, numberOf, timestampOf } from "./fields.ts";
import { FloatColumn } from "./float-column.ts";
import { type ColumnProblem, type RawValue, rowPreparer } from "./prepare.ts";
import type { Schema } from "./schema.ts";
import { rateOf, type Series } from "./series.ts";

export interface TableOptions extends ReadLimits, LayoutOptions {
  /** Its columns are the channels; others must be ignored, a label, a time or a text. */
  readonly schema: Schema;
  /** Columns to give back as they stand in the file, row by row. */
  readonly texts?: readonly string[] | undefined;
  /** What a normal row's label is, where labels are words; without it labels are 0 and 1. */
  readonly normalLabels?: readonly string[] | undefined;
  /** Rows per second; without it, it comes from the timestamps. */
  readonly rateHz?: number | undefined;
  readonly onProblem?: ((problem: ColumnProblem) => void) | undefined;
}

export interface Table {
  readonly series: Series;
  /** (rows) 0/1, where there is a label column. */
  readonly labels?: Uint8Array;
  /** (rows) each. */
  readonly texts: Readonly<Record<string, readonly string[]>>;
}

/** The columns of a CSV file and their roles, from its first lines. Throws BAD_INPUT as `readTable` does. */
export async function readLayout(path: string, options: ReadLimits & LayoutOptions = {}): Promise<Layout> {
  const source = fileChunks(path, options)[Symbol.asyncIterator]();
  try {
    return sniffLayout(decodeHead(await readHead(source), path), path, options);
  } finally {
    await source.return?.(undefined);
  }
}

/**
 * Reads a CSV file whose columns are of several kinds, as it streams in, and prepares its rows (see `schema.ts`).
 * Throws BAD_INPUT with file, line and column for text in a column of numbers, a label or time that is none, and with
 * the column for one that the schema has and the file has not, or the other way round.
 */
export async function readTable(path: string, options: TableOptions): Promise<Table> {
  const source = fileChunks(path, options)[Symbol.asyncIterator]();
  try {
    const head = await readHead(source);
    const layout = sniffLayout(decodeHead(head, path), path, {
      ...options,
      ignoreColumns: options.ignoreColumns ?? [],
    });
    const rows = new TableRows(path, layout, options);
    await parseRows({ sink: rows, name: path, layout, head, source });
    return rows.finish();
  } finally {
    await source.return?.(undefined);
  }
}

class TableRows implements RowSink {
  readonly #path: string;
  readonly #layout: Layout;
  readonly #options: TableOptions;
  readonly #preparer;
  /** For each column of the file: its place in the schema, or -1. */
  readonly #places: readonly number[];
  readonly #texts: Record<string, string[]>;
  readonly #values: FloatColumn;
  readonly #timestampsMs: number[] = [];
  readonly #labels: number[] = [];
  readonly #raw: RawValue[];
  readonly #out: Float32Array;
  #skipHeader: boolean;
  #rows = 0;

  constructor(path: string, layout: Layout, options: TableOptions) {
    const { schema, texts = [], maxBytes = DEFAULT_MAX_BYTES } = options;
    this.#path = path;
    this.#layout = layout;
    this.#options = options;
    this.#preparer = rowPreparer(schema, { rateHz: options.rateHz, onProblem: options.onProblem });
    const wanted = schema.columns.map(({ name }) => name);
    const there = layout.columns.filter(({ role }) => role === "channel").map(({ name }) => name);
    checkColumns(path, wanted, [...there, ...texts.filter((text) => wanted.includes(text))], texts);
    this.#places = layout.columns.map(({ name, role }) => (role === "channel" ? wanted.indexOf(name) : -1));
    this.#texts = Object.fromEntries(texts.map((name) => [name, []]));
    this.#values = new FloatColumn(Math.floor(maxBytes / 4), () => tooLarge(path, maxBytes));
    this.#raw = new Array(wanted.length);
    this.#out = new Float32Array(this.#preparer.channels.length);
    this.#skipHeader = layout.header;
  }

  push(record: readonly string[], line: number): void {
    if (this.#skipHeader) {
      this.#skipHeader = false;
      return;
    }
    const { columns, decimalComma } = this.#layout;
    const { schema, normalLabels } = this.#options;
    if (record.length !== columns.length)
      throw this.#bad(
        line,
        `has ${record.length} fields where ${columns.length} are expected; mend or remove it`,
      );
    let timestampMs: number | undefined;
    for (let i = 0; i < columns.length; i++) {
      const { name, role } = columns[i]!;
      const field = record[i]!;
      const holds = (what: string) =>
        this.#bad(line, `column ${quoted(name)} holds ${quoted(field)}, ${what}`);
      this.#texts[name]?.push(field);
      const place = this.#places[i]!;
      if (place >= 0) {
        const isWord = schema.columns[place]!.kind === "categorical";
        const value = isWord ? field : exactNumberOf(field, decimalComma);
        if (value === undefined)
          throw holds("not a number; mend it, or name the column as categorical in the kinds");
        this.#raw[place] = value;
      } else if (role === "time") {
        timestampMs = timestampOf(field, decimalComma);
        if (timestampMs === undefined) throw holds("not a time");
        this.#timestampsMs.push(timestampMs);
      } else if (role === "label") {
        const label = normalLabels
          ? isMissing(field)
            ? undefined
            : Number(!normalLabels.includes(field))
          : numberOf(field, decimalComma);
        if (label !== 0 && label !== 1) throw holds(normalLabels ? "not a label" : "not a label 0 or 1");
        this.#labels.push(label);
      }
    }
    this.#preparer.prepareRow(this.#raw, this.#out, timestampMs);
    for (const value of this.#out) this.#values.push(value);
    this.#rows++;
  }

  finish(): Table {
    if (this.#rows === 0)
      throw new FleetError("BAD_INPUT", `${this.#path}: has no data rows; check the file`);
    const timestampsMs = this.#timestampsMs.length > 0 ? Float64Array.from(this.#timestampsMs) : undefined;
    const rateHz = this.#options.rateHz ?? (timestampsMs ? rateOf(timestampsMs) : undefined);
    const { channels } = this.#preparer;
    return {
      series: {
        rows: this.#rows,
        channels: channels.length,
        values: this.#values.finish(),
        names: channels,
        ...(timestampsMs ? { timestampsMs } : {}),
        ...(rateHz === undefined ? {} : { rateHz }),
      },
      ...(this.#layout.columns.some(({ role }) => role === "label")
        ? { labels: Uint8Array.from(this.#labels) }
        : {}),
      texts: this.#texts,
    };
  }

  #bad(line: number, what: string): FleetError {
    return new FleetError("BAD_INPUT", `${this.#path}: line ${line} ${what}`);
  }
}

/** `texts` are no channels unless the schema has them too. */
function checkColumns(
  path: string,
  wanted: readonly string[],
  there: readonly string[],
  texts: readonly string[],
): void {
  const bad = (what: string) => new FleetError("BAD_INPUT", `${path}: ${what}`);
  const gone = wanted.find((name) => !there.includes(name));
  if (gone !== undefined)
    throw bad(
      `has no column ${quoted(gone)}, which other files or the set's description have; add it or leave the file out`,
    );
  const more = there.find((name) => !wanted.includes(name) && !texts.includes(name));
  if (more !== undefined)
    throw bad(
      `has a column ${quoted(more)}, which other files or the set's description do not have; ignore that column or leave the file out`,
    );
}
