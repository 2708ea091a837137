import { FleetError } from "../../protocol/errors.ts";
import type { AnomalyDetector } from "./anomaly-detector.ts";
import { type CheckedRows, checkedRow, checkedRows, type FlatRows, isList } from "./detector-rows.ts";
import { knownModality } from "./fusion-settings.ts";

/** A modality's row at one moment; null, or NaN in every channel, where it has none. */
export type ModalityRow = ArrayLike<number | null> | null;

/**
 * Rows of the same moments by modality, as many of each. A modality that is left out is missing in all of them; a row that is null or has no value is
 * missing at that moment.
 */
export type ModalityRows = Readonly<Record<string, FlatRows | readonly ModalityRow[]>>;

/** What every modality has, in the order of the fusion's; undefined for one that has nothing at all. */
export interface Moments {
  readonly rows: number;
  readonly of: readonly (CheckedRows | undefined)[];
}

/** Throws BAD_INPUT for a modality that is not there, for different numbers of rows, and as `checkedRows` does, with the modality's name. */
export function moments(x: ModalityRows, detectors: ReadonlyMap<string, AnomalyDetector>): Moments {
  const names = [...detectors.keys()];
  for (const name of Object.keys(x)) knownModality(name, names);
  const counts = Object.entries(x).map(([name, rows]) => ({
    name,
    count: Array.isArray(rows) ? rows.length : (rows as FlatRows).rows,
  }));
  const [first] = counts;
  if (first === undefined || first.count === 0)
    throw bad("there are no rows; give those of at least one modality");
  const other = counts.find(({ count }) => count !== first.count);
  if (other)
    throw bad(
      `${first.name} has ${first.count} rows and ${other.name} has ${other.count}; give the rows of the same moments, null where a modality has none`,
    );
  const each = [...detectors].map(([name, { channels }]) => {
    const given = x[name];
    if (given === undefined) return undefined;
    const rows = Array.isArray(given) ? withoutNulls(given, channels.length) : (given as FlatRows);
    return isSilent(rows) ? undefined : of(name, () => checkedRows(rows, channels));
  });
  return { rows: first.count, of: each };
}

/** Checks all that there is at one moment before any of it is used. Gives the same array at every call. Throws BAD_INPUT with the modality's name. */
export function rowReader(detectors: ReadonlyMap<string, AnomalyDetector>) {
  const names = [...detectors.keys()];
  const values = [...detectors.values()].map(({ channels }) => new Float32Array(channels.length));
  const rows: (Float32Array | undefined)[] = names.map(() => undefined);
  return (given: Readonly<Record<string, ModalityRow | undefined>>): readonly (ModalityRow | undefined)[] => {
    for (const name of Object.keys(given)) knownModality(name, names);
    names.forEach((name, i) => {
      const row = given[name];
      rows[i] = row === null || row === undefined ? undefined : values[i];
      if (row !== null && row !== undefined)
        of(name, () => checkedRow(row, values[i]!, detectors.get(name)!.channels));
    });
    return rows;
  };
}

/** With the modality's name before what is wrong. */
function of<T>(name: string, read: () => T): T {
  try {
    return read();
  } catch (cause) {
    if (!(cause instanceof FleetError)) throw cause;
    throw new FleetError(cause.code, `${name}: ${cause.message}`, { cause });
  }
}

export function isMissing(row: ArrayLike<number | null>): boolean {
  for (let c = 0; c < row.length; c++) {
    const value = row[c];
    if (value !== null && value !== undefined && !Number.isNaN(value)) return false;
  }
  return true;
}

/** Moments from..to-1, as views. */
export function sliceMoments({ of }: Moments, from: number, to: number): Moments {
  return {
    rows: to - from,
    of: of.map((one) => one && { ...one, ...part(one, from, to) }),
  };
}

function part({ values, channels }: CheckedRows, from: number, to: number) {
  return { rows: to - from, values: values.subarray(from * channels, to * channels) };
}

function withoutNulls(rows: readonly ModalityRow[], channels: number): ArrayLike<number | null>[] {
  const none = new Float32Array(channels).fill(Number.NaN);
  return rows.map((row) => row ?? none);
}

function isSilent(rows: FlatRows | readonly ArrayLike<number | null>[]): boolean {
  return isList(rows) ? rows.every(isMissing) : isMissing(rows.values);
}

function bad(sentence: string): FleetError {
  return new FleetError("BAD_INPUT", sentence);
}
