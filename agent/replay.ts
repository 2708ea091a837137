import { resolve } from "node:path";
import type { PreparedFileOptions } from "../models/data/prepared-file.ts";
import { readSeries } from "../models/data/read.ts";
import type { Kinds } from "../models/data/schema.ts";
import type { Series } from "../models/data/series.ts";
import { FleetError } from "../protocol/errors.ts";
import type { Clock } from "./clock.ts";
import { columnLog } from "./column-log.ts";
import { freeMemory } from "./free-memory.ts";
import type { Log } from "./log.ts";
import { replayedData } from "./recent-data.ts";
import { type Source, sourceKey } from "./source.ts";

export interface ReplayOptions {
  readonly kind: "replay";
  readonly file: string;
  /** Data recorded before the file's: fills the window at once and is not scored. */
  readonly history?: string | undefined;
  /** Rows per second; 0 = as fast as it can. */
  readonly speed: number;
  /** Start the live rows only when the task is serving and its version is installed: for evaluations. */
  readonly hold: boolean;
  readonly rateHz?: number | undefined;
  /** What columns are where they are no gauges. */
  readonly kinds?: Kinds | undefined;
}

/** Rows of one batch when nothing paces them. The scorer itself gives way between rows. */
const batchRows = 1024;

export interface OpenReplay {
  readonly clock: Clock;
  /** Rows of history that are of use. */
  readonly keepRows: number;
  readonly signal?: AbortSignal | undefined;
  readonly log: Log;
}

/** Plays a recorded file as if it came from the device now. Throws BAD_INPUT. */
export async function openReplay(options: ReplayOptions, { clock, ...reading }: OpenReplay): Promise<Source> {
  const { speed } = options;
  const { series, kinds, recorded, values } = await readBoth(options, reading);
  const { channels, rows } = series;
  const live = values.subarray(recorded * channels);
  const rate = series.rateHz ?? (speed > 0 ? speed : 1);
  return {
    key: sourceKey(`replay:${resolve(options.file)}`, { names: series.names, kinds }),
    channels,
    names: series.names,
    kinds,
    rateHz: series.rateHz ?? (speed > 0 ? speed : undefined),
    timed: false, // what the file does not say is made up here
    seekable: true,
    hold: options.hold,
    before: (row, capacity) =>
      replayedData({ channels, capacity, values, seen: recorded + Math.min(row, rows) }),
    async *batches({ from, startedMs, signal: stop }) {
      const beganMs = clock.steadyMs();
      let row = from;
      while (row < rows && !stop.aborted) {
        const played = ((clock.steadyMs() - beganMs) / 1000) * speed;
        const due = speed === 0 ? row + batchRows : from + Math.floor(played) + 1;
        const to = Math.min(rows, due, row + batchRows);
        if (to <= row) {
          await clock.sleep(Math.max(1, ((row - from - played) / speed) * 1000), stop);
          continue;
        }
        const first = row;
        row = to;
        yield {
          values: live.subarray(first * channels, to * channels),
          rows: to - first,
          atMs: (index) =>
            series.timestampsMs?.[first + index] ?? startedMs + ((first + index) * 1000) / rate,
        };
      }
    },
  };
}

interface Recording extends Live {
  /** Rows of history. */
  readonly recorded: number;
  /** (recorded + rows, channels): one array in shared memory, history first. */
  readonly values: Float32Array;
}

type Reading = Omit<OpenReplay, "clock">;

async function readBoth(options: ReplayOptions, reading: Reading): Promise<Recording> {
  const { file, history } = options;
  const { keepRows } = reading;
  const read = await fileReader(options, reading);
  const { room, ...live } = await readLive(options, { keepRows, read });
  const { channels } = live.series;
  if (history === undefined) return { ...live, recorded: 0, values: room };
  freeMemory(); // what was read is in `room`; the next file needs as much again
  const { values, rows, channels: width } = (await read(history)).series;
  if (width !== channels) {
    throw new FleetError(
      "BAD_INPUT",
      `${history} has ${width} channels and ${file} has ${channels}: give files of one device`,
    );
  }
  const recorded = Math.min(rows, keepRows);
  room.set(values.subarray((rows - recorded) * channels), (keepRows - recorded) * channels);
  return { ...live, recorded, values: room.subarray((keepRows - recorded) * channels) };
}

interface Live {
  /** All but the values. */
  readonly series: Omit<Series, "values">;
  /** A letter a channel, where columns are prepared. */
  readonly kinds?: string | undefined;
}

/** The live rows, behind room for `keepRows` rows of history. Pages of it that are never written to take no memory. */
async function readLive(
  { file, history }: ReplayOptions,
  { keepRows, read }: { readonly keepRows: number; readonly read: FileReader },
): Promise<Live & { readonly room: Float32Array }> {
  const { series: whole, kinds } = await read(file);
  const { values, ...series } = whole;
  const { channels, rows } = series;
  const before = history === undefined ? 0 : keepRows;
  const room = new Float32Array(new SharedArrayBuffer((before + rows) * channels * 4));
  room.set(values, before * channels);
  return { room, series, kinds };
}

type FileReader = (file: string) => Promise<{ readonly series: Series; readonly kinds?: string | undefined }>;

/** Where columns have kinds, the first file that is read says what columns there are. */
async function fileReader({ rateHz, kinds }: ReplayOptions, { signal, log }: Reading): Promise<FileReader> {
  if (kinds === undefined) return async (file) => ({ series: await readSeries(file, { rateHz, signal }) });
  const { readPrepared } = await import("../models/data/prepared-file.ts");
  let like: PreparedFileOptions["like"];
  return async (path) => {
    const read = await readPrepared(path, { kinds, rateHz, signal, like, onProblem: columnLog(log, path) });
    like ??= { path, schema: read.schema, kinds: read.kinds };
    return read;
  };
}
