import { dirname, join } from "node:path";
import { FleetError } from "../../protocol/errors.ts";
import type { ReadLimits } from "./bytes.ts";
import { quoted } from "./csv.ts";
import type { Layout } from "./csv-layout.ts";
import { checkedDevice, type DeviceData, type DeviceSet } from "./device-set.ts";
import { deviceId } from "./folder.ts";
import { type NabWindows, readNabWindows, rowsOfWindows } from "./nab-windows.ts";
import { type Schema, schemaFor } from "./schema.ts";
import { type Series, sliceSeries } from "./series.ts";
import type { CsvDescription, TrainPart } from "./set-description.ts";
import { findFiles, matches } from "./set-files.ts";
import { readLayout, readTable } from "./table.ts";
import type { RowRange } from "./windows.ts";

type Options = Omit<CsvDescription, "name" | "title" | "layout" | "judging">;

/** One device a csv file, in time order: the first rows to train on, the rest to judge by. */
export async function openCsv(
  folder: string,
  options: Options,
): Promise<{ readonly devices: DeviceSet[]; readonly schema: Schema }> {
  const files = await findFiles(folder, options.files);
  // The first file to be judged says what the columns are; the others must have the same.
  const first = files.find((file) => !matches(file, options.trainOnly ?? [])) ?? files[0]!;
  const schema = await schemaFrom(join(folder, first), options);
  const windows =
    options.labelWindows === undefined
      ? undefined
      : await readLabelWindows(folder, options.labelWindows, files);
  const taken = new Map<string, string>();
  const devices = files.map((file): DeviceSet => {
    const name = file.replace(/\.(?:csv|tsv|txt)(?:\.gz)?$/, "");
    const device = deviceId(name);
    const twin = taken.get(device);
    if (twin !== undefined)
      throw new FleetError(
        "BAD_INPUT",
        `${folder}: ${twin} and ${file} both make the device id "${device}"; rename one`,
      );
    taken.set(device, file);
    const group = dirname(file);
    const judged = !matches(file, options.trainOnly ?? []);
    return {
      device,
      ...(group === "." ? {} : { group }),
      judged,
      load: (limits = {}) =>
        load(join(folder, file), { options, schema, judged, limits, windows: windows?.get(file) }),
    };
  });
  return { devices, schema };
}

async function schemaFrom(path: string, options: Options): Promise<Schema> {
  const { columns } = await readLayout(path, layoutOptions(options));
  const names = columns.filter(({ role }) => role === "channel").map(({ name }) => name);
  const label = options.labelColumn ?? options.labelWindows;
  const leak = names.find((name) => LABEL_NAME.test(name));
  // As a channel it would tell the detector the answer, and every score would be perfect.
  if (label === undefined && leak !== undefined)
    throw new FleetError(
      "BAD_INPUT",
      `${path}: column ${quoted(leak)} looks like the label; name it as the label column (--label-column ${leak}) or ignore it`,
    );
  return schemaFor(names, options.kinds, path);
}

const LABEL_NAME =
  /^(?:is_?)?(?:label|labels|anomaly|anomalous|anomalies|outlier|attack|fault|ground_?truth|target|class)$/i;

function layoutOptions({ delimiter, timeColumn, labelColumn, ignoreColumns }: Options) {
  return { delimiter, timeColumn, labelColumn, ignoreColumns };
}

interface LoadOptions {
  readonly options: Options;
  readonly schema: Schema;
  readonly judged: boolean;
  readonly limits: ReadLimits;
  readonly windows: TimeWindows | undefined;
}

