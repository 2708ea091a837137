import { FleetError } from "../../protocol/errors.ts";
import { channelNames } from "../data/series.ts";
import type { Recent } from "./detector.ts";

/** Rows as a program has them: a `Series`, one flat array (rows, channels), or a list of rows. NaN or null = missing. */
export type Rows = FlatRows | readonly ArrayLike<number | null>[];

export interface FlatRows {
  readonly values: Float32Array | Float64Array;
  readonly rows: number;
  readonly channels: number;
  readonly names?: readonly string[];
  /** Rows per second, which an alarm budget is counted by. */
  readonly rateHz?: number;
}

/** Rows that a detector can take, with the names of their channels. */
export interface CheckedRows extends Recent {
  readonly names: readonly string[];
  readonly rateHz: number | undefined;
}

/** The channels that rows must have. */
export type Channels = readonly string[];

/**
 * The rows as the pipeline takes them; `given` names their channels where they have no names of their own, or in place of them. Throws BAD_INPUT with one sentence for no rows, rows of different lengths, text, infinite values, no value at all and, where
 * `expected` is given, other channels than these.
 */
export function checkedRows(x: Rows, expected?: Channels, given?: Channels): CheckedRows {
  const { values, rows, channels, ...flat } = isList(x) ? fromList(x) : fromFlat(x);
  const names = given ?? flat.names;
  if (names && rows > 0 && names.length !== channels)
    throw bad(`there are ${names.length} names for ${channels} channels; give one each`);
  if (rows === 0) throw bad("there are no rows; give at least one");
  if (expected && channels !== expected.length) throw otherChannels("the rows have", channels, expected);
  if (expected && names && !unnamed(names) && !unnamed(expected)) {
    const moved = names.findIndex((name, c) => name !== expected[c]);
    if (moved >= 0)
      throw bad(
        `channel ${moved + 1} of the rows is "${names[moved]}" and was "${expected[moved]}" in fit; give the channels in the order of fit`,
      );
  }
  let present = 0;
  for (let i = 0; i < values.length; i++) {
    const value = values[i]!;
    if (Number.isNaN(value)) continue;
    present++;
    if (!Number.isFinite(value)) throw infinite(i, channels);
  }
  if (present === 0)
    throw bad("the rows hold no value at all, only missing ones; check where they come from");
  const { rateHz } = flat;
  return { values, rows, channels, names: names ?? expected ?? channelNames(channels), rateHz };
}

/** What is to be learned from: a channel without any value has no scale. Throws BAD_INPUT for one. */
export function refuseSilentChannels({ values, rows, channels, names }: CheckedRows): void {
  for (let c = 0; c < channels; c++) {
    let row = 0;
    while (row < rows && Number.isNaN(values[row * channels + c]!)) row++;
    if (row === rows)
      throw bad(`channel ${c + 1} ("${names[c]}") has no value in any row; leave it out, or mend it`);
  }
}

/** One row of a stream into `out`; throws BAD_INPUT for another number of channels, text and infinite values. */
export function checkedRow(row: ArrayLike<number | null>, out: Float32Array, expected: Channels): void {
  if (row.length !== out.length) throw otherChannels("the row has", row.length, expected);
  for (let c = 0; c < out.length; c++) out[c] = numberOf(row[c], 0, c, "this row");
  for (let c = 0; c < out.length; c++)
    if (!Number.isNaN(out[c]) && !Number.isFinite(out[c]!))
      throw bad(`channel ${c + 1} of this row is infinite; give a number, or NaN where it is missing`);
}

export function isList(x: Rows): x is Exclude<Rows, FlatRows> {
  return Array.isArray(x);
}

interface Flat {
  readonly values: Float32Array;
  readonly rows: number;
  readonly channels: number;
  readonly names: readonly string[] | undefined;
  readonly rateHz?: number | undefined;
}

function fromFlat({ values, rows, channels, names, rateHz }: FlatRows): Flat {
  if (values.length !== rows * channels)
    throw bad(
      `${values.length} values are not ${rows} rows of ${channels} channels; give rows * channels of them`,
    );
  const floats = values instanceof Float32Array ? values : Float32Array.from(values);
  return { values: floats, rows, channels, names, rateHz };
}

function fromList(list: readonly ArrayLike<number | null>[]): Flat {
  const rows = list.length;
  const first = list[0];
  if (first === undefined) return { values: new Float32Array(0), rows, channels: 0, names: undefined };
  const channels = first.length;
  if (typeof first !== "object" || channels === undefined || channels === 0)
    throw bad("a row is a list of numbers, one a channel; give a single channel as [[1], [2], ...]");
  const values = new Float32Array(rows * channels);
  for (let i = 0; i < rows; i++) {
    const row = list[i]!;
    if (row.length !== channels)
      throw bad(`row ${i} has ${row.length} channels and row 0 has ${channels}; give all rows the same`);
    for (let c = 0; c < channels; c++) values[i * channels + c] = numberOf(row[c], i, c);
  }
  return { values, rows, channels, names: undefined };
}

function numberOf(value: unknown, row: number, channel: number, where = `row ${row}`): number {
  if (typeof value === "number") return value;
  if (value === null || value === undefined) return Number.NaN;
  throw bad(
    `channel ${channel + 1} of ${where} is ${show(value)}, which is no number; NaN or null is missing`,
  );
}

function unnamed(names: Channels): boolean {
  return names.every((name, c) => name === `c${c + 1}`);
}

function otherChannels(what: string, channels: number, expected: Channels): FleetError {
  const some = expected.slice(0, 5).join(", ") + (expected.length > 5 ? ", ..." : "");
  return bad(`${what} ${channels} channels, and fit had ${expected.length} (${some}); give the same ones`);
}

function infinite(at: number, channels: number): FleetError {
  const place = `channel ${(at % channels) + 1} of row ${Math.floor(at / channels)}`;
  return bad(`${place} is infinite; give a number, or NaN where it is missing`);
}

function show(value: unknown): string {
  const text = JSON.stringify(value) ?? String(value);
  return text.length > 40 ? `${text.slice(0, 37)}...` : text;
}

function bad(sentence: string): FleetError {
  return new FleetError("BAD_INPUT", sentence);
}
