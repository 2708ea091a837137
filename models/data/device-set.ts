import { FleetError } from "../../protocol/errors.ts";
import type { ReadLimits } from "./bytes.ts";
import { quoted } from "./csv.ts";
import type { CausedEvent } from "./root-causes.ts";
import type { Schema } from "./schema.ts";
import type { Series } from "./series.ts";
import type { RowRange } from "./windows.ts";

/** A data set: devices, each with a part to train on and a part to judge by. Nothing of a device is read before `load`. */
export interface DataSet {
  /** Of one task: `fashion-mnist:3`. */
  readonly name: string;
  readonly title: string;
  /**
   * series: rows follow each other in time. records: each row stands for itself, in no order. images: as records, and a
   * row is an image of `shape`. Windows, smoothing, events and delays make sense for series alone.
   */
  readonly kind: "series" | "records" | "images";
  /** device: the mean over the devices' figures. pooled: one figure over all devices' test rows. */
  readonly judging: "device" | "pooled";
  readonly devices: readonly DeviceSet[];
  /** Rows per second, where all devices have one rate; else a series' own `rateHz` says it. */
  readonly rateHz?: number;
  /** Of one row: (height, width, 1) of an image; its values are 0..1. */
  readonly shape?: readonly number[];
  /** Of a task in which no class is normal: what is to be told apart. Accuracy and log loss judge it, and nothing else. */
  readonly classes?: readonly string[];
  /** How the columns of the files became channels; a detector that is trained on them needs it for new rows. */
  readonly schema?: Schema;
  /** What the folder was read by, for people: a layout, a known set, a file. */
  readonly readBy: string;
}

export interface DeviceSet {
  /** A valid device id. */
  readonly device: string;
  /** Devices of one group are alike: an experiment, a kind of metric. */
  readonly group?: string;
  /** false: it trains with the others, and has nothing to judge by: its test part has no rows. */
  readonly judged: boolean;
  /** Reads the device. Throws BAD_INPUT for files that are damaged or do not fit together. */
  load(limits?: ReadLimits): Promise<DeviceData>;
}

export interface DeviceData {
  /** What is trained on; a part of it is held back by whoever trains (see `splitInTime`). */
  readonly train: Series;
  readonly test: Series;
  /** (test.rows) 0 = normal, 1 = anomalous; absent where the set has no labels. */
  readonly labels?: Uint8Array;
  /**
   * Rows of `test` that the authors' windows cover, one for each window, where labels are windows. Where `train` is a
   * probationary part, none of it is in here: NAB's score of `test` alone is `nabScore` with a probation of 0.
   */
  readonly windows?: readonly RowRange[];
  /** By row of `test`. */
  readonly rootCauses?: readonly CausedEvent[];
  /** (train.rows) the class of each image, for detectors that learn from classes. */
  readonly trainClasses?: Uint8Array;
  /** (test.rows) the class of each image. */
  readonly testClasses?: Uint8Array;
  /** What a user should hear of: one sentence each. */
  readonly notes: readonly string[];
}

/**
 * The parts of a device, checked against each other. Throws BAD_INPUT for a channel that appears or vanishes between
 * them, and for one without any value to train on: no scale can be made for it. One that is dead in the test part alone
 * is noted, as that may be the very fault to find.
 */
export function checkedDevice(where: string, data: Omit<DeviceData, "notes">): DeviceData {
  const { train, test, labels, rootCauses = [] } = data;
  const bad = (what: string) => new FleetError("BAD_INPUT", `${where}: ${what}`);
  const vanished = train.names.find((name) => !test.names.includes(name));
  const appeared = test.names.find((name) => !train.names.includes(name));
  if (vanished !== undefined || appeared !== undefined) {
    const [channel, has, hasNot] =
      vanished !== undefined ? [vanished, "training", "test"] : [appeared!, "test", "training"];
    throw bad(
      `channel ${quoted(channel)} is in the ${has} part and not in the ${hasNot} part (${train.channels} and ${test.channels} channels); give both the same channels`,
    );
  }
  const moved = train.names.findIndex((name, c) => name !== test.names[c]);
  if (moved >= 0)
    throw bad(
      `channel ${moved + 1} is ${quoted(train.names[moved]!)} in the training part and ${quoted(test.names[moved]!)} in the test part; give both the same order`,
    );
  if (labels && labels.length !== test.rows)
    throw bad(`has ${labels.length} labels for ${test.rows} test rows; give one for each`);
  const beyond = rootCauses.find(
    ({ to, channels }) => to > test.rows || channels.some((channel) => channel >= test.channels),
  );
  if (beyond)
    throw bad(
      `the root cause of rows ${beyond.from} to ${beyond.to} names a row or channel that the test part does not have`,
    );
  const dead = silentChannels(train)[0];
  if (dead !== undefined)
    throw bad(
      `channel ${quoted(dead)} has no value in the training part; take that column out of all parts of the set, or mend it`,
    );
  const notes = silentChannels(test).map(
    (name) => `${where}: channel ${quoted(name)} has no value in the test part; it is counted as missing`,
  );
  return { ...data, notes };
}

/** Names of channels that are NaN in every row; none of a series without rows. */
function silentChannels({ rows, channels, values, names }: Series): string[] {
  return names.filter((_, c) => {
    for (let row = 0; row < rows; row++) if (!Number.isNaN(values[row * channels + c])) return false;
    return rows > 0;
  });
}