async function load(
  path: string,
  { options, schema, judged, limits, windows }: LoadOptions,
): Promise<DeviceData> {
  let layout = layoutOptions(options);
  if (!judged) {
    // A file of normal rows alone has no label to read, nor others that are ignored elsewhere.
    const { delimiter, timeColumn } = layout;
    const there = new Set(columnsOf(await readLayout(path, { ...limits, delimiter, timeColumn })));
    layout = {
      ...layout,
      labelColumn: there.has(layout.labelColumn ?? "") ? layout.labelColumn : undefined,
      ignoreColumns: layout.ignoreColumns?.filter((name) => there.has(name)),
    };
  }
  const { series, labels: column } = await readTable(path, {
    ...limits,
    ...layout,
    schema,
    normalLabels: options.normalLabels,
    rateHz: options.rateHz,
  });
  const ranges = windows && rangesOf(windows, series, path);
  const labels = ranges ? labelsIn(ranges, series.rows) : column;
  const { train, test } = splitRows({ path, rows: series.rows, part: options.train, judged, labels });
  return checkedDevice(path, {
    train: sliceSeries(series, train.from, train.to),
    test: sliceSeries(series, test.from, test.to),
    ...(labels ? { labels: labels.subarray(test.from, test.to) } : {}),
    ...(ranges ? { windows: within(ranges, test) } : {}),
  });
}

function columnsOf({ columns }: Layout): string[] {
  return columns.map(({ name }) => name);
}

interface Split {
  readonly path: string;
  readonly rows: number;
  readonly part: TrainPart;
  readonly judged: boolean;
  readonly labels: Uint8Array | undefined;
}

/** Part of a file to train on where nothing else is said. */
const DEFAULT_TRAIN_FRACTION = 0.8;

function splitRows({ path, rows, part, judged, labels }: Split): { train: RowRange; test: RowRange } {
  const bad = (what: string) => new FleetError("BAD_INPUT", `${path}: ${what}`);
  const wanted = part.rows ?? Math.floor(rows * (part.fraction ?? DEFAULT_TRAIN_FRACTION));
  const until = judged ? Math.min(wanted, part.atMostRows ?? rows) : rows;
  if (until < 1 || (judged && until >= rows))
    throw bad(
      `has ${rows} rows and ${until} of them are to train on; both parts need rows, so change the part or leave the file out`,
    );
  const firstAnomaly = part.normalOnly ? (labels?.indexOf(1) ?? -1) : -1;
  const to = firstAnomaly >= 0 ? Math.min(until, firstAnomaly) : until;
  if (to === 0) throw bad("is anomalous from its first row, so there is nothing to train on; leave it out");
  return { train: { from: 0, to }, test: { from: until, to: rows } };
}

async function readLabelWindows(
  folder: string,
  pattern: string,
  files: readonly string[],
): Promise<Map<string, TimeWindows>> {
  const path = join(folder, pattern);
  const all = await readNabWindows(path);
  return new Map(
    files.map((file) => {
      const key = file.replace(/\.gz$/, "");
      const windows = all.get(key);
      const bad = (what: string) => new FleetError("BAD_INPUT", `${path}: ${what}`);
      if (!windows) throw bad(`has no entry "${key}"; add one, empty where the file is all normal`);
      if (windows.some(({ firstMs, lastMs }) => firstMs > lastMs))
        throw bad(`"${key}" has a window that ends before it begins; correct it`);
      return [file, windows];
    }),
  );
}

type TimeWindows = NonNullable<ReturnType<NabWindows["get"]>>;

function rangesOf(windows: TimeWindows, { timestampsMs }: Series, path: string): RowRange[] {
  if (timestampsMs) return rowsOfWindows(windows, timestampsMs);
  throw new FleetError("BAD_INPUT", `${path}: has no column of times, which label windows need`);
}

function labelsIn(ranges: readonly RowRange[], rows: number): Uint8Array {
  const labels = new Uint8Array(rows);
  for (const { from, to } of ranges) labels.fill(1, from, to);
  return labels;
}

/** The windows in rows counted from the part's start; one that begins before it is cut. */
function within(ranges: readonly RowRange[], part: RowRange): RowRange[] {
  return ranges
    .filter(({ to }) => to > part.from)
    .map(({ from, to }) => ({ from: Math.max(0, from - part.from), to: to - part.from }));
}
