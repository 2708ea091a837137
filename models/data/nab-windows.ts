import { z } from "zod";
import { FleetError } from "../../protocol/errors.ts";
import { fileChunks, type ReadLimits } from "./bytes.ts";
import { dateOf } from "./fields.ts";

/** First and last time of every anomaly window, both inside it, per data file ("realKnownCause/nyc_taxi.csv"). */
export type NabWindows = ReadonlyMap<
  string,
  readonly { readonly firstMs: number; readonly lastMs: number }[]
>;

/**
 * Reads the anomaly windows of the Numenta Anomaly Benchmark (`combined_windows.json`). Throws BAD_INPUT for another form.
 */
export async function readNabWindows(path: string, limits: ReadLimits = {}): Promise<NabWindows> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of fileChunks(path, limits)) chunks.push(chunk);
  return parseNabWindows(Buffer.concat(chunks).toString("utf8"), path);
}

/** As `readNabWindows`, from text; `name` stands in the message. */
export function parseNabWindows(text: string, name: string): NabWindows {
  try {
    return new Map(Object.entries(File.parse(JSON.parse(text))));
  } catch (cause) {
    throw new FleetError(
      "BAD_INPUT",
      `${name}: is no JSON of {"file": [["first time", "last time"], ...]}; give NAB's combined_windows.json`,
      { cause },
    );
  }
}

/** The rows of each window in a series with these times, ascending: from..to-1. Windows without a row are left out. */
export function rowsOfWindows(
  windows: readonly { readonly firstMs: number; readonly lastMs: number }[],
  timestampsMs: Float64Array,
): { from: number; to: number }[] {
  return windows
    .map(({ firstMs, lastMs }) => ({
      from: timestampsMs.findIndex((ms) => ms >= firstMs),
      to: timestampsMs.findLastIndex((ms) => ms <= lastMs) + 1,
    }))
    .filter(({ from, to }) => from >= 0 && from < to)
    .sort((a, b) => a.from - b.from);
}

const Time = z.string().transform((text, context) => {
  const ms = dateOf(text);
  if (ms === undefined) context.addIssue({ code: "custom", message: `"${text}" is no time` });
  return ms ?? 0;
});
const File = z.record(
  z.string(),
  z.array(z.tuple([Time, Time]).transform(([firstMs, lastMs]) => ({ firstMs, lastMs }))),
);
