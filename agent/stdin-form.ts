import { type Clock, type LinePreparerState, linePreparer } from "../models/data/line-preparer.ts";
import { type LineForm, parseSample, type Sample } from "../models/data/sample-line.ts";
import { channelKindsOf, channelsOf, hasCounters, type Schema } from "../models/data/schema.ts";
import { columnLog } from "./column-log.ts";
import type { Log } from "./log.ts";
import { sourceKey } from "./source.ts";

/** How the lines of a stream become samples. */
export interface StdinForm {
  readonly key: string;
  readonly channels: number;
  readonly names: readonly string[] | undefined;
  /** A letter a channel, where columns are prepared. */
  readonly kinds?: string | undefined;
  /** Throws BAD_INPUT with what is wrong with the line. */
  parse(text: string): Sample;
  /** What counters go on from. */
  prepared?(): LinePreparerState | undefined;
}

export function plainForm(form: LineForm): StdinForm {
  const { channels, names } = form;
  return { key: sourceKey("stdin"), channels, names, parse: (text) => parseSample(text, form) };
}

export interface PreparedFormOptions {
  /** What counters are measured by; without it the first line says it, and there is a rate for those without times. */
  readonly clock: Clock | undefined;
  readonly rateHz: number | undefined;
  /** The state of counters in the checkpoint of the source with this key. */
  readonly resume: (key: string) => LinePreparerState | undefined;
  readonly log: Log;
}

/** Columns of several kinds. */
export function preparedForm(schema: Schema, { clock, rateHz, resume, log }: PreparedFormOptions): StdinForm {
  const names = channelsOf(schema);
  const kinds = channelKindsOf(schema, clock === "rows" && rateHz === undefined ? "row" : "second");
  const key = sourceKey("stdin", { names, kinds });
  const onProblem = columnLog(log);
  const preparer = linePreparer(schema, { rateHz, clock, state: resume(key), onProblem });
  let warned = !hasCounters(schema);
  const warnOfRows = () => {
    if (warned) return;
    warned = true;
    log.warn(
      {},
      'counters are measured by rows without a time, which is wrong over rows that are lost: give each line its time, "t"',
    );
  };
  if (clock === "rows") warnOfRows();
  return {
    key,
    channels: names.length,
    names,
    kinds,
    parse(text) {
      const sample = preparer.parse(text);
      if (sample.atMs === undefined) warnOfRows();
      return sample;
    },
    prepared: preparer.state,
  };
}
