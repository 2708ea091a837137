import { asFleetError, FleetError } from "../../protocol/errors.ts";
import { layoutSize } from "../../protocol/frame.ts";
import type { AlarmSpec, DetectorSpec, TrainingSpec } from "../../protocol/task.ts";
import { fleetStatistics } from "../data/fleet-statistics.ts";
import { type Injected, inject, ROWS_PER_FAULT } from "../data/inject.ts";
import { fitScaler } from "../data/scaling.ts";
import { seriesStatistics } from "../data/statistics.ts";
import { splitInTime } from "../data/windows.ts";
import { blueprintFor, kindOf, tunedOptions } from "../detectors/catalog.ts";
import { checkLearning } from "../detectors/check-learning.ts";
import type { Detector, Recent } from "../detectors/detector.ts";
import type { DetectorKind } from "../detectors/kind.ts";
import { openDetector, warmUpRows } from "../detectors/open.ts";
import { type PretrainOptions, trainWhole } from "../detectors/pretraining.ts";
import { createRandom } from "../engine/random.ts";
import { aucPr } from "./ranking.ts";

export interface TuneOptions {
  /** What is tried first, and where every setting that is not searched comes from. */
  readonly detector: DetectorSpec;
  /** Its epochs are those of a whole training, those of `pretrain` the first of them. */
  readonly training: TrainingSpec;
  readonly pretrain?: PretrainOptions | undefined;
  readonly alarm: Pick<AlarmSpec, "quantile" | "smooth">;
  /** Training rows alone: there is no way in for labels or test rows. */
  readonly devices: readonly { readonly device: string; readonly train: Recent }[];
  /** Settings to try, at most. */
  readonly trials: number;
  readonly seed: number;
  readonly signal?: AbortSignal;
  readonly onProgress?: (done: {
    readonly trials: number;
    readonly of: number;
    readonly best: number;
  }) => void;
}

/** One setting for each axis of the search: `window`, `learningRate`, and the kind's own. */
export type Point = Readonly<Record<string, number>>;

export interface Trial {
  readonly point: Point;
  /** The criterion: see `tune`. NaN where it could not be trained. */
  readonly aucPr: number;
  /** Of the trained weights, on rows held back. Not comparable between windows, and no criterion: what forecasts a fault well does not find it. */
  readonly heldBackLoss: number;
  readonly parameters: number;
  readonly failed?: string;
}

export interface Tuned {
  /** Best first. */
  readonly trials: readonly Trial[];
  readonly best: Trial;
  /** What was there before: the first that was tried. */
  readonly base: Trial;
  /** The criterion of a random score: the share of rows with made faults. */
  readonly random: number;
  /** Whether every setting of the space was tried. */
  readonly exhaustive: boolean;
  readonly detector: DetectorSpec;
  readonly training: TrainingSpec;
  readonly leftOut: readonly string[];
}

export const TUNE_CRITERION =
  "mean AUC-PR over the devices of the smoothed score on faults made in the last 30 % of each device's training rows (spikes, level shifts, flat lines, scaled swings, swapped channels, noise bursts; sizes in sigmas of the channel); one model for all devices is trained and calibrated on the rows before them; labels and test rows are not used";

/** The part of a device's training rows, its latest, that faults are made in. */
const JUDGED = 0.3;
/** Sets of faults that a device is judged by, each with its own seed: one set holds a few dozen. */
const FAULT_SETS = 3;
/** About the defaults, half and twice; a learning rate's usual steps. */
const COMMON = { window: [16, 32, 64], learningRate: [0.001, 0.003, 0.01] } as const;

/**
 * Tries settings of a detector on training data and ranks them by `TUNE_CRITERION`, ties by fewer parameters. The held-back loss alone would not do: it prefers
 * what forecasts well, faults included. Made faults as the judge: Goswami et al. 2023, arXiv 2210.01078. Random search without repeats, the whole
 * grid where it is small enough: Bergstra and Bengio 2012, JMLR 13. The same options give the same numbers. Throws BAD_INPUT for a kind
 * that needs labels or images, or has nothing to search, and where no device has enough rows.
 */
