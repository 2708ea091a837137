import { FleetError } from "../../protocol/errors.ts";
import type { ReadLimits } from "./bytes.ts";
import type { LayoutOptions } from "./csv-layout.ts";
import { readJsonLines } from "./json-lines.ts";
import { linePreparer } from "./line-preparer.ts";
import type { ColumnProblem } from "./prepare.ts";
import { fileKind } from "./read.ts";
import { channelKindsOf, deviceSchema, type Kinds, type Schema } from "./schema.ts";
import type { Series } from "./series.ts";
import { readLayout, readTable } from "./table.ts";

/** A device's data whose columns are of several kinds. */
export interface PreparedSeries {
  /** Prepared: its channels are those of the schema. */
  readonly series: Series;
  readonly schema: Schema;
  /** See `channelKindsOf`. */
  readonly kinds: string | undefined;
}

export interface PreparedFileOptions extends ReadLimits, Pick<LayoutOptions, "ignoreColumns"> {
  readonly kinds: Kinds;
  /** Rows per second of files without times, for counters. */
  readonly rateHz?: number | undefined;
  /** The file that this one belongs to: it has the same columns, in whatever order, and times like it. */
  readonly like?: ({ readonly path: string } & Pick<PreparedSeries, "schema" | "kinds">) | undefined;
  readonly onProblem?: ((problem: ColumnProblem) => void) | undefined;
}

/**
 * Reads a device's file of columns with names (`.csv`, `.tsv`, `.txt`, `.jsonl`, `.ndjson`, each also `.gz`) and prepares its rows by their kinds, with the numbers
 * that the same rows get on a stream. Throws BAD_INPUT as `readTable` and `readJsonLines`, for a file that has no names, and for kinds that name what it has not.
 */
export async function readPrepared(path: string, options: PreparedFileOptions): Promise<PreparedSeries> {
  const { like } = options;
  const read = fileKind(path) === "json" ? await readLines(path, options) : await readCsv(path, options);
  const { series, schema } = read;
  const timed = series.timestampsMs !== undefined;
  const kinds = channelKindsOf(schema, timed || options.rateHz !== undefined ? "second" : "row");
  if (like !== undefined && kinds !== like.kinds)
    throw bad(
      path,
      `${timed ? "has times" : "has no times"}, unlike ${like.path}, and counters become their rise per second by them; give both files times or none, or --rate-hz where neither has them`,
    );
  return { series, schema, kinds };
}

async function readCsv(path: string, options: PreparedFileOptions): Promise<Omit<PreparedSeries, "kinds">> {
  if (fileKind(path) !== "csv")
    throw bad(
      path,
      "has no columns whose kinds could be named; kinds are for .csv, .tsv, .txt and .jsonl files",
    );
  const { kinds, like, ignoreColumns, rateHz, onProblem, signal, maxBytes } = options;
  const layout = await readLayout(path, { ignoreColumns, signal, maxBytes });
  if (!layout.header)
    throw bad(path, "has no line of names, and kinds go by names; put the columns' names in its first line");
  const columns = layout.columns.filter(({ role }) => role === "channel").map(({ name }) => name);
  const schema = schemaOfFile(path, columns, { kinds, like });
  const { series } = await readTable(path, { schema, ignoreColumns, rateHz, signal, maxBytes, onProblem });
  return { series, schema };
}

async function readLines(path: string, options: PreparedFileOptions): Promise<Omit<PreparedSeries, "kinds">> {
  const { kinds, like, rateHz, onProblem, signal, maxBytes } = options;
  if (options.ignoreColumns?.length)
    throw bad(path, "is no csv, so it has no columns to ignore; leave out --ignore-columns");
  let schema: Schema | undefined;
  const series = await readJsonLines(path, {
    rateHz,
    signal,
    maxBytes,
    prepare(columns) {
      if (columns === undefined)
        throw bad(path, "has arrays, which have no names, and kinds go by names; give an object a line");
      schema = schemaOfFile(path, columns, { kinds, like });
      return linePreparer(schema, { rateHz, onProblem });
    },
  });
  return { series, schema: schema! };
}

function schemaOfFile(
  path: string,
  columns: readonly string[],
  { kinds, like }: Pick<PreparedFileOptions, "kinds" | "like">,
): Schema {
  if (like === undefined) return deviceSchema(columns, kinds, path);
  const wanted = like.schema.columns.map(({ name }) => name);
  const gone = wanted.find((name) => !columns.includes(name));
  const more = columns.find((name) => !wanted.includes(name));
  if (gone !== undefined)
    throw bad(path, `has no column "${gone}", and ${like.path} has it; give files of one device`);
  if (more !== undefined)
    throw bad(path, `has a column "${more}", and ${like.path} has none; give files of one device`);
  return like.schema;
}

function bad(path: string, what: string): FleetError {
  return new FleetError("BAD_INPUT", `${path}: ${what}`);
}
