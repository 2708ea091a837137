import { z } from "zod";
import { onceEach } from "../../models/data/column-problem.ts";
import type { PreparedFileOptions } from "../../models/data/prepared-file.ts";
import { readSeries } from "../../models/data/read.ts";
import type { Kinds } from "../../models/data/schema.ts";
import type { Series } from "../../models/data/series.ts";
import type { PreparedChannels } from "../../protocol/device-channels.ts";
import { FleetError } from "../../protocol/errors.ts";
import { TaskSpec } from "../../protocol/task.ts";
import type { Flag } from "../command.ts";
import { kindsFlag, readKinds } from "../config/kinds-file.ts";
import type { Model } from "./model.ts";

const path = z.string().min(1, "give a path");

/** What `score` and `plot` have in common. */
export const modelOptions = {
  file: path,
  calibrate: path.optional(),
  ignore: z.array(z.string().min(1)).optional(),
  kinds: path.optional(),
  rateHz: z.number().positive().optional(),
  task: TaskSpec.optional(),
};

export const modelFlags = {
  model: {
    path: "model",
    flag: "--model <path>",
    description:
      "an agent's state folder, a detector's own file, or the file of a version of an agent or a coordinator",
  },
  calibrate: {
    path: "calibrate",
    flag: "--calibrate <file>",
    description:
      "normal rows of the device before FILE: threshold and tail are learned from their latest part; needed where the model has none",
  },
  ignore: {
    path: "ignore",
    flag: "--ignore-columns <names>",
    description: "columns of the csv files that are no channels, joined by commas",
  },
  kinds: kindsFlag,
  rateHz: {
    path: "rateHz",
    flag: "--rate-hz <n>",
    description: "rows per second of files that have no timestamps",
  },
} as const satisfies Record<string, Flag>;

export interface Inputs {
  readonly series: Series;
  readonly normal: Series | undefined;
  /** What the channels are made of. */
  readonly prepared: PreparedChannels | undefined;
}

export interface InputOptions {
  readonly file: string;
  readonly calibrate?: string | undefined;
  readonly ignore?: readonly string[] | undefined;
  readonly kinds?: string | undefined;
  readonly rateHz?: number | undefined;
}

export interface InputUse {
  /** What will score them. */
  readonly model?: Pick<Model, "prepared"> | undefined;
  /** Is told what is odd about columns that are prepared by kinds. */
  readonly warn: (text: string) => void;
}

export async function readInputs(options: InputOptions, { model, warn }: InputUse): Promise<Inputs> {
  if (options.kinds !== undefined) return readPreparedInputs(options, await readKinds(options.kinds), warn);
  if (model?.prepared)
    throw new FleetError(
      "BAD_INPUT",
      "--kinds is missing: the model is for columns that are prepared by kinds; give the file that its agent was started with",
    );
  const { file, calibrate, ignore: ignoreColumns, rateHz } = options;
  const how = { rateHz, ...(ignoreColumns === undefined ? {} : { ignoreColumns: [...ignoreColumns] }) };
  const series = await readSeries(file, how);
  const normal = calibrate === undefined ? undefined : await readSeries(calibrate, how);
  const moved = normal && series.names.findIndex((name, c) => name !== normal.names[c]);
  if (normal && moved !== undefined && moved >= 0 && normal.channels === series.channels)
    throw new FleetError(
      "BAD_INPUT",
      `${file}: channel ${moved + 1} is "${series.names[moved]}", in ${calibrate} it is "${normal.names[moved]}"; give both the same order`,
    );
  return { series, normal, prepared: undefined };
}

async function readPreparedInputs(
  { file, calibrate, ignore: ignoreColumns, rateHz }: InputOptions,
  kinds: Kinds,
  warn: (text: string) => void,
): Promise<Inputs> {
  const { readPrepared } = await import("../../models/data/prepared-file.ts");
  const read = (path: string, like?: PreparedFileOptions["like"]) =>
    readPrepared(path, {
      ...{ kinds, ignoreColumns, rateHz, like },
      onProblem: onceEach((text) => warn(`${path}: ${text}`)),
    });
  const live = await read(file);
  const { series } = live;
  const normal = calibrate === undefined ? undefined : await read(calibrate, { path: file, ...live });
  const prepared =
    live.kinds === undefined ? undefined : { names: series.names.join("\n"), kinds: live.kinds };
  return { series, normal: normal?.series, prepared };
}
