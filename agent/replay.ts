import { resolve } from "node:path";
import { readSeries } from "../models/data/read.ts";
import type { Series } from "../models/data/series.ts";
import { FleetError } from "../protocol/errors.ts";
import type { Clock } from "./clock.ts";
import { freeMemory } from "./free-memory.ts";
import { replayedData } from "./recent-data.ts";
import type { Source } from "./source.ts";

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
}

/** Rows of one batch when nothing paces them. The scorer itself gives way between rows. */
const batchRows = 1024;

export interface OpenReplay {
  readonly clock: Clock;
  /** Rows of history that are of use. */
  readonly keepRows: number;
  readonly signal?: AbortSignal | undefined;
}

/** Plays a recorded file as if it came from the device now. Throws BAD_INPUT. */
export async function openReplay(
  options: ReplayOptions,
  { clock, keepRows, signal }: OpenReplay,
): Promise<Source> {
  const { speed } = options;
  const { series, recorded, values } = await readBoth(options, { keepRows, signal });
  const { channels, rows } = series;
  const live = values.subarray(recorded * channels);
  const rate = series.rateHz ?? (speed > 0 ? speed : 1);
  return {
    key: `replay:${resolve(options.file)}`,
    channels,
    names: series.names,
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

interface Recording {
  /** All but the values. */
  readonly series: Omit<Series, "values">;
  /** Rows of history. */
  readonly recorded: number;
  /** (recorded + rows, channels): one array in shared memory, history first. */
  readonly values: Float32Array;
}

async function readBoth(
  options: ReplayOptions,
  { keepRows, signal }: Pick<OpenReplay, "keepRows" | "signal">,
): Promise<Recording> {
  const { file, history, rateHz } = options;
  const { room, series } = await readLive(options, { keepRows, signal });
  const { channels } = series;
  if (history === undefined) return { series, recorded: 0, values: room };
  freeMemory(); // what was read is in `room`; the next file needs as much again
  const { values, rows, channels: width } = await readSeries(history, { rateHz, signal });
  if (width !== channels) {
    throw new FleetError(
      "BAD_INPUT",
      `${history} has ${width} channels and ${file} has ${channels}: give files of one device`,
    );
  }
  const recorded = Math.min(rows, keepRows);
  room.set(values.subarray((rows - recorded) * channels), (keepRows - recorded) * channels);
  return { series, recorded, values: room.subarray((keepRows - recorded) * channels) };
}

/** The live rows, behind room for `keepRows` rows of history. Pages of it that are never written to take no memory. */
async function readLive(
  { file, history, rateHz }: ReplayOptions,
  { keepRows, signal }: Pick<OpenReplay, "keepRows" | "signal">,
): Promise<{ readonly room: Float32Array; readonly series: Omit<Series, "values"> }> {
  const { values, ...series } = await readSeries(file, { rateHz, signal });
  const { channels, rows } = series;
  const before = history === undefined ? 0 : keepRows;
  const room = new Float32Array(new SharedArrayBuffer((before + rows) * channels * 4));
  room.set(values, before * channels);
  return { room, series };
}
