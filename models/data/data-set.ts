import { resolve } from "node:path";
import { FleetError } from "../../protocol/errors.ts";
import { datasetOfDevices } from "./datasets.ts";
import type { DataSet } from "./device-set.ts";
import { readFolder } from "./folder.ts";
import { openCsv } from "./set-csv.ts";
import {
  describedSet,
  describedSets,
  findDescription,
  KNOWN,
  type SetDescription,
  type TrainPart,
} from "./set-description.ts";
import { listFiles } from "./set-files.ts";
import { openImages } from "./set-images.ts";
import { openParts } from "./set-parts.ts";
import { openRecords } from "./set-records.ts";

export interface OpenOptions {
  /** A known set or a YAML file to read the folder by; "none": by what is in it. Without it, see `findDescription`. */
  readonly set?: string | undefined;
  /** One task of a set that has several, such as the normal class of Fashion-MNIST. */
  readonly task?: string | undefined;
  /** Of a folder of csv files without a description: the column of 0/1 labels ... */
  readonly labelColumn?: string | undefined;
  /** ... columns that are no channels ... */
  readonly ignoreColumns?: readonly string[] | undefined;
  readonly timeColumn?: string | undefined;
  /** ... and what to train on: the first 80 % by default. */
  readonly train?: TrainPart | undefined;
  /** Rows per second, where the files have no times. */
  readonly rateHz?: number | undefined;
}

/** As `openDataSets`, for a set of one task. Throws BAD_INPUT where there are more and `task` names none. */
export async function openDataSet(path: string, options: OpenOptions = {}): Promise<DataSet> {
  const sets = await openDataSets(path, options);
  if (sets.length > 1)
    throw new FleetError(
      "BAD_INPUT",
      `${path}: is a set of ${sets.length} tasks; name one of ${sets.map(taskOf).join(", ")}`,
    );
  return sets[0]!;
}

/**
 * Opens a folder as a data set, one for each of its tasks; most have one. Layouts, and how a folder finds its
 * description, are in docs/data.md. Throws BAD_INPUT with one sentence for a folder, description or file that can't be.
 */
export async function openDataSets(path: string, options: OpenOptions = {}): Promise<readonly DataSet[]> {
  const folder = resolve(path);
  const found = await findDescription(folder, options.set);
  if (!found) return [await openUndescribed(folder, options)];
  const own = (["labelColumn", "ignoreColumns", "timeColumn", "train", "rateHz"] as const).find(
    (key) => options[key] !== undefined,
  );
  if (own !== undefined)
    throw new FleetError(
      "BAD_INPUT",
      `${path}: is read by ${found.from}, which says what ${own} is; change it there, or read the folder without a description (set "none")`,
    );
  try {
    return await openDescribed(folder, found.description, { readBy: found.from, task: options.task });
  } catch (cause) {
    // A folder may have a known set's name by chance.
    if (!(cause instanceof FleetError) || options.set !== undefined || !found.from.startsWith(KNOWN))
      throw cause;
    throw new FleetError(
      cause.code,
      `${cause.message} (the folder's name makes it ${found.from}; set "none" reads it by what is in it)`,
      { cause },
    );
  }
}

async function openDescribed(
  folder: string,
  description: SetDescription,
  { readBy, task }: { readonly readBy: string; readonly task: string | undefined },
): Promise<readonly DataSet[]> {
  const { name, title, judging, rateHz } = description;
  const common = { name, title, judging, readBy, ...(rateHz === undefined ? {} : { rateHz }) };
  if (description.layout === "images") {
    const tasks = description.classes.map((_, normal) => normal);
    const wanted = task === undefined ? tasks : tasks.filter((normal) => String(normal) === task);
    if (wanted.length === 0 && task !== ALL_CLASSES)
      throw new FleetError(
        "BAD_INPUT",
        `${name} has no task "${task}"; there are ${tasks.join(", ")} and ${ALL_CLASSES}`,
      );
    const { shape, devices } = await openImages(folder, description);
    if (task === ALL_CLASSES) {
      const own = { name: `${name}:${task}`, title: `${name}: all classes`, kind: "images" } as const;
      return [{ ...common, ...own, shape, classes: description.classes, devices: devices() }];
    }
    return wanted.map((normal) => ({
      ...common,
      name: `${name}:${normal}`,
      title: `${title}: ${description.classes[normal]}`,
      kind: "images",
      shape,
      devices: devices(normal),
    }));
  }
  if (task !== undefined) throw new FleetError("BAD_INPUT", `${name} has one task; name no task "${task}"`);
  if (description.layout === "parts")
    return [{ ...common, kind: "series", devices: await openParts(folder, description) }];
  if (description.layout === "csv")
    return [{ ...common, kind: "series", ...(await openCsv(folder, description)) }];
  return [{ ...common, kind: "records", ...(await openRecords(folder, description)) }];
}

/** The supervised task of a set of images: to tell its classes apart. Not among the tasks that are opened where none is named, as no class is normal in it. */
const ALL_CLASSES = "classes";

async function openUndescribed(folder: string, options: OpenOptions): Promise<DataSet> {
  const { labelColumn, ignoreColumns, timeColumn, train = {}, rateHz, task } = options;
  if (task !== undefined)
    throw new FleetError("BAD_INPUT", `${folder}: has one task; name no task "${task}"`);
  const name = folder.split(/[\\/]/).at(-1) || "data";
  const common = { title: name, judging: "device", kind: "series" } as const;
  const files = await listFiles(folder, 2);
  if (files.some((file) => PARTS_FILE.test(file))) {
    const idle = (["labelColumn", "ignoreColumns", "timeColumn", "train"] as const).find(
      (key) => options[key] !== undefined,
    );
    if (idle !== undefined)
      throw new FleetError(
        "BAD_INPUT",
        `${folder}: has NAME_train, NAME_test and NAME_label files, for which there is no ${idle}; leave it out`,
      );
    const devices = (await readFolder(folder)).map(({ device }) => device);
    // A plain copy of a known set, whatever its folder is called.
    const known = datasetOfDevices(devices)?.id;
    if (known !== undefined && options.set !== "none" && rateHz === undefined) {
      if ((await describedSets()).includes(known))
        return (
          await openDescribed(folder, await describedSet(known), {
            readBy: `its device names, which are those of the known set ${known}`,
            task,
          })
        )[0]!;
    }
    return {
      ...common,
      name,
      readBy: "its NAME_train and NAME_test files",
      ...(rateHz === undefined ? {} : { rateHz }),
      devices: await openParts(folder, { rateHz }),
    };
  }
  if (files.some((file) => CSV_FILE.test(file))) {
    const csv = await openCsv(folder, {
      files: ["*.csv", "*/*.csv"],
      labelColumn,
      ignoreColumns: ignoreColumns && [...ignoreColumns],
      timeColumn,
      train,
      rateHz,
    });
    return { ...common, name, readBy: "its csv files, one device each", ...csv };
  }
  throw new FleetError(
    "BAD_INPUT",
    `${folder}: is no data set that can be read: it needs NAME_train and NAME_test files, csv files, or a dataset.yaml (docs/data.md); known sets are ${(await describedSets()).join(", ")}`,
  );
}

const PARTS_FILE = /^[^/]+_train\.(?:npy|csv|tsv|txt)(?:\.gz)?$/;
const CSV_FILE = /^(?:[^/]+\/)?[^/]+\.csv(?:\.gz)?$/;

function taskOf({ name }: DataSet): string {
  return name.slice(name.indexOf(":") + 1);
}
