import { TextDecoder } from "node:util";
import { FleetError } from "../../protocol/errors.ts";
import { DEFAULT_MAX_BYTES, fileChunks, type ReadLimits, tooLarge } from "./bytes.ts";
import { FloatColumn } from "./float-column.ts";
import type { LinePreparer } from "./line-preparer.ts";
import { formOf, type LineForm, lineHead, parseSample, type Sample } from "./sample-line.ts";
import { channelNames, rateOf, type Series } from "./series.ts";

export interface JsonLinesOptions extends ReadLimits {
  /** Rows per second; without it, it comes from the times. */
  readonly rateHz?: number | undefined;
  /** Called once, with the names of the first line: what prepares the lines, where columns are of several kinds. */
  readonly prepare?: ((columns: readonly string[] | undefined) => LinePreparer) | undefined;
}

/** A line beyond this is no sample: a JSON file without line ends, or no text at all. */
const MAX_LINE_BYTES = 1024 * 1024;

/**
 * Reads JSON lines (`.jsonl`, `.ndjson`, also `.gz`) as they stream in: an object with a number per channel and, where known, its time `t`, or an array
 * of numbers; null is missing. The first line says which channels there are; it is the form that an agent reads on stdin. Empty lines
 * are skipped. Either all lines have a time or none. Throws BAD_INPUT with file and line.
 */
export async function readJsonLines(path: string, options: JsonLinesOptions = {}): Promise<Series> {
  const maxBytes = options.maxBytes ?? DEFAULT_MAX_BYTES;
  const values = new FloatColumn(Math.floor(maxBytes / 4), () => tooLarge(path, maxBytes));
  const timesMs: number[] = [];
  let reader: LineParser | undefined;
  let rows = 0;
  let line = 0;
  const take = (text: string) => {
    line++;
    if (text.trim() === "") return;
    try {
      reader ??= parserOf(text, options);
      const sample = reader.parse(text);
      if (rows > 0 && (sample.atMs !== undefined) !== timesMs.length > 0)
        throw new FleetError(
          "BAD_INPUT",
          "some lines have a time `t` and some have none; give it to all or to none",
        );
      if (sample.atMs !== undefined) timesMs.push(sample.atMs);
      for (const value of sample.values) values.push(value);
      rows++;
    } catch (cause) {
      if (cause instanceof FleetError && cause.message.startsWith(path)) throw cause;
      throw new FleetError("BAD_INPUT", `${path}: line ${line}: ${(cause as Error).message}`, { cause });
    }
  };
  const decoder = new TextDecoder("utf-8", { fatal: true });
  let pending = "";
  const feed = (text: string) => {
    const lines = (pending + text).split("\n");
    pending = lines.pop()!;
    for (const one of lines) take(one);
    if (pending.length > MAX_LINE_BYTES)
      throw new FleetError(
        "BAD_INPUT",
        `${path}: line ${line + 1} is longer than ${MAX_LINE_BYTES} bytes; put each sample on its own line`,
      );
  };
  for await (const chunk of fileChunks(path, options))
    feed(decoded(decoder, chunk, { path, line: line + 1 }));
  feed(decoded(decoder, undefined, { path, line: line + 1 }));
  if (pending !== "") take(pending);
  if (reader === undefined) throw new FleetError("BAD_INPUT", `${path}: has no samples; check the file`);
  const timestampsMs = timesMs.length > 0 ? Float64Array.from(timesMs) : undefined;
  const rateHz = options.rateHz ?? (timestampsMs ? rateOf(timestampsMs) : undefined);
  return {
    rows,
    channels: reader.names.length,
    values: values.finish(),
    names: reader.names,
    ...(timestampsMs ? { timestampsMs } : {}),
    ...(rateHz === undefined ? {} : { rateHz }),
  };
}

interface LineParser {
  /** The channels. */
  readonly names: readonly string[];
  parse(text: string): Sample;
}

/** What the first line asks for. */
function parserOf(text: string, { prepare }: JsonLinesOptions): LineParser {
  if (prepare !== undefined) {
    const preparer = prepare(lineHead(text).names);
    return { names: preparer.channels, parse: (line) => preparer.parse(line) };
  }
  const form: LineForm = formOf(text);
  return {
    names: form.names ?? channelNames(form.channels),
    parse: (line) => parseSample(line, form),
  };
}

function decoded(
  decoder: TextDecoder,
  chunk: Uint8Array | undefined,
  { path, line }: { readonly path: string; readonly line: number },
): string {
  try {
    return decoder.decode(chunk, { stream: chunk !== undefined });
  } catch (cause) {
    throw new FleetError(
      "BAD_INPUT",
      `${path}: is not UTF-8 text in or after line ${line}; save it as UTF-8`,
      { cause },
    );
  }
}
