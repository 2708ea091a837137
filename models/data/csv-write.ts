import { createWriteStream } from "node:fs";
import { pipeline } from "node:stream/promises";
import { FleetError } from "../../protocol/errors.ts";
import type { Series } from "./series.ts";

/** Writes a series as CSV with a header, a `timestamp` column when it has times, and empty fields for missing values. */
export async function writeCsv(path: string, series: Series): Promise<void> {
  try {
    await pipeline(csvText(series), createWriteStream(path));
  } catch (cause) {
    const why = (cause as NodeJS.ErrnoException).code ?? String(cause);
    throw new FleetError("BAD_INPUT", `${path}: can't be written (${why}); check the folder`, { cause });
  }
}

function* csvText({ rows, channels, values, names, timestampsMs }: Series): Generator<string> {
  const header = names.map((name) => (/[",;\t|\n]/.test(name) ? `"${name.replaceAll('"', '""')}"` : name));
  let lines = `${[...(timestampsMs ? ["timestamp"] : []), ...header].join(",")}\n`;
  for (let row = 0; row < rows; row++) {
    const fields = timestampsMs ? [new Date(timestampsMs[row]!).toISOString()] : [];
    for (let c = 0; c < channels; c++) fields.push(shortest(values[row * channels + c]!));
    lines += `${fields.join(",")}\n`;
    if (lines.length < CHUNK_CHARS) continue;
    yield lines;
    lines = "";
  }
  yield lines;
}

const CHUNK_CHARS = 64 * 1024;

/** The fewest digits that read back as the same float32; nine always do. */
function shortest(value: number): string {
  if (Number.isNaN(value)) return "";
  for (const digits of [6, 7, 8]) {
    const text = String(Number(value.toPrecision(digits)));
    if (Math.fround(Number(text)) === value) return text;
  }
  return String(Number(value.toPrecision(9)));
}
