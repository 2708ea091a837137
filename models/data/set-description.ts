import { readdir, readFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { z } from "zod";
import { FleetError } from "../../protocol/errors.ts";
import { nearest } from "../../protocol/nearest.ts";
import { Kinds } from "./schema.ts";

/** Relative to the data folder; `*` stands for anything within one folder's or file's name. An ending `.gz` may be left out. */
const Pattern = z
  .string()
  .min(1)
  .max(256)
  .refine(
    (pattern) =>
      !/^[/\\]|^[A-Za-z]:|\\/.test(pattern) &&
      !pattern.split("/").some((part) => part === ".." || part === ""),
    'must stay within the data folder and use "/"',
  );
const Column = z.string().min(1).max(256);
const Fraction = z.number().gt(0).lt(1);
const Count = z.int().positive();

/** Which rows from the start of a file are to train on; the rest, in time order, is to judge by. */
export const TrainPart = z.strictObject({
  /** This many rows, or ... */
  rows: Count.optional(),
  /** ... this part of them (default 0.8), rounded down ... */
  fraction: Fraction.optional(),
  /** ... but never more than this. */
  atMostRows: Count.optional(),
  /** Train on the rows before the first anomalous one alone; rows from there to the end of the part are left out. */
  normalOnly: z.boolean().optional(),
});
export type TrainPart = z.infer<typeof TrainPart>;

const common = {
  name: z.string().regex(/^[a-z0-9][a-z0-9_-]{0,62}$/, "must be of small letters, digits, - and _"),
  title: z.string().min(1),
  /** Rows per second, where rows have one rate and no times. */
  rateHz: z.number().positive().optional(),
  /** device: the mean over the devices' figures (default). pooled: one figure over all devices' test rows, as the set's authors report. */
  judging: z.enum(["device", "pooled"]).default("device"),
};

/** NAME_train, NAME_test, NAME_label: one device a NAME (see `readFolder`). */
const PartsLayout = z.strictObject({
  ...common,
  layout: z.literal("parts"),
  /** Ending of NAME's file of root-cause channels, such as "_interpretation.txt". */
  rootCauses: z
    .string()
    .min(1)
    .regex(/^[^/\\]+$/, "must be the end of a file's name")
    .optional(),
});

/** One csv file a device; the folder that it lies in is the device's group. */
const CsvLayout = z.strictObject({
  ...common,
  layout: z.literal("csv"),
  files: z.array(Pattern).min(1).default(["*.csv", "*/*.csv"]),
  delimiter: z.string().length(1).optional(),
  timeColumn: Column.optional(),
  labelColumn: Column.optional(),
  /** Labels that mean normal; without it, labels are 0 and 1. */
  normalLabels: z.array(z.string()).min(1).optional(),
  /** A JSON file of labels: { "folder/file.csv": [["from", "to"], ...] }, times that are both part of the window. */
  labelWindows: Pattern.optional(),
  ignoreColumns: z.array(Column).optional(),
  kinds: Kinds.optional(),
  train: TrainPart.default({}),
  /** Files, out of `files`, that have nothing to judge by: all their rows are to train on. */
  trainOnly: z.array(Pattern).optional(),
});

/** Rows without an order in time in one csv file, dealt over devices by the word in one column. */
const RecordsLayout = z.strictObject({
  ...common,
  layout: z.literal("records"),
  file: Pattern,
  delimiter: z.string().length(1).optional(),
  /** Names of the columns, where the file's first line does not hold them. */
  columns: z.array(Column).min(2).optional(),
  labelColumn: Column,
  normalLabels: z.array(z.string()).min(1).optional(),
  ignoreColumns: z.array(Column).optional(),
  kinds: Kinds.optional(),
  /** A device is a word of this column; the column is then no channel. */
  deviceColumn: Column,
  /** Words with fewer normal rows to train on make one device together ... */
  minTrainRows: Count.default(50),
  /** ... of this name. */
  pool: z.string().min(1).default("rest"),
  /** The part of all rows that is held out to judge by, drawn row by row without regard to device or label. */
  testFraction: Fraction.default(0.3),
  seed: z.int().nonnegative().default(1),
});

const IdxPair = z.strictObject({ images: Pattern, labels: Pattern });

/** Images in IDX files, one task a class: that class is normal, all others are anomalous. */
const ImagesLayout = z.strictObject({
  ...common,
  layout: z.literal("images"),
  train: IdxPair,
  test: IdxPair,
  /** Names of classes 0, 1, ... */
  classes: z.array(z.string().min(1)).min(2).max(256),
  /** Devices that the training images of the normal class are dealt to, image by image after a shuffle. */
  devices: Count.max(10_000).default(10),
  seed: z.int().nonnegative().default(1),
});

export const SetDescription = z.discriminatedUnion("layout", [
  PartsLayout,
  CsvLayout,
  RecordsLayout,
  ImagesLayout,
]);
export type SetDescription = z.infer<typeof SetDescription>;
export type PartsDescription = z.infer<typeof PartsLayout>;
export type CsvDescription = z.infer<typeof CsvLayout>;
export type RecordsDescription = z.infer<typeof RecordsLayout>;
export type ImagesDescription = z.infer<typeof ImagesLayout>;

/** A description that users put into their data folder. */
export const OWN_DESCRIPTION = "dataset.yaml";
/** How `from` begins where a folder is read by one of Starling's own descriptions. */
export const KNOWN = "the known set";

/** Names of the sets that Starling describes, sorted. */
export async function describedSets(): Promise<string[]> {
  const files = await readdir(SETS);
  return files
    .filter((file) => file.endsWith(ENDING))
    .map((file) => file.slice(0, -ENDING.length))
    .sort();
}

export async function describedSet(name: string): Promise<SetDescription> {
  return readDescription(join(SETS, `${name}${ENDING}`));
}

/**
 * The description that a folder is read by, and where it stands: the one that `set` names (a known set or a YAML file; "none" =
 * no description), else the folder's own `dataset.yaml`, else the known set with the folder's name.
 */
export async function findDescription(
  folder: string,
  set?: string,
): Promise<{ readonly description: SetDescription; readonly from: string } | undefined> {
  if (set === "none") return undefined;
  const known = await describedSets();
  if (set !== undefined && /\.ya?ml$/.test(set))
    return { description: await readDescription(set), from: set };
  if (set !== undefined) {
    if (known.includes(set)) return { description: await describedSet(set), from: `${KNOWN} ${set}` };
    const near = nearest(set, known);
    const hint = near === undefined ? `known are ${known.join(", ")}` : `did you mean "${near}"?`;
    throw new FleetError(
      "BAD_INPUT",
      `there is no described data set "${set}": ${hint}; or name a .yaml file`,
    );
  }
  const own = join(folder, OWN_DESCRIPTION);
  const files = await readdir(folder).catch((): string[] => []);
  if (files.includes(OWN_DESCRIPTION)) return { description: await readDescription(own), from: own };
  const name = basename(folder);
  return known.includes(name)
    ? { description: await describedSet(name), from: `${KNOWN} ${name}` }
    : undefined;
}

/** Throws BAD_INPUT with the file and the key that is wrong. */
export async function readDescription(path: string): Promise<SetDescription> {
  const text = await readFile(path, "utf8").catch((cause: NodeJS.ErrnoException) => {
    throw bad(path, `can't be read (${cause.code}); check the path`, cause);
  });
  return parseDescription(text, path);
}

export async function parseDescription(text: string, path: string): Promise<SetDescription> {
  const { parseDocument } = await import("yaml");
  const document = parseDocument(text, { prettyErrors: false });
  const fault = document.errors[0];
  if (fault) {
    const line = text.slice(0, fault.pos[0]).split("\n").length;
    throw bad(path, `line ${line} is no YAML: ${fault.message.split("\n")[0]!.replace(/[.:]$/, "")}`);
  }
  let raw: unknown;
  try {
    raw = document.toJS({ maxAliasCount: 100 });
  } catch (cause) {
    throw bad(path, `can't be read as YAML: ${(cause as Error).message}`, cause);
  }
  const parsed = SetDescription.safeParse(raw);
  if (!parsed.success) throw bad(path, problem(parsed.error, raw));
  return parsed.data;
}

const ENDING = ".yaml";
const SETS = fileURLToPath(new URL("./sets/", import.meta.url));

function problem(error: z.ZodError, raw: unknown): string {
  if (typeof raw !== "object" || raw === null || Array.isArray(raw))
    return `must be a map of keys such as "layout: csv"; see docs/data.md`;
  const issue = error.issues.find(({ code }) => code === "unrecognized_keys") ?? error.issues[0]!;
  if (issue.code === "unrecognized_keys") {
    const key = [...issue.path, issue.keys[0]].join(".");
    return `there is no key "${key}" in this layout; remove or rename it (docs/data.md lists them)`;
  }
  if (issue.path.join(".") === "layout")
    return `layout must be one of parts, csv, records, images; see docs/data.md`;
  return `${issue.path.join(".")} is refused: ${issue.message}`;
}

function bad(path: string, what: string, cause?: unknown): FleetError {
  return new FleetError("BAD_INPUT", `${path}: ${what}`, { cause });
}
