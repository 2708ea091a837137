import { type CsvError, type Info, parse } from "csv-parse";
import { FleetError } from "../../protocol/errors.ts";
import { DEFAULT_MAX_BYTES, fileChunks, type ReadLimits, tooLarge } from "./bytes.ts";
import { decodeHead, type Layout, type LayoutOptions, sniffLayout } from "./csv-layout.ts";
import { numberOf, timestampOf } from "./fields.ts";
import { FloatColumn } from "./float-column.ts";
import { channelNames, rateOf, type Series } from "./series.ts";

export interface CsvOptions extends ReadLimits, LayoutOptions {
  /** Rows per second; without it, it comes from the timestamps. */
  readonly rateHz?: number | undefined;
}

export interface CsvContent {
  readonly series: Series;
  /** 0/1 per row, when `labelColumn` was asked for. */
  readonly labels?: Uint8Array;
}

/**
 * Reads a CSV file (`.csv`, `.tsv`, `.txt`, each also with `.gz`) as it streams in.
 *
 * Delimiter (`,` `;` tab `|`), header and timestamp column are found from the first lines, or given as options. Empty
 * fields, NaN, NA, N/A, null, None, ? and infinities are missing values. With `;` a comma in a number is a decimal comma.
 * Throws BAD_INPUT with file, line and column for text in a number column, a ragged row, an unreadable timestamp.
 */
export async function readCsv(path: string, options: CsvOptions = {}): Promise<CsvContent> {
  return await decodeCsv(fileChunks(path, options), path, options);
}

/** As `readCsv`, from bytes that come from anywhere; `name` stands in the messages. */
export async function decodeCsv(
  chunks: AsyncIterable<Uint8Array>,
  name: string,
  options: CsvOptions = {},
): Promise<CsvContent> {
  const source = chunks[Symbol.asyncIterator]();
  try {
    const head = await readHead(source);
    const layout = sniffLayout(decodeHead(head, name), name, options);
    const rows = new RowReader(layout, name, options.maxBytes ?? DEFAULT_MAX_BYTES);
    await parseRows({ sink: rows, name, layout, head, source });
    return rows.finish(options.rateHz);
  } finally {
    await source.return?.();
  }
}

/** Enough for the sniffer to see a few dozen wide rows. */
const HEAD_BYTES = 64 * 1024;
/** A "row" beyond this is not a row of numbers: binary data, or a file without line ends. */
const MAX_ROW_BYTES = 1024 * 1024;

export async function readHead(source: AsyncIterator<Uint8Array>): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  let bytes = 0;
  while (bytes < HEAD_BYTES) {
    const next = await source.next();
    if (next.done) break;
    parts.push(next.value);
    bytes += next.value.length;
  }
  return Buffer.concat(parts);
}

/** Takes the rows of a file, with the number of the line that each ends on; what it throws ends the reading. */
export interface RowSink {
  push(record: readonly string[], line: number): void;
}

export interface ParseOptions {
  readonly sink: RowSink;
  /** Stands in the messages. */
  readonly name: string;
  readonly layout: Pick<Layout, "delimiter">;
  readonly head: Uint8Array;
  /** What follows the head. */
  readonly source: AsyncIterator<Uint8Array>;
}

/** Hands every row to the sink, the header too, as the file streams in. */
export async function parseRows({ sink, name, layout, head, source }: ParseOptions): Promise<void> {
  const parser = parse({
    bom: true,
    delimiter: layout.delimiter,
    trim: true,
    skip_empty_lines: true,
    // The row reader says it with the file's and the column's name.
    relax_column_count: true,
    max_record_size: MAX_ROW_BYTES,
    // Rows are taken here and not as stream objects: one array at a time is alive.
    onRecord: (record: string[], context: Info) => {
      sink.push(record, context.lines);
      return null;
    },
  });
  let failed: unknown;
  parser.on("error", (error) => {
    failed ??= error;
  });
  parser.resume();
  const write = async (chunk: Uint8Array) => {
    if (!parser.write(chunk) && !failed) await eventOrError(parser, "drain");
    if (failed) throw explain(failed, name);
  };
  await write(head);
  for (let next = await source.next(); !next.done; next = await source.next()) await write(next.value);
  if (!failed) {
    const ended = eventOrError(parser, "end");
    parser.end();
    await ended;
  }
  if (failed) throw explain(failed, name);
}