export async function tune(options: TuneOptions): Promise<Tuned> {
  const { detector, trials: most, seed, signal, onProgress } = options;
  const kind = await kindOf(detector.name);
  if (kind.supervised || kind.input === "images") {
    const needs = kind.supervised ? "labels" : "images";
    throw new FleetError(
      "BAD_INPUT",
      `${detector.name} learns from ${needs}, and tune judges by faults made in unlabelled series; take another detector`,
    );
  }
  checkLearning(detector.name, kind, {
    training: options.training,
    pretext: options.pretrain?.objective,
  });
  const axes = searchSpace(kind, options);
  if (Object.keys(axes).length === 0)
    throw new FleetError(
      "BAD_INPUT",
      `${detector.name} has nothing to search; its defaults are all there is`,
    );
  const { points, exhaustive } = choosePoints(axes, baseOf(axes, kind, options), { most, seed });
  const widest = Math.max(...points.map(({ window }) => window ?? detector.window));
  const { benches, leftOut } = prepare(options, widest);

  const tried: Trial[] = [];
  for (const point of points) {
    if (signal?.aborted) throw new FleetError("ABORTED", "the search was stopped", { cause: signal.reason });
    tried.push(await tryPoint(point, benches, options));
    const best = Math.max(...tried.map((trial) => rank(trial)));
    onProgress?.({ trials: tried.length, of: points.length, best: Math.max(0, best) });
  }
  const trials = [...tried].sort((a, b) => rank(b) - rank(a) || a.parameters - b.parameters);
  const best = trials[0]!;
  if (best.failed !== undefined)
    throw new FleetError("BAD_INPUT", `no setting of ${detector.name} could be tried: ${best.failed}`);
  const labels = benches.flatMap(({ faults }) => faults.map(({ labels }) => labels));
  const random = mean(labels.map((own) => own.reduce((sum, label) => sum + label, 0) / own.length));
  return { trials, best, base: tried[0]!, random, exhaustive, leftOut, ...settingsAt(best.point, options) };
}

/** What is searched: the kind's own `search` values and, for kinds that learn by gradients, window and learning rate; the present ones are among them. */
export function searchSpace(
  kind: DetectorKind,
  { detector, training }: Pick<TuneOptions, "detector" | "training">,
): Readonly<Record<string, readonly number[]>> {
  const own = Object.entries(kind.hyperparameters).flatMap(([name, { search }]) =>
    search ? [[name, search] as const] : [],
  );
  // A network of the user's own has its window.
  const common = Object.entries(COMMON).filter(
    ([name]) => kind.learns === "by gradients" && (name !== "window" || detector.topology === undefined),
  );
  const axes = Object.fromEntries([...common, ...own]);
  const base = baseOf(axes, kind, { detector, training });
  return Object.fromEntries(
    Object.entries(axes).map(([name, values]) => [
      name,
      [...new Set([...values, base[name]!])].sort((a, b) => a - b),
    ]),
  );
}

function baseOf(
  axes: Readonly<Record<string, readonly number[]>>,
  kind: DetectorKind,
  { detector, training }: Pick<TuneOptions, "detector" | "training">,
): Point {
  const present: Point = {
    ...tunedOptions(kind, detector),
    window: detector.window,
    learningRate: training.learningRate,
  };
  return Object.fromEntries(Object.keys(axes).map((name) => [name, present[name]!]));
}

/** The base first, then others in an order drawn from the seed, none twice. */
function choosePoints(
  axes: Readonly<Record<string, readonly number[]>>,
  base: Point,
  { most, seed }: { readonly most: number; readonly seed: number },
): { points: Point[]; exhaustive: boolean } {
  let grid: Point[] = [{}];
  for (const [name, values] of Object.entries(axes))
    grid = grid.flatMap((point) => values.map((value) => ({ ...point, [name]: value })));
  const same = (point: Point) => Object.entries(base).every(([name, value]) => point[name] === value);
  const others = grid.filter((point) => !same(point));
  const order = Uint32Array.from(others, (_, i) => i);
  createRandom(seed).shuffle(order);
  const points = [base, ...Array.from(order, (i) => others[i]!)];
  return { points: points.slice(0, most), exhaustive: points.length <= most };
}

/** The point's place in a task. The stride keeps its ratio to the window. */
function settingsAt(
  point: Point,
  { detector, training }: Pick<TuneOptions, "detector" | "training">,
): { detector: DetectorSpec; training: TrainingSpec } {
  const { window = detector.window, learningRate = training.learningRate, ...options } = point;
  const stride = Math.max(1, Math.round((window * detector.stride) / detector.window));
  return {
    detector: { ...detector, window, stride, options: { ...detector.options, ...options } },
    training: { ...training, learningRate },
  };
}

/** A device's rows to learn from, and its later rows with faults in them. */
interface Bench {
  readonly device: string;
  readonly fit: Recent;
  readonly faults: readonly Injected[];
}

