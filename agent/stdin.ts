import type { Readable } from "node:stream";
import { readSeries } from "../models/data/read.ts";
import { formOf, type LineForm, parseSample, type Sample } from "../models/data/sample-line.ts";
import { FleetError } from "../protocol/errors.ts";
import type { Clock } from "./clock.ts";
import { freeMemory } from "./free-memory.ts";
import { type Line, lineReader } from "./line-reader.ts";
import type { Log } from "./log.ts";
import { ringData } from "./recent-data.ts";
import type { Batch, Source } from "./source.ts";

/**
 * JSON lines: an array of numbers or null, or an object of them by channel (then with an optional time "t"). The first good line fixes the
 * channels and their order, unless `channels` or the history names them. Any other line is counted, logged with its number, and left out.
 */
export interface StdinOptions {
  readonly kind: "stdin";
  readonly input: Readable;
  readonly channels?: readonly string[] | undefined;
  /** A file of data recorded before, with the same channels: fills the window at once and is not scored. */
  readonly history?: string | undefined;
}

/** 512 channels of 25 characters, with names as long again. */
const maxLineBytes = 64 * 1024;
/** Bad lines that are logged one by one; after them, every thousandth. */
const loggedLines = 20;

/**
 * Waits for the first good line where the channels are not named. Throws BAD_INPUT where the input ends before it, and for a history that
 * can't be read or has other channels.
 */
export async function openStdin(
  { input, channels, history }: StdinOptions,
  {
    clock,
    log,
    signal,
  }: { readonly clock: Clock; readonly log: Log; readonly signal?: AbortSignal | undefined },
): Promise<Source> {
  let past = history === undefined ? undefined : await readHistory(history, { channels, signal });
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

  let form: LineForm | undefined;
  let waiting: Sample[] = [];
  // With named channels either kind of line will do; the named ones are looked up in objects.
  const named = channels ?? past?.names;
  if (named !== undefined) form = { kind: "object", channels: named.length, names: named };
  while (form === undefined) {
    const next = await lines.next();
    if (next.done)
      throw new FleetError(
        "BAD_INPUT",
        "the input ended before its first sample; give JSON lines, one sample a line",
      );
    for (const line of next.value) {
      form ??= read(line, formOf);
      if (form === undefined) continue;
      const known = form;
      const sample = read(line, (text) => parseSample(text, known));
      if (sample !== undefined) waiting.push(sample);
    }
  }
  const known = form;

  return {
    key: "stdin",
    channels: known.channels,
    names: known.names,
    rateHz: past?.rateHz,
    timed: true,
    seekable: false,
    hold: false,
    before(_row, capacity) {
      const recent = ringData({ channels: known.channels, capacity });
      if (past !== undefined) recent.fill(past.values);
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
          const samples = group.flatMap((line) => read(line, (text) => parseSample(text, known)) ?? []);
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

async function readHistory(
  file: string,
  {
    channels,
    signal,
  }: { readonly channels: readonly string[] | undefined; readonly signal?: AbortSignal | undefined },
): Promise<{
  readonly names: readonly string[];
  readonly values: Float32Array;
  readonly rateHz: number | undefined;
}> {
  const { names, values, rateHz } = await readSeries(file, { signal });
  if (channels !== undefined && channels.join("\n") !== names.join("\n")) {
    throw new FleetError(
      "BAD_INPUT",
      `${file} has the channels ${names.join(", ")}, not ${channels.join(", ")}: give the history of this device`,
    );
  }
  return { names, values, rateHz };
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
