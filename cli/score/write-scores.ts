import { createWriteStream } from "node:fs";
import { Readable, type Writable } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { Series } from "../../models/data/series.ts";
import { topChannels } from "../../models/scoring/top-channels.ts";
import { FleetError } from "../../protocol/errors.ts";
import type { AlarmFound, ScoredSeries } from "./score-series.ts";

export type ScoresFormat = "csv" | "jsonl";

/** `out`: a path, - for stdout; csv or jsonl, by its ending where nothing is said. Throws BAD_INPUT where it can't be written. */
export async function writeScores(
  scored: ScoredSeries,
  series: Labelled,
  o: { readonly out: string; readonly format: ScoresFormat | undefined; readonly stdout: Writable },
): Promise<void> {
  const { out, stdout } = o;
  const format = o.format ?? (/\.(?:jsonl|ndjson|json)$/.test(out) ? "jsonl" : "csv");
  const lines = Readable.from(scoreLines(scored, series, format));
  if (out === "-") return await pipeline(lines, stdout, { end: false });
  await pipeline(lines, createWriteStream(out)).catch((cause: Error) => {
    throw new FleetError("BAD_INPUT", `${out}: can't be written (${cause.message}); check the path`, {
      cause,
    });
  });
}

/** What a line says of its row beside the score. */
export type Labelled = Pick<Series, "names" | "channels" | "timestampsMs">;

/** One line for each row: row, time where it is known, score, threshold, probability, whether an alarm is open, the channel that makes most of it. */
export function* scoreLines(scored: ScoredSeries, series: Labelled, format: ScoresFormat): Generator<string> {
  const { scores, threshold, probabilities, contributions, terms, alarms } = scored;
  const times = series.timestampsMs;
  const name = channelNamer(series, terms);
  const alarmed = new Uint8Array(scores.length);
  for (const { from, to } of alarms) alarmed.fill(1, from, to);
  if (format === "csv") yield `row,${times ? "time," : ""}score,threshold,probability,alarm,channel\n`;
  for (let row = 0; row < scores.length; row++) {
    const top = topChannels(contributions.subarray(row * terms, (row + 1) * terms), 1)[0];
    const line = {
      row,
      ...(times && { time: new Date(times[row]!).toISOString() }),
      score: known(scores[row]),
      threshold,
      probability: known(probabilities[row]),
      alarm: alarmed[row]!,
      channel: top === undefined ? null : name(top.channel),
    };
    yield format === "csv" ? `${Object.values(line).map(field).join(",")}\n` : `${JSON.stringify(line)}\n`;
  }
}

export interface AlarmView extends Omit<AlarmFound, "channels"> {
  readonly fromTime: string | null;
  readonly toTime: string | null;
  readonly channels: readonly { readonly name: string; readonly share: number }[];
}

export function alarmViews(
  { alarms, terms }: Pick<ScoredSeries, "alarms" | "terms">,
  series: Labelled,
): AlarmView[] {
  const name = channelNamer(series, terms);
  const time = (row: number) =>
    series.timestampsMs ? new Date(series.timestampsMs[row]!).toISOString() : null;
  return alarms.map(({ channels, ...alarm }) => ({
    ...alarm,
    fromTime: time(alarm.from),
    toTime: time(alarm.to - 1),
    channels: channels.map(({ channel, share }) => ({ name: name(channel), share })),
  }));
}

/** Terms that are not the channels are numbered. */
function channelNamer({ names, channels }: Labelled, terms: number): (term: number) => string {
  return (term) => (terms === channels ? names[term]! : `term ${term + 1}`);
}

function known(value: number | undefined): number | null {
  return value === undefined || Number.isNaN(value) ? null : value;
}

function field(value: string | number | null): string {
  const text = value === null ? "" : String(value);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
