import { FleetError } from "../../protocol/errors.ts";
import { limits } from "../../protocol/limits.ts";
import type { RawValue } from "./prepare.ts";

/** How the lines of a stream are written; the first good one fixes it. */
export type LineForm =
  | { readonly kind: "array"; readonly channels: number; readonly names: readonly string[] | undefined }
  | { readonly kind: "object"; readonly channels: number; readonly names: readonly string[] };

export interface Sample {
  /** (channels) */
  readonly values: Float32Array;
  readonly atMs: number | undefined;
}

/** The key of an object line that is the sample's time: milliseconds since 1970, or a date in ISO 8601. */
const timeKey = "t";

/** The form of a stream from one of its lines. Throws BAD_INPUT with what is wrong with the line. */
export function formOf(text: string): LineForm {
  const { names, count: channels } = columnsOf(parseLine(text));
  if (channels < 1 || channels > limits.channels)
    throw bad(`it has ${channels} channels; a device has 1 to ${limits.channels}`);
  const form: LineForm =
    names === undefined ? { kind: "array", channels, names } : { kind: "object", channels, names };
  parseSample(text, form);
  return form;
}

/** One line as a sample of the stream's form. Throws BAD_INPUT with what is wrong with the line. */
export function parseSample(text: string, form: LineForm): Sample {
  const value = parseLine(text);
  const values = new Float32Array(form.channels);
  if (Array.isArray(value)) {
    if (value.length !== form.channels) throw bad(`it has ${value.length} values, not ${form.channels}`);
    for (let c = 0; c < values.length; c++) values[c] = numberOf(value[c], `value ${c + 1}`);
    return { values, atMs: undefined };
  }
  const { names } = form;
  if (names === undefined) throw bad("it is an object, and the lines before it were arrays");
  // Other keys than the channels' may come and go; a channel that is not named is missing. A line without any is of another device.
  if (!names.some((name) => Object.hasOwn(value, name)))
    throw bad(`it names none of the channels ${listed(names)}`);
  for (let c = 0; c < values.length; c++) values[c] = numberOf(value[names[c]!] ?? null, `"${names[c]}"`);
  return { values, atMs: timeOf(value[timeKey]) };
}

/** What a stream's first line says of its columns. */
export interface LineHead {
  /** undefined in an array. */
  readonly names: readonly string[] | undefined;
  readonly timed: boolean;
}

/** Of columns that may hold words. Throws BAD_INPUT. */
export function lineHead(text: string): LineHead {
  const { names, count } = columnsOf(parseLine(text));
  if (count < 1) throw bad("it has no columns");
  return { names, timed: names !== undefined && fieldsOf(text, names).atMs !== undefined };
}

/** In the order of the columns, or by their names. */
export type Fields = { readonly atMs: number | undefined } & (
  | { readonly row: readonly RawValue[] }
  | { readonly record: Readonly<Record<string, RawValue>> }
);

/** One line whose columns may hold words. Throws BAD_INPUT with what is wrong with the line. */
export function fieldsOf(text: string, columns: readonly string[]): Fields {
  const value = parseLine(text);
  if (Array.isArray(value)) {
    if (value.length !== columns.length) throw bad(`it has ${value.length} values, not ${columns.length}`);
    value.forEach((field, c) => {
      checkField(field, `value ${c + 1}`);
    });
    return { row: value as RawValue[], atMs: undefined };
  }
  const there = columns.filter((name) => Object.hasOwn(value, name));
  if (there.length === 0) throw bad(`it names none of the columns ${listed(columns)}`);
  for (const name of there) checkField(value[name], `"${name}"`);
  return { record: value as Record<string, RawValue>, atMs: timeOf(value[timeKey]) };
}

function checkField(field: unknown, what: string): void {
  if (typeof field === "object" && field !== null) throw bad(`${what} is neither a number, a word nor null`);
}

function columnsOf(value: unknown[] | Record<string, unknown>): {
  readonly names: readonly string[] | undefined;
  readonly count: number;
} {
  if (Array.isArray(value)) return { names: undefined, count: value.length };
  const names = Object.keys(value).filter((key) => key !== timeKey);
  return { names, count: names.length };
}

function parseLine(text: string): unknown[] | Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw bad("it is not JSON");
  }
  if (typeof value !== "object" || value === null)
    throw bad("it is neither an array of numbers nor an object");
  return value as unknown[] | Record<string, unknown>;
}

function numberOf(value: unknown, what: string): number {
  if (value === null) return Number.NaN;
  if (typeof value !== "number") throw bad(`${what} is not a number or null`);
  const single = Math.fround(value);
  return Number.isFinite(single) ? single : Number.NaN;
}

function timeOf(value: unknown): number | undefined {
  if (value === undefined || value === null) return undefined;
  const atMs = typeof value === "number" ? value : typeof value === "string" ? Date.parse(value) : Number.NaN;
  if (!(Math.abs(atMs) <= latestMs))
    throw bad(`"${timeKey}" is no time: give milliseconds since 1970 or ISO 8601`);
  return atMs;
}

/** The last millisecond that a Date can be. */
const latestMs = 8.64e15;

function listed(names: readonly string[]): string {
  return names.length > 8 ? `${names.slice(0, 8).join(", ")}, ...` : names.join(", ");
}

function bad(what: string): FleetError {
  return new FleetError("BAD_INPUT", what);
}
