import { FleetError } from "../../protocol/errors.ts";
import { type CsvOptions, readCsv } from "./csv.ts";
import { type NpyArray, readNpy } from "./npy.ts";
import { channelNames, type Series } from "./series.ts";

/** Endings that `readSeries` knows, each also with `.gz`. */
export const SERIES_ENDINGS = [
  ".npy",
  ".csv",
  ".tsv",
  ".txt",
  ".jsonl",
  ".ndjson",
  ".parquet",
  ".wav",
] as const;

export interface ReadOptions extends CsvOptions {
  /** Names for the channels, in place of those in the file. */
  readonly names?: readonly string[] | undefined;
}

/**
 * Reads a series by its ending: `.npy` of shape (rows, channels) or (rows); `.csv`, `.tsv`, `.txt`; JSON lines as `.jsonl` or `.ndjson`;
 * `.parquet`; a recording as `.wav`, whose rows are the frames of its log-mel spectrogram; all also `.gz`.
 * Infinities become NaN, which is "missing". Throws BAD_INPUT with the file and the place in it.
 */
export async function readSeries(path: string, options: ReadOptions = {}): Promise<Series> {
  const series = await seriesOf(path, options);
  return options.names ? renamed(series, options.names, path) : series;
}

/** What is rare is loaded when it is asked for: an agent has little memory. */
async function seriesOf(path: string, options: ReadOptions): Promise<Series> {
  switch (fileKind(path)) {
    case "npy":
      return npySeries(await readNpy(path, options), path, options.rateHz);
    case "csv":
      return (await readCsv(path, options)).series;
    case "json":
      return await (await import("./json-lines.ts")).readJsonLines(path, options);
    case "parquet":
      return await (await import("./parquet.ts")).readParquet(path, options);
    case "wav":
      return await (await import("./log-mel.ts")).readLogMel(path, options);
  }
}

export interface LabelOptions extends CsvOptions {
  /** The rows of the series that the labels belong to. */
  readonly rows?: number | undefined;
}

/**
 * Reads labels, 0 = normal and 1 = anomalous: `.npy` of shape (rows), or a CSV with one column of numbers, or with
 * `labelColumn`. Throws BAD_INPUT for another value, and for another count than `rows`.
 */
export async function readLabels(path: string, options: LabelOptions = {}): Promise<Uint8Array> {
  const kind = fileKind(path);
  if (kind !== "npy" && kind !== "csv") throw bad(path, "can't hold labels; use .npy or .csv for them");
  const labels = await (kind === "npy" ? npyLabels(path, options) : csvLabels(path, options));
  if (options.rows !== undefined && labels.length !== options.rows) {
    throw bad(
      path,
      `holds ${labels.length} labels for a series of ${options.rows} rows; give the labels of that series`,
    );
  }
  return labels;
}

export type FileKind = "npy" | "csv" | "json" | "parquet" | "wav";

const KINDS: Readonly<Record<(typeof SERIES_ENDINGS)[number], FileKind>> = {
  ".npy": "npy",
  ".csv": "csv",
  ".tsv": "csv",
  ".txt": "csv",
  ".jsonl": "json",
  ".ndjson": "json",
  ".parquet": "parquet",
  ".wav": "wav",
};

/** Throws BAD_INPUT for an ending that none is known by. */
export function fileKind(path: string): FileKind {
  const ending = SERIES_ENDINGS.find((e) => path.endsWith(e) || path.endsWith(`${e}.gz`));
  if (!ending)
    throw bad(path, `has an unknown ending; use one of ${SERIES_ENDINGS.join(", ")}, plain or with .gz`);
  return KINDS[ending];
}

function npySeries(array: NpyArray, path: string, rateHz: number | undefined): Series {
  const [rows = 0, channels = 1] = array.shape;
  if (array.shape.length < 1 || array.shape.length > 2) {
    throw bad(
      path,
      `has ${array.shape.length} dimensions (key 'shape'); a series is (rows) or (rows, channels)`,
    );
  }
  if (rows === 0 || channels === 0) throw bad(path, `holds no values (key 'shape'); check the file`);
  const { values } = array;
  for (let i = 0; i < values.length; i++) if (!Number.isFinite(values[i])) values[i] = Number.NaN;
  return {
    rows,
    channels,
    values,
    names: channelNames(channels),
    ...(rateHz === undefined ? {} : { rateHz }),
  };
}

async function npyLabels(path: string, options: LabelOptions): Promise<Uint8Array> {
  const { values, shape } = await readNpy(path, options);
  if (shape.slice(1).some((n) => n !== 1) || shape.length === 0) {
    throw bad(path, `has shape (${shape.join(", ")}) (key 'shape'); labels are (rows)`);
  }
  return labelsOf(values, path);
}

async function csvLabels(path: string, options: LabelOptions): Promise<Uint8Array> {
  const { labels, series } = await readCsv(path, options);
  if (labels) return labels;
  if (series.channels !== 1) {
    throw bad(path, `has ${series.channels} columns of numbers; say which one is the label (labelColumn)`);
  }
  return labelsOf(series.values, path);
}

function labelsOf(values: Float32Array, path: string): Uint8Array {
  const wrong = values.findIndex((value) => value !== 0 && value !== 1);
  if (wrong >= 0) throw bad(path, `row ${wrong + 1} holds the label ${values[wrong]}; labels are 0 and 1`);
  return Uint8Array.from(values);
}

function renamed(series: Series, names: readonly string[], path: string): Series {
  if (names.length !== series.channels) {
    throw bad(path, `has ${series.channels} channels but ${names.length} names are given; give one for each`);
  }
  return { ...series, names };
}

function bad(path: string, what: string): FleetError {
  return new FleetError("BAD_INPUT", `${path}: ${what}`);
}
