import { FleetError } from "../../protocol/errors.ts";
import { dateOf, isMissing, numberOf } from "./fields.ts";

export interface LayoutOptions {
  readonly delimiter?: string | undefined;
  /** Whether the first line names the columns; without it, it does when none of its fields is a number. */
  readonly header?: boolean | undefined;
  /** Names of the columns of a file whose first line holds none. */
  readonly columnNames?: readonly string[] | undefined;
  /** Name of the time column; without it, it is found. */
  readonly timeColumn?: string | undefined;
  /** Name of a column of 0/1 labels, which is then no channel. */
  readonly labelColumn?: string | undefined;
  /** Names of columns to leave out. */
  readonly ignoreColumns?: readonly string[] | undefined;
}

export interface Layout {
  readonly delimiter: string;
  readonly decimalComma: boolean;
  readonly header: boolean;
  readonly columns: readonly Column[];
}

export interface Column {
  readonly name: string;
  readonly role: "channel" | "time" | "label" | "ignored";
}

/** The layout of a CSV file from its first lines. Throws BAD_INPUT for an empty file and for a column that is not there. */
export function sniffLayout(head: string, name: string, options: LayoutOptions = {}): Layout {
  const lines = sampleLines(head);
  if (lines.length === 0) throw new FleetError("BAD_INPUT", `${name}: is empty; check the file`);
  const delimiter = options.delimiter ?? sniffDelimiter(lines);
  const decimalComma = delimiter === ";";
  const sample = lines.map((line) => splitLine(line, delimiter));
  const first = sample[0]!;
  const given = options.columnNames;
  if (given && given.length !== first.length) {
    throw new FleetError(
      "BAD_INPUT",
      `${name}: has ${first.length} columns but ${given.length} names are given; give one for each`,
    );
  }
  const header = !given && (options.header ?? looksLikeHeader(first, decimalComma));
  const names = given ?? (header ? uniqueNames(first) : first.map((_, i) => `c${i + 1}`));
  for (const wanted of [options.timeColumn, options.labelColumn, ...(options.ignoreColumns ?? [])]) {
    if (wanted !== undefined && !names.includes(wanted)) {
      throw new FleetError("BAD_INPUT", `${name}: has no column "${wanted}"; it has ${list(names)}`);
    }
  }
  const time =
    options.timeColumn ?? sniffTime({ names, header, rows: sample.slice(header ? 1 : 0) }, options);
  const columns = names.map((column): Column => {
    if (column === options.labelColumn) return { name: column, role: "label" };
    if (options.ignoreColumns?.includes(column)) return { name: column, role: "ignored" };
    return { name: column, role: column === time ? "time" : "channel" };
  });
  if (!columns.some((column) => column.role === "channel")) {
    throw new FleetError("BAD_INPUT", `${name}: has no column of numbers beside ${list(names)}`);
  }
  return { delimiter, decimalComma, header, columns };
}

/** The head as text. Throws BAD_INPUT when it is not text at all. */
export function decodeHead(head: Uint8Array, name: string): string {
  if (head[0] === 0x1f && head[1] === 0x8b) {
    throw new FleetError("BAD_INPUT", `${name}: is gzip data; let its name end in .gz`);
  }
  const zero = head.indexOf(0);
  if (zero >= 0) {
    throw new FleetError(
      "BAD_INPUT",
      `${name}: is binary (a zero at byte ${zero}); give a text file in UTF-8`,
    );
  }
  return new TextDecoder().decode(head);
}

const SAMPLE_LINES = 50;
/** Comma last: where another delimiter splits every line alike, a comma is a decimal sign. */
const DELIMITERS = [";", "\t", "|", ","] as const;
const TIME_NAME = /^(?:unix_?)?(?:time|timestamp|datetime|date_?time|date|ts|epoch)(?:_?(?:s|ms|utc))?$/i;

function sampleLines(head: string): string[] {
  const lines = head.split(/\r\n|\n|\r/);
  // The last line may be cut in the middle, unless it is the only one.
  if (lines.length > 1) lines.pop();
  return lines.filter((line) => line.trim() !== "").slice(0, SAMPLE_LINES);
}

function sniffDelimiter(lines: readonly string[]): string {
  let best: { delimiter: string; count: number } = { delimiter: ",", count: 0 };
  for (const delimiter of DELIMITERS) {
    const counts = lines.map((line) => splitLine(line, delimiter).length - 1).sort((a, b) => a - b);
    if (counts[0]! > 0 && counts[0] === counts.at(-1)) return delimiter;
    // No delimiter splits every line alike: a row is ragged, and the reader will name it.
    const median = counts[Math.floor(counts.length / 2)]!;
    if (median > best.count) best = { delimiter, count: median };
  }
  return best.delimiter;
}

/** For the sample only; the file itself goes through csv-parse. */
function splitLine(line: string, delimiter: string): string[] {
  const fields: string[] = [];
  let field = "";
  let quotes = false;
  for (let i = 0; i < line.length; i++) {
    const char = line[i]!;
    // A doubled quote within quotes is a quote (RFC 4180, section 2.7).
    if (char === '"' && quotes && line[i + 1] === '"') field += line[++i];
    else if (char === '"') quotes = !quotes;
    else if (char === delimiter && !quotes) {
      fields.push(field.trim());
      field = "";
    } else field += char;
  }
  return [...fields, field.trim()];
}

function looksLikeHeader(fields: readonly string[], decimalComma: boolean): boolean {
  const isText = (field: string) =>
    numberOf(field, decimalComma) === undefined && dateOf(field) === undefined;
  return fields.every((field) => isMissing(field) || isText(field)) && fields.some(isText);
}

function uniqueNames(fields: readonly string[]): string[] {
  const seen = new Map<string, number>();
  return fields.map((field, i) => {
    const name = field === "" ? `c${i + 1}` : field;
    const times = (seen.get(name) ?? 0) + 1;
    seen.set(name, times);
    return times === 1 ? name : `${name}.${times}`;
  });
}

interface Sample {
  readonly names: readonly string[];
  readonly header: boolean;
  readonly rows: readonly (readonly string[])[];
}

function sniffTime({ names, header, rows }: Sample, options: LayoutOptions): string | undefined {
  const free = (name: string) => name !== options.labelColumn && !options.ignoreColumns?.includes(name);
  const column = (i: number) => rows.map((row) => row[i] ?? "").filter((field) => !isMissing(field));
  // A column of written dates is the time, whatever its name is.
  const dated = names.findIndex((name, i) => free(name) && isAll(column(i), (f) => dateOf(f) !== undefined));
  if (dated >= 0) return names[dated];
  if (header) return names.find((name) => free(name) && TIME_NAME.test(name));
  const numbers = column(0).map(Number);
  const epoch = (n: number) => (n >= 1e9 && n <= 2e9) || (n >= 1e12 && n <= 2e12); // 2001 to 2033
  const rising = numbers.every((n, i) => i === 0 || n >= numbers[i - 1]!);
  return names.length > 1 && isAll(numbers, epoch) && rising ? names[0] : undefined;
}

function isAll<T>(values: readonly T[], test: (value: T) => boolean): boolean {
  return values.length > 0 && values.every(test);
}

function list(names: readonly string[]): string {
  return names.length > 8
    ? `${names.slice(0, 8).join(", ")}, ... (${names.length} columns)`
    : names.join(", ");
}