/** All trials are judged by the same rows and faults. */
function prepare({ devices, seed, detector }: TuneOptions, widest: number) {
  const benches: Bench[] = [];
  const leftOut: string[] = [];
  const channels = devices[0]?.train.channels;
  for (const [d, { device, train }] of devices.entries()) {
    if (train.channels !== channels)
      throw new FleetError(
        "BAD_INPUT",
        `${device} has ${train.channels} channels, ${devices[0]!.device} has ${channels}; devices that learn together need the same ones`,
      );
    const needed = Math.ceil(Math.max((4 * widest) / (1 - JUDGED), ROWS_PER_FAULT / JUDGED)) + 2;
    if (train.rows < needed) {
      leftOut.push(`${device} has ${train.rows} training rows, and the search needs ${needed}`);
      continue;
    }
    const at = splitInTime(train.rows, JUDGED).heldBack.from;
    const cut = (from: number, to: number): Recent => ({
      values: train.values.subarray(from * train.channels, to * train.channels),
      rows: to - from,
      channels: train.channels,
    });
    const fit = cut(0, at);
    const { mean, sigma } = fitScaler(seriesStatistics(fit), {
      clip: detector.clip,
      sigmaFloor: detector.sigmaFloor,
    });
    const judged = cut(at, train.rows);
    const faults = Array.from({ length: FAULT_SETS }, (_, k) =>
      inject({ ...judged, mean, sigma, seed: ((seed * 1009 + d) * FAULT_SETS + k) >>> 0 }),
    ).filter(({ events }) => events.length > 0);
    if (faults.length > 0) benches.push({ device, fit, faults });
    else leftOut.push(`${device} has rows in which nothing moves, so that no fault can be made in them`);
  }
  if (benches.length === 0)
    throw new FleetError(
      "BAD_INPUT",
      `there is nothing to search on: ${leftOut[0] ?? "there are no devices"}`,
    );
  return { benches, leftOut };
}

async function tryPoint(point: Point, benches: readonly Bench[], options: TuneOptions): Promise<Trial> {
  const { alarm, pretrain, seed, signal } = options;
  const { detector: spec, training } = settingsAt(point, options);
  const { channels } = benches[0]!.fit;
  const statistics = fleetStatistics(
    spec.scaling,
    benches.map(({ device, fit }) => ({
      device,
      series: fit,
      range: splitInTime(fit.rows, spec.heldBack).train,
    })),
  );
  let detector: Detector | undefined;
  try {
    const topology = JSON.stringify(await blueprintFor(spec, channels, pretrain?.objective));
    detector = await openDetector({
      spec,
      topology,
      channels,
      seed,
      statistics,
      maxBatch: training.batchSize,
    });
    const fits = benches.map(({ fit }) => fit);
    await trainWhole(detector, fits, { training, pretrain, seed, ...(signal && { signal }) });
    const found = benches.map((bench) => judge(detector!, bench, alarm));
    const heldBackLoss = detector.heldBackLoss(fits);
    return { point, aucPr: mean(found), heldBackLoss, parameters: layoutSize(detector.layout) };
  } catch (error) {
    const { code, message } = asFleetError(error, "BAD_INPUT");
    // Settings that do not fit the data or each other, or diverge, are a result; anything else is not.
    if (!["BAD_INPUT", "UNAVAILABLE", "NOT_FINITE", "UNSUPPORTED"].includes(code)) throw error;
    const nothing = Number.NaN;
    return { point, aucPr: nothing, heldBackLoss: nothing, parameters: 0, failed: message };
  } finally {
    detector?.dispose();
  }
}

/** Scores the faults as an agent would that has just seen the rows before them. */
function judge(detector: Detector, { fit, faults }: Bench, alarm: TuneOptions["alarm"]): number {
  const { channels } = fit;
  const scorer = detector.scorer(detector.calibrate(fit, alarm), alarm.smooth);
  const row = (values: Float32Array, i: number) => values.subarray(i * channels, (i + 1) * channels);
  for (let i = Math.max(0, fit.rows - warmUpRows(detector, alarm.smooth)); i < fit.rows; i++)
    scorer.push(row(fit.values, i));
  const start = scorer.state();
  return mean(
    faults.map(({ values, labels }) => {
      scorer.restore(start);
      return aucPr(
        Float64Array.from(labels, (_, i) => scorer.push(row(values, i))),
        labels,
      );
    }),
  );
}

function rank({ aucPr }: Trial): number {
  return Number.isNaN(aucPr) ? -1 : aucPr;
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
