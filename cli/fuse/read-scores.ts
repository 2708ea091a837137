import { parse } from "csv-parse/sync";
import { fileBytes } from "../../models/data/bytes.ts";
import { timestampOf } from "../../models/data/fields.ts";
import { FleetError } from "../../protocol/errors.ts";

/** What `starling score --out` wrote of one modality. */
export interface ScoreFile {
  readonly path: string;
  /** Of every line: its row, its time where all have one, and its probability, NaN where too little had been seen. */
  readonly rows: Float64Array;
  readonly timesMs: Float64Array | undefined;
  readonly probabilities: Float64Array;
  /** The channel that made most of each score. */
  readonly channels: readonly string[];
}

type Line = Readonly<Record<string, unknown>>;

/** Reads csv or, by the ending, JSON lines, plain or .gz. Throws BAD_INPUT with file and line. */
export async function readScoreFile(path: string): Promise<ScoreFile> {
  const text = (await fileBytes(path)).toString("utf8");
  const isJson = /\.(?:jsonl|ndjson|json)(?:\.gz)?$/.test(path);
  const lines = isJson ? jsonLines(text, path) : csvLines(text, path);
  if (lines.length === 0) throw bad(path, "has no scores; check the file");
  if (!("probability" in lines[0]!))
    throw bad(path, 'has no column "probability"; give a file that `starling score --out` wrote');
  const timed = "time" in lines[0]!;
  const keys = new Float64Array(lines.length);
  const rows = new Float64Array(lines.length);
  const probabilities = new Float64Array(lines.length);
  lines.forEach((line, i) => {
    const at = `line ${i + (isJson ? 1 : 2)}`;
    const p = numberOf(line.probability);
    if (p === undefined || p < 0 || p > 1)
      throw bad(
        path,
        `${at}: ${JSON.stringify(line.probability)} is no probability; it must be within 0 and 1`,
      );
    probabilities[i] = p;
    const row = "row" in line ? numberOf(line.row) : i;
    if (row === undefined || !Number.isInteger(row) || row < 0)
      throw bad(path, `${at}: ${JSON.stringify(line.row)} is no row; it must be a whole number from 0`);
    rows[i] = row;
    const key = timed ? timestampOf(String(line.time), false) : row;
    if (key === undefined) throw bad(path, `${at}: ${JSON.stringify(line.time)} is no time`);
    keys[i] = key;
    if (i > 0 && !(key > keys[i - 1]!))
      throw bad(path, `${at} is not after the one before it; sort the file by its ${timed ? "time" : "row"}`);
  });
  return {
    path,
    rows,
    timesMs: timed ? keys : undefined,
    probabilities,
    channels: lines.map(({ channel }) => (typeof channel === "string" ? channel : "")),
  };
}

function csvLines(text: string, path: string): Line[] {
  try {
    return parse(text, { columns: true, bom: true, trim: true, skip_empty_lines: true }) as Line[];
  } catch (cause) {
    throw bad(
      path,
      `is no csv of scores (${(cause as Error).message}); give what \`starling score --out\` wrote`,
      cause,
    );
  }
}

function jsonLines(text: string, path: string): Line[] {
  return text.split("\n").flatMap((line, i) => {
    if (line.trim() === "") return [];
    try {
      const value: unknown = JSON.parse(line);
      if (typeof value === "object" && value !== null) return [value as Line];
    } catch (cause) {
      throw bad(path, `line ${i + 1} is no JSON; give what \`starling score --out\` wrote`, cause);
    }
    throw bad(path, `line ${i + 1} is no object; give what \`starling score --out\` wrote`);
  });
}

/** NaN for what is missing, undefined for what is no number. */
function numberOf(value: unknown): number | undefined {
  if (value === null || value === undefined || value === "") return Number.NaN;
  const number = typeof value === "number" ? value : typeof value === "string" ? Number(value) : Number.NaN;
  return Number.isNaN(number) ? undefined : number;
}

function bad(path: string, what: string, cause?: unknown): FleetError {
  return new FleetError("BAD_INPUT", `${path}: ${what}`, { cause });
}
