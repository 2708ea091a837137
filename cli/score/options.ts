import { z } from "zod";
import { readSeries } from "../../models/data/read.ts";
import type { Series } from "../../models/data/series.ts";
import { FleetError } from "../../protocol/errors.ts";
import { TaskSpec } from "../../protocol/task.ts";
import type { Flag } from "../command.ts";

const path = z.string().min(1, "give a path");

/** What `score` and `plot` have in common. */
export const modelOptions = {
  file: path,
  calibrate: path.optional(),
  ignore: z.array(z.string().min(1)).optional(),
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
} as const satisfies Record<string, Flag>;

export interface Inputs {
  readonly series: Series;
  readonly normal: Series | undefined;
}

export async function readInputs(options: {
  readonly file: string;
  readonly calibrate?: string | undefined;
  readonly ignore?: readonly string[] | undefined;
}): Promise<Inputs> {
  const { file, calibrate, ignore: ignoreColumns } = options;
  const how = ignoreColumns === undefined ? {} : { ignoreColumns: [...ignoreColumns] };
  const series = await readSeries(file, how);
  const normal = calibrate === undefined ? undefined : await readSeries(calibrate, how);
  const moved = normal && series.names.findIndex((name, c) => name !== normal.names[c]);
  if (normal && moved !== undefined && moved >= 0 && normal.channels === series.channels)
    throw new FleetError(
      "BAD_INPUT",
      `${file}: channel ${moved + 1} is "${series.names[moved]}", in ${calibrate} it is "${normal.names[moved]}"; give both the same order`,
    );
  return { series, normal };
}
