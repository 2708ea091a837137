import { brotliDecompressSync, gunzipSync } from "node:zlib";
import type { ColumnData, Compressors, FileMetaData, SchemaElement } from "hyparquet";
import { FleetError } from "../../protocol/errors.ts";
import { DEFAULT_MAX_BYTES, fileBytes, type ReadLimits, tooLarge } from "./bytes.ts";
import { timestampOf } from "./fields.ts";
import { rateOf, type Series } from "./series.ts";

export interface ParquetOptions extends ReadLimits {
  /** Rows per second; without it, it comes from the times. */
  readonly rateHz?: number | undefined;
  /** Name of the time column; without it, it is the first column of timestamps or dates. */
  readonly timeColumn?: string | undefined;
  /** Names of columns to leave out. */
  readonly ignoreColumns?: readonly string[] | undefined;
  readonly labelColumn?: string | undefined;
}

/**
 * Reads a Parquet file whose columns are flat numbers or booleans, and one time; null and infinities are missing. Uncompressed, snappy, gzip
 * or brotli. Needs the package hyparquet: throws UNAVAILABLE without it, BAD_INPUT with the file and the column or what is damaged. Sizes
 * are checked before anything is made of them, but a Parquet file says so much about itself that one from a stranger is better converted first.
 */
export async function readParquet(path: string, options: ParquetOptions = {}): Promise<Series> {
  const maxBytes = options.maxBytes ?? DEFAULT_MAX_BYTES;
  const { parquetMetadata, parquetRead, snappyUncompress } = await hyparquet();
  const bytes = await fileBytes(path, options);
  if (bytes.length < 12 || bytes.toString("latin1", bytes.length - 4) !== "PAR1")
    throw bad(path, "is not a Parquet file, or ends early (no PAR1 at its end); fetch it again");
  const buffer = Uint8Array.from(bytes).buffer;
  const guarded = async <T>(read: () => T | Promise<T>): Promise<T> => {
    try {
      return await read();
    } catch (cause) {
      if (cause instanceof FleetError) throw cause;
      throw new FleetError(
        "BAD_INPUT",
        `${path}: can't be read (${(cause as Error).message}); write it again`,
        { cause },
      );
    }
  };
  const metadata = await guarded(() => parquetMetadata(buffer));
  const columns = await guarded(() => layoutOf(metadata, path, options));
  const rows = Number(metadata.num_rows);
  const channels = columns.filter(({ role }) => role === "channel").length;
  checkSizes(metadata, { path, rows, columns: columns.length, maxBytes });
  const values = new Float32Array(rows * channels).fill(Number.NaN);
  const timestampsMs = columns.some(({ role }) => role === "time")
    ? new Float64Array(rows).fill(Number.NaN)
    : undefined;

  // hyparquet loses what its callback throws: kept, and thrown when it is done.
  let failed: unknown;
  let filled = 0;
  const take = (chunk: ColumnData) => {
    try {
      if (failed === undefined) fill(chunk);
    } catch (error) {
      failed = error;
    }
  };
  const fill = ({ columnName, columnData, rowStart, rowEnd }: ColumnData) => {
    const column = columns.find(({ name }) => name === columnName)!;
    const c = columns.filter(({ role }) => role === "channel").indexOf(column);
    if (rowStart < 0 || rowEnd > rows)
      throw bad(path, `column "${columnName}" has more rows than the file; write it again`);
    filled += rowEnd - rowStart;
    for (let i = 0; i < rowEnd - rowStart; i++) {
      const row = rowStart + i;
      if (column.role === "channel") values[row * channels + c] = numberOf(columnData[i]);
      else timestampsMs![row] = timeOf(columnData[i], { path, column: columnName, row });
    }
  };
  const sized =
    (inflate: (input: Uint8Array, most: number) => Uint8Array) => (input: Uint8Array, size: number) => {
      if (!(size >= 0 && size <= maxBytes)) throw tooLarge(path, maxBytes);
      return inflate(input, size);
    };
  const compressors: Compressors = {
    SNAPPY: sized((input, size) => {
      const out = new Uint8Array(size);
      snappyUncompress(input, out);
      return out;
    }),
    GZIP: sized((input, size) => gunzipSync(input, { maxOutputLength: Math.max(1, size) })),
    BROTLI: sized((input, size) => brotliDecompressSync(input, { maxOutputLength: Math.max(1, size) })),
  };
  await guarded(() =>
    parquetRead({
      file: buffer,
      metadata,
      columns: columns.map(({ name }) => name),
      compressors,
      onChunk: take,
    }),
  );
  if (failed !== undefined) throw failed;
  if (filled !== rows * columns.length || timestampsMs?.some(Number.isNaN))
    throw bad(path, "has columns of fewer rows than the file; write it again");
  const rateHz = options.rateHz ?? (timestampsMs ? rateOf(timestampsMs) : undefined);
  return {
    rows,
    channels,
    values,
    names: columns.filter(({ role }) => role === "channel").map(({ name }) => name),
    ...(timestampsMs ? { timestampsMs } : {}),
    ...(rateHz === undefined ? {} : { rateHz }),
  };
}

