import type { Readable } from "node:stream";
import type { LinePreparerState } from "../models/data/line-preparer.ts";
import { readSeries } from "../models/data/read.ts";
import { formOf, lineHead, type Sample } from "../models/data/sample-line.ts";
import type { Kinds } from "../models/data/schema.ts";
import { FleetError } from "../protocol/errors.ts";
import type { Clock } from "./clock.ts";
import { columnLog } from "./column-log.ts";
import { freeMemory } from "./free-memory.ts";
import { type Line, lineReader } from "./line-reader.ts";
import type { Log } from "./log.ts";
import { ringData } from "./recent-data.ts";
import type { Batch, Source } from "./source.ts";
import {
  formOfHead,
  formOfHistory,
  type History,
  namedLines,
  plainForm,
  type StdinForm,
} from "./stdin-form.ts";

/**
 * JSON lines: an array of numbers or null, or an object of them by channel (then with an optional time "t"). The first good line fixes the
 * channels and their order, unless `channels` or the history names them. Any other line is counted, logged with its number, and left out.
 * With `kinds`, values may be words too, and what the lines or the history name are the columns that channels are made of.
 */
export interface StdinOptions {
  readonly kind: "stdin";
  readonly input: Readable;
  readonly channels?: readonly string[] | undefined;
  /** A file of data recorded before, with the same channels: fills the window at once and is not scored. */
  readonly history?: string | undefined;
  /** What columns are where they are no gauges. */
  readonly kinds?: Kinds | undefined;
  /** Rows per second of lines and a history without times. */
  readonly rateHz?: number | undefined;
}

/** 512 channels of 25 characters, with names as long again. */
const maxLineBytes = 64 * 1024;
/** Bad lines that are logged one by one; after them, every thousandth. */
const loggedLines = 20;

export interface OpenStdin {
  readonly clock: Clock;
  readonly log: Log;
  readonly signal?: AbortSignal | undefined;
  /** The state of counters in the checkpoint of the source with this key. */
  readonly resume?: ((key: string) => LinePreparerState | undefined) | undefined;
}

/**
 * Waits for the first good line where the channels are not named. Throws BAD_INPUT where the input ends before it, and for a history that
 * can't be read or has other channels.
 */
export async function openStdin(
  options: StdinOptions,
  { clock, log, signal, resume = () => undefined }: OpenStdin,
): Promise<Source> {
  const { input, channels, kinds, rateHz } = options;
  let past =
    options.history === undefined ? undefined : await readHistory(options.history, options, { log, signal });
  const lines = readLines(input, signal);
  let bad = 0;
  const refuse = (number: number, reason: string) => {
    bad += 1;
    if (bad <= loggedLines || bad % 1000 === 0)
      log.warn({ line: number, badLines: bad }, `line ${number} of the input is left out: ${reason}`);
  };
  const read = <T>(line: Line, parse: (text: string) => T): T | undefined => {
    if ("tooLong" in line) {
      refuse(line.number, `it is longer than ${maxLineBytes} bytes`);
      return undefined;
    }
    if (line.text === "") return undefined;
    try {
      return parse(line.text);
    } catch (error) {
      if (!(error instanceof FleetError)) throw error;
      refuse(line.number, error.message);
      return undefined;
    }
  };

  const forms = { ...options, resume, log };
  let form = past && formOfHistory(past, forms);
  // With named channels either kind of line will do; the named ones are looked up in objects.
  if (kinds === undefined && channels !== undefined) form ??= plainForm(namedLines(channels));
  const firstForm = (line: Line): StdinForm | undefined => {
    if (kinds === undefined) {
      const found = read(line, formOf);
      return found && plainForm(found);
    }
    const head = read(line, lineHead);
    return head && formOfHead(head, kinds, forms);
  };
  let waiting: Sample[] = [];
  while (form === undefined) {
    const next = await lines.next();
    if (next.done)
      throw new FleetError(
        "BAD_INPUT",
        "the input ended before its first sample; give JSON lines, one sample a line",
      );
    for (const line of next.value) {
      form ??= firstForm(line);
      const known = form;
      const sample = known && read(line, (text) => known.parse(text));
      if (sample !== undefined) waiting.push(sample);
    }
  }
  const known = form;
  const pastRateHz = past?.series.rateHz;

  return {
    key: known.key,
    channels: known.channels,
    names: known.names,
    kinds: known.kinds,
    ...(known.prepared && { prepared: known.prepared }),
    rateHz: rateHz ?? pastRateHz,
    timed: true,
    seekable: false,
    hold: false,
    before(_row, capacity) {
      const recent = ringData({ channels: known.channels, capacity });
      if (past !== undefined) recent.fill(past.series.values);
      past = undefined; // copied: a device need not hold it twice
      freeMemory();
      return recent;
    },
    async *batches({ signal: stop }) {
      const end = () => void input.destroy();
      stop.addEventListener("abort", end);
      try {
        if (waiting.length > 0) yield batchOf(waiting, known.channels, clock.wallMs());
        waiting = [];
        for await (const group of { [Symbol.asyncIterator]: () => lines }) {
          if (stop.aborted) return;
          const samples = group.flatMap((line) => read(line, (text) => known.parse(text)) ?? []);
          if (samples.length > 0) yield batchOf(samples, known.channels, clock.wallMs());
        }
      } catch (cause) {
        if (!stop.aborted) throw new FleetError("BAD_INPUT", "the input can't be read any more", { cause });
      } finally {
        stop.removeEventListener("abort", end);
      }
    },
  };
}

/** The history, prepared where columns have kinds. */
async function readHistory(
  file: string,
  { channels, kinds, rateHz }: StdinOptions,
  { log, signal }: Pick<OpenStdin, "log" | "signal">,
): Promise<History> {
  const past: History =
    kinds === undefined
      ? { series: await readSeries(file, { rateHz, signal }), schema: undefined }
      : await (await import("../models/data/prepared-file.ts")).readPrepared(file, {
          kinds,
          rateHz,
          signal,
          onProblem: columnLog(log, file),
        });
  const names = past.schema?.columns.map(({ name }) => name) ?? past.series.names;
  if (channels !== undefined && channels.join("\n") !== names.join("\n")) {
    throw new FleetError(
      "BAD_INPUT",
      `${file} has the channels ${names.join(", ")}, not ${channels.join(", ")}: give the history of this device`,
    );
  }
  return past;
}

async function* readLines(input: Readable, signal: AbortSignal | undefined): AsyncGenerator<Line[]> {
  const reader = lineReader(maxLineBytes);
  const stop = () => void input.destroy();
  signal?.addEventListener("abort", stop);
  try {
    for await (const chunk of input)
      yield reader.push(typeof chunk === "string" ? Buffer.from(chunk) : chunk);
    yield reader.end();
  } finally {
    signal?.removeEventListener("abort", stop);
  }
}

function batchOf(samples: readonly Sample[], channels: number, nowMs: number): Batch {
  const values = new Float32Array(samples.length * channels);
  for (const [i, sample] of samples.entries()) values.set(sample.values, i * channels);
  return { values, rows: samples.length, atMs: (index) => samples[index]?.atMs ?? nowMs };
}