/** Resolves on the event and on an error alike: the caller looks which it was. */
function eventOrError(emitter: NodeJS.EventEmitter, event: string): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      emitter.off(event, done);
      emitter.off("error", done);
      resolve();
    };
    emitter.on(event, done);
    emitter.on("error", done);
  });
}

class RowReader {
  readonly #layout: Layout;
  readonly #name: string;
  readonly #values: FloatColumn;
  readonly #timestampsMs: number[] = [];
  readonly #labels: number[] = [];
  #skipHeader: boolean;
  #rows = 0;

  constructor(layout: Layout, name: string, maxBytes: number) {
    this.#layout = layout;
    this.#name = name;
    this.#skipHeader = layout.header;
    this.#values = new FloatColumn(Math.floor(maxBytes / 4), () => tooLarge(name, maxBytes));
  }

  push(record: readonly string[], line: number): void {
    if (this.#skipHeader) {
      this.#skipHeader = false;
      return;
    }
    const { columns } = this.#layout;
    if (record.length !== columns.length) {
      throw this.#bad(
        line,
        `has ${record.length} fields where ${columns.length} are expected; mend or remove it`,
      );
    }
    for (let i = 0; i < columns.length; i++) {
      const { role, name } = columns[i]!;
      const field = record[i]!;
      if (role === "channel") {
        const value = numberOf(field, this.#layout.decimalComma);
        if (value === undefined)
          throw this.#bad(
            line,
            `column ${quoted(name)} holds ${quoted(field)}, not a number; mend it, or name the column as categorical in the kinds`,
          );
        this.#values.push(value);
      } else if (role === "time") {
        const ms = timestampOf(field, this.#layout.decimalComma);
        if (ms === undefined)
          throw this.#bad(line, `column ${quoted(name)} holds ${quoted(field)}, not a time`);
        this.#timestampsMs.push(ms);
      } else if (role === "label") {
        const value = numberOf(field, this.#layout.decimalComma);
        if (value !== 0 && value !== 1) {
          throw this.#bad(line, `column ${quoted(name)} holds ${quoted(field)}, not a label 0 or 1`);
        }
        this.#labels.push(value);
      }
    }
    this.#rows++;
  }

  finish(rateHz: number | undefined): CsvContent {
    if (this.#rows === 0)
      throw new FleetError("BAD_INPUT", `${this.#name}: has no data rows; check the file`);
    const names = this.#layout.columns.filter((c) => c.role === "channel").map((c) => c.name);
    const timestampsMs = this.#timestampsMs.length > 0 ? Float64Array.from(this.#timestampsMs) : undefined;
    const rate = rateHz ?? (timestampsMs ? rateOf(timestampsMs) : undefined);
    const series: Series = {
      rows: this.#rows,
      channels: names.length,
      values: this.#values.finish(),
      names: this.#layout.header ? names : channelNames(names.length),
      ...(timestampsMs ? { timestampsMs } : {}),
      ...(rate === undefined ? {} : { rateHz: rate }),
    };
    const labelled = this.#layout.columns.some((c) => c.role === "label");
    return labelled ? { series, labels: Uint8Array.from(this.#labels) } : { series };
  }

  #bad(line: number, what: string): FleetError {
    return new FleetError("BAD_INPUT", `${this.#name}: line ${line} ${what}`);
  }
}

function explain(error: unknown, name: string): unknown {
  if (error instanceof FleetError) return error;
  const { code, message, lines = 1 } = error as CsvError & { lines?: number };
  const bad = (what: string) => new FleetError("BAD_INPUT", `${name}: line ${lines} ${what}`);
  if (code === "CSV_MAX_RECORD_SIZE")
    return bad(`is longer than ${MAX_ROW_BYTES} bytes; this is not a table of numbers`);
  if (code === "CSV_QUOTE_NOT_CLOSED") return bad("ends inside a quote; close it there or above");
  if (code === "CSV_INVALID_CLOSING_QUOTE" || code === "INVALID_OPENING_QUOTE")
    return bad("has a quote in the wrong place; mend or remove it");
  return new FleetError("BAD_INPUT", `${name}: ${message}`, { cause: error });
}

export function quoted(text: string): string {
  return JSON.stringify(text.length > 40 ? `${text.slice(0, 40)}...` : text);
}