interface Column {
  readonly name: string;
  readonly role: "channel" | "time";
}

const NUMBERS: ReadonlySet<string> = new Set(["BOOLEAN", "INT32", "INT64", "FLOAT", "DOUBLE"]);

function layoutOf({ schema }: FileMetaData, path: string, options: ParquetOptions): Column[] {
  const elements = schema.slice(1);
  const names = elements.map(({ name }) => name);
  for (const wanted of [options.timeColumn, options.labelColumn, ...(options.ignoreColumns ?? [])])
    if (wanted !== undefined && !names.includes(wanted))
      throw bad(path, `has no column "${wanted}"; it has ${names.slice(0, 8).join(", ")}`);
  if (new Set(names).size !== names.length) throw bad(path, "has two columns of one name; rename one");
  const left = elements.filter(
    ({ name }) => name !== options.labelColumn && !options.ignoreColumns?.includes(name),
  );
  const time = options.timeColumn ?? left.find(isTime)?.name;
  const columns = left.map((element): Column => {
    const { name, type, num_children, repetition_type } = element;
    if (name === time) return { name, role: "time" };
    if (num_children || repetition_type === "REPEATED" || !NUMBERS.has(type ?? "") || isTime(element))
      throw bad(
        path,
        `column "${name}" holds no numbers (${num_children ? "nested" : type}); leave it out (ignoreColumns)`,
      );
    return { name, role: "channel" };
  });
  if (!columns.some(({ role }) => role === "channel"))
    throw bad(path, "has no column of numbers; check the file");
  return columns;
}

function isTime({ type, converted_type, logical_type }: SchemaElement): boolean {
  return (
    type === "INT96" ||
    /^(?:TIMESTAMP|DATE)/.test(converted_type ?? "") ||
    /^(?:TIMESTAMP|DATE)/.test(logical_type?.type ?? "")
  );
}

/** What the footer announces, before memory is taken for it. */
function checkSizes(
  metadata: FileMetaData,
  {
    path,
    rows,
    columns,
    maxBytes,
  }: { readonly path: string; readonly rows: number; readonly columns: number; readonly maxBytes: number },
): void {
  if (!Number.isSafeInteger(rows) || rows < 1) throw bad(path, `has ${rows} rows; check the file`);
  if (rows * columns * 8 > maxBytes) throw tooLarge(path, maxBytes);
  let sum = 0;
  for (const group of metadata.row_groups) {
    const groupRows = Number(group.num_rows);
    if (!(groupRows >= 0)) throw bad(path, "has a row group of less than no rows; write it again");
    sum += groupRows;
    for (const { meta_data } of group.columns) {
      if (meta_data && Number(meta_data.num_values) > rows)
        throw bad(path, `column "${meta_data.path_in_schema.join(".")}" has more values than rows`);
      if (meta_data && Number(meta_data.total_uncompressed_size) > maxBytes) throw tooLarge(path, maxBytes);
    }
  }
  if (sum !== rows)
    throw bad(path, `has ${sum} rows in its groups and ${rows} in its footer; write it again`);
}

function numberOf(value: unknown): number {
  if (value === null || value === undefined) return Number.NaN;
  const single = Math.fround(Number(value));
  return Number.isFinite(single) ? single : Number.NaN;
}

function timeOf(
  value: unknown,
  { path, column, row }: { readonly path: string; readonly column: string; readonly row: number },
): number {
  const ms =
    value instanceof Date
      ? value.getTime()
      : typeof value === "number" || typeof value === "bigint" || typeof value === "string"
        ? timestampOf(String(value), false)
        : undefined;
  if (ms === undefined || Number.isNaN(ms))
    throw bad(path, `row ${row + 1} of column "${column}" is no time; mend or remove it`);
  return ms;
}

async function hyparquet(): Promise<typeof import("hyparquet")> {
  try {
    return await import("hyparquet");
  } catch (cause) {
    throw new FleetError(
      "UNAVAILABLE",
      "Parquet files are read by hyparquet; install it with: npm install hyparquet",
      { cause },
    );
  }
}

function bad(path: string, what: string): FleetError {
  return new FleetError("BAD_INPUT", `${path}: ${what}`);
}
