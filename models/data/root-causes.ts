import { FleetError } from "../../protocol/errors.ts";
import { fileChunks, type ReadLimits } from "./bytes.ts";

/** A labelled event with the channels that caused it. Rows from..to-1. */
export interface CausedEvent {
  readonly from: number;
  readonly to: number;
  /** Indices of channels from 0, at least one. */
  readonly channels: readonly number[];
}

/**
 * Reads the root causes of a series as SMD has them in `*_interpretation.txt`: one line "from-to:channel,channel,..." per
 * event, rows counted from 0 with `to` just past the event (as its label file shows), channels counted from 1.
 * Throws BAD_INPUT with file and line. Source: Su et al. 2019 (OmniAnomaly), the data set's `interpretation_label`.
 */
export async function readRootCauses(path: string, limits: ReadLimits = {}): Promise<CausedEvent[]> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of fileChunks(path, limits)) chunks.push(chunk);
  return parseRootCauses(Buffer.concat(chunks).toString("utf8"), path);
}

/** As `readRootCauses`, from text; `name` stands in the messages. */
export function parseRootCauses(text: string, name: string): CausedEvent[] {
  const events: CausedEvent[] = [];
  for (const [i, raw] of text.split("\n").entries()) {
    const line = raw.trim();
    if (line === "") continue;
    const match = LINE.exec(line);
    if (!match) throw bad(name, i, `is not "from-to:channel,channel,..."; correct it`);
    const [from, to] = [Number(match[1]), Number(match[2])];
    if (from >= to) throw bad(name, i, `ends at row ${to}, not after its start ${from}; correct it`);
    const channels = [...new Set(match[3]!.split(",").map((n) => Number(n) - 1))].sort((a, b) => a - b);
    if (channels[0]! < 0) throw bad(name, i, "names channel 0; channels count from 1");
    events.push({ from, to, channels });
  }
  return events;
}

const LINE = /^(\d{1,15})-(\d{1,15}):(\d{1,9}(?:,\d{1,9})*)$/;

function bad(name: string, line: number, what: string): FleetError {
  return new FleetError("BAD_INPUT", `${name}: line ${line + 1} ${what}`);
}
