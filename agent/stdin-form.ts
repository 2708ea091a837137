import { type Clock, type LinePreparerState, linePreparer } from "../models/data/line-preparer.ts";
import { type LineForm, type LineHead, parseSample, type Sample } from "../models/data/sample-line.ts";
import {
  channelKindsOf,
  channelsOf,
  deviceSchema,
  hasCounters,
  type Kinds,
  type Schema,
} from "../models/data/schema.ts";
import type { Series } from "../models/data/series.ts";
import { FleetError } from "../protocol/errors.ts";
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

/** The device's past, and what its columns are where they have kinds. */
export interface History {
  readonly series: Series;
  readonly schema?: Schema | undefined;
}

export interface FormOptions {
  /** The columns' names in the lines, where they are given. */
  readonly channels?: readonly string[] | undefined;
  readonly rateHz?: number | undefined;
  /** The state of counters in the checkpoint of the source with this key. */
  readonly resume: (key: string) => LinePreparerState | undefined;
  readonly log: Log;
}

/** Lines that go on from a history. */
export function formOfHistory({ series, schema }: History, options: FormOptions): StdinForm {
  if (schema === undefined) return plainForm(namedLines(options.channels ?? series.names));
  // With a rate, all are rates per second, whether these lines have times or not.
  const clock = options.rateHz === undefined ? clockOf(series.timestampsMs !== undefined) : undefined;
  return preparedForm(schema, clock, options);
}

/** Lines of columns of several kinds, of which the first one is all that is known. Throws BAD_INPUT where nothing names them. */
export function formOfHead({ names, timed }: LineHead, kinds: Kinds, options: FormOptions): StdinForm {
  const columns = options.channels ?? names;
  if (columns === undefined)
    throw new FleetError(
      "BAD_INPUT",
      "the input has arrays, which have no names, and kinds go by names: give an object a line, or a --history whose first line names the columns",
    );
  return preparedForm(deviceSchema(columns, kinds, "the input's first line"), clockOf(timed), options);
}

export function namedLines(names: readonly string[]): LineForm {
  return { kind: "object", channels: names.length, names };
}

export function plainForm(form: LineForm): StdinForm {
  const { channels, names } = form;
  return { key: sourceKey("stdin"), channels, names, parse: (text) => parseSample(text, form) };
}

function clockOf(timed: boolean): Clock {
  return timed ? "times" : "rows";
}

/** Columns of several kinds. `clock`: what counters are measured by; without it the first line says it, and there is a rate for those without times. */
function preparedForm(
  schema: Schema,
  clock: Clock | undefined,
  { rateHz, resume, log }: FormOptions,
): StdinForm {
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
