import { FleetError } from "../../protocol/errors.ts";
import { blueprintFor, type DetectorName, kindOf } from "./catalog.ts";
import type { Calibration, Detector, TrainOptions } from "./detector.ts";
import type { CheckedRows } from "./detector-rows.ts";
import { type DetectorSettings, specsOf } from "./detector-settings.ts";
import { openDetector } from "./open.ts";
import { trainWhole } from "./pretraining.ts";

/** A detector that has learned, with what it needs beside its weights. */
export interface Fitted {
  readonly detector: Detector;
  /** JSON. */
  readonly topology: string;
  readonly names: readonly string[];
  readonly calibration: Calibration;
  /** Training samples behind the weights, and how often they were trained. */
  readonly samples: number;
  readonly fits: number;
}

export type Progress = NonNullable<TrainOptions["onProgress"]>;

export interface LearnOptions {
  readonly name: DetectorName;
  readonly settings: DetectorSettings;
  readonly rows: CheckedRows;
  readonly signal: AbortSignal | undefined;
  readonly onProgress: Progress | undefined;
}

export interface FitReport {
  /** Training samples: windows, or rows, as the kind takes them. */
  readonly samples: number;
  /** Mean loss of the last epoch, and of the trained weights on the held-back part. */
  readonly loss: number;
  readonly heldBackLoss: number;
  /** Why the threshold is weaker than what was asked for, if it is. */
  readonly caution?: string;
}

type Learned = Fitted & {
  readonly report: FitReport;
};

/** The engine's side of a detector whose rest is known. */
export async function openFitted<F extends Omit<Fitted, "detector">>(
  from: F & { readonly name: DetectorName; readonly settings: DetectorSettings },
): Promise<Omit<F, "name" | "settings"> & { readonly detector: Detector }> {
  const { name, settings, ...rest } = from;
  return { ...rest, detector: await open(name, settings, rest) };
}

function open(
  name: DetectorName,
  settings: DetectorSettings,
  { topology, names }: Pick<Fitted, "topology" | "names">,
): Promise<Detector> {
  const { spec } = specsOf(name, settings);
  const { seed, batchSize: maxBatch } = settings;
  return openDetector({ spec, topology, channels: names.length, seed, statistics: null, maxBatch });
}

/** Learned from these rows alone. */
export async function trainedOn(options: LearnOptions): Promise<Learned> {
  const { name, settings, rows } = options;
  const { names, channels } = rows;
  const topology = JSON.stringify(
    await blueprintFor(specsOf(name, settings).spec, channels, settings.pretrain?.objective),
  );
  const detector = await open(name, settings, { topology, names });
  try {
    return await learn({ detector, topology, names, fits: 0 }, options);
  } catch (error) {
    detector.dispose();
    throw error;
  }
}

/**
 * The weights of `from` trained on; after an error they are as before. Those of a kind that learns by sums are means over samples, so the old and the
 * new ones are averaged by theirs.
 */
export async function trainFurther(from: Fitted, options: LearnOptions): Promise<Learned> {
  const { detector, samples } = from;
  const before = detector.weights();
  try {
    const { learns } = await kindOf(options.name);
    return await learn(from, options, (added) => {
      if (learns === "by gradients") return;
      const part = added / (samples + added);
      detector.setWeights(detector.weights().map((w, i) => before[i]! + part * (w - before[i]!)));
    });
  } catch (error) {
    detector.setWeights(before);
    throw error;
  }
}

async function learn(
  from: Pick<Fitted, "detector" | "topology" | "names" | "fits"> & Partial<Fitted>,
  { name, settings, rows, signal, onProgress }: LearnOptions,
  merge: (added: number) => void = () => {},
): Promise<Learned> {
  const { detector, topology, names, fits } = from;
  const { training } = specsOf(name, settings);
  const { alarm } = settings;
  const { learns } = await kindOf(name);
  try {
    const { samples, loss } = await trainWhole(detector, rows, {
      training,
      pretrain: fits === 0 ? settings.pretrain : undefined,
      // Each fit draws its own order.
      seed: (settings.seed + fits) >>> 0,
      // What was known is mixed with what is new; sums are by `merge`, exactly.
      ...(fits > 0 && learns === "by gradients" && { personal: true }),
      ...(signal && { signal }),
      ...(onProgress && { onProgress }),
    });
    merge(samples);
    const calibration = detector.calibrate(rows, { ...alarm, rateHz: alarm.rateHz ?? rows.rateHz });
    const { caution } = calibration;
    return {
      detector,
      topology,
      names,
      calibration,
      samples: (from.samples ?? 0) + samples,
      fits: fits + 1,
      report: {
        samples,
        loss,
        heldBackLoss: detector.heldBackLoss(rows),
        ...(caution === undefined ? {} : { caution }),
      },
    };
  } catch (cause) {
    if (!(cause instanceof FleetError && cause.code === "UNAVAILABLE")) throw cause;
    throw new FleetError(
      "BAD_INPUT",
      `${rows.rows} rows are too few for ${name} with windows of ${settings.window}; give more rows, or a smaller window`,
      { cause },
    );
  }
}
