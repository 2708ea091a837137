import type { Series } from "../../models/data/series.ts";
import { topChannels } from "../../models/scoring/top-channels.ts";
import type { AlarmFound, ScoredSeries } from "./score-series.ts";

export type ScoresFormat = "csv" | "jsonl";

/** One line for each row: row, time where it is known, score, threshold, probability, whether an alarm is open, the channel that makes most of it. */
export function* scoreLines(scored: ScoredSeries, series: Series, format: ScoresFormat): Generator<string> {
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

export function alarmViews({ alarms, terms }: ScoredSeries, series: Series): AlarmView[] {
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
function channelNamer({ names, channels }: Series, terms: number): (term: number) => string {
  return (term) => (terms === channels ? names[term]! : `term ${term + 1}`);
}

function known(value: number | undefined): number | null {
  return value === undefined || Number.isNaN(value) ? null : value;
}

function field(value: string | number | null): string {
  const text = value === null ? "" : String(value);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
