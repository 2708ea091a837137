import { FleetError } from "../../protocol/errors.ts";
import type { DetectorSpec } from "../../protocol/task.ts";
import { fitScaler, identityScaler, rowScaler, type Scaler, scaleSeries } from "../data/scaling.ts";
import { splitByContent } from "../data/split-rows.ts";
import { decodeStatistics, seriesStatistics } from "../data/statistics.ts";
import { type RowRange, splitInTime } from "../data/windows.ts";
import { fitLevel } from "../scoring/alarm-level.ts";
import { driftReference } from "../scoring/drift.ts";
import { fitSmoothing, longest, type Smoothing, smoother } from "../scoring/ladder.ts";
import { levelTracker } from "../scoring/level.ts";
import { residualFit, residualScorer } from "../scoring/residual.ts";
import { fitTail } from "../scoring/tail.ts";
import { ALONE } from "./alarm-rule.ts";
import { kindOf, tunedOptions } from "./catalog.ts";
import type { AlarmLevel, Calibration, Detector, Recent, TrainOptions } from "./detector.ts";
import type { ReadRows, ScaledPart } from "./kind.ts";
import { scaledRows } from "./scaled-rows.ts";
import { floors, streamScorer } from "./stream-scorer.ts";

export interface OpenDetectorOptions {
  readonly spec: DetectorSpec;
  /** JSON, as the version carries it: the network, or what is summed. */
  readonly topology: string;
  readonly channels: number;
  readonly seed: number;
  /** The fleet's channel statistics where scaling is federated, else null: this device's own are used. */
  readonly statistics: Uint8Array | null;
  /** Largest batch to train with; a detector that only scores needs little memory. */
  readonly maxBatch?: number;
}

/** Rows after which the scores of a stream no longer depend on where it began: none where rows stand alone. */
export function warmUpRows({ spec, input }: Pick<Detector, "spec" | "input">, smooth: Smoothing): number {
  return input === "series" ? 2 * Math.max(spec.window, spec.adaptRows, longest(smooth)) : 0;
}

/** Held-back rows without which sigma and threshold would be luck. */
const fewestHeldBack = 32;
/** Whether a series is long enough to be cut into a part to train on and a held-back one. */
export function enoughRows(rows: number, { window }: DetectorSpec): boolean {
  return rows - Math.max(fewestHeldBack, window + 1) > window;
}

/** The part of a series' rows that is held back from training. */
export function heldBackPart(rows: number, { heldBack, window }: DetectorSpec): number {
  return Math.max(heldBack, Math.max(fewestHeldBack, window + 1) / rows);
}

/**
 * Rows that a device's level is followed over: none where it has seen fewer than that. A change slower than all that is known of a device can't be told from a
 * fault that lasts: SKAB's faults last 100 to 300 rows on 400 rows of history, and following the level costs a ridge VAR(3) 0.02 to 0.04 of its AUROC there.
 */
function levelRows({ adaptRows }: DetectorSpec, rows: number): number {
  return rows < adaptRows ? 0 : adaptRows;
}

/** Rows far outside would pull the weights after them; in scores they count in full, up to the spec's clip. */
export const trainingClip = 10;

/**
 * A detector of the catalog on one device: rows are scaled, the kind says how far each is off what it has learned, and the score is the squared residual of each
 * channel over its usual size on held-back data, averaged over the channels and smoothed. Throws BAD_SHAPE where the network
 * is for another number of channels.
 */
export async function openDetector(options: OpenDetectorOptions): Promise<Detector> {
  const { channels } = options;
  const kind = await kindOf(options.spec.name);
  const { input } = kind;
  const inTime = input === "series";
  // A record or an image is judged by itself, whatever the task says of rows in time; and the probability of a fault that lasts must not become normal.
  const spec = {
    ...options.spec,
    ...(inTime ? {} : { window: 1 }),
    ...(inTime && !kind.supervised ? {} : { adaptRows: 0 }),
  };
  const smoothingOf = (smooth: Smoothing) => (inTime ? smooth : 1);
  const tuned = tunedOptions(kind, spec);
  const normalized = typeof kind.normalized === "function" ? kind.normalized(tuned) : kind.normalized;
  const estimator = await kind.open({
    blueprint: JSON.parse(options.topology),
    spec,
    channels,
    tuned,
    seed: options.seed,
    maxBatch: options.maxBatch ?? 32,
  });
  const federated = options.statistics === null ? undefined : decodeStatistics(options.statistics);

  /** The series that are long enough, each cut in two. */
  const split = (data: Recent | readonly Recent[]): Cut[] => {
    const all = Array.isArray(data) ? (data as readonly Recent[]) : [data as Recent];
    const cuts = all.flatMap((series) => {
      const { rows } = series;
      if (!enoughRows(rows, spec)) return [];
      const heldBack = heldBackPart(rows, spec);
      return [inTime ? { series, ...splitInTime(rows, heldBack) } : splitByContent(series, heldBack)];
    });
    if (cuts.length > 0) return cuts;
    const rows = all.reduce((sum, series) => sum + series.rows, 0);
    throw new FleetError(
      "UNAVAILABLE",
      `${rows} rows of data are too few${inTime ? ` for windows of ${spec.window}` : ""}: the device must collect more`,
    );
  };
  const fitOn = ({ series, train }: Cut): Scaler => {
    if (kind.scaling === "none") return identityScaler(channels, spec.clip);
    const statistics = federated ?? seriesStatistics(series, train);
    return fitScaler(statistics, { clip: spec.clip, sigmaFloor: spec.sigmaFloor });
  };
  const scaled = (cut: Cut, overwrite = false) => {
    const { series, train, heldBack } = cut;
    const scaler = fitOn(cut);
    const clipped = { ...scaler, clip: Math.min(scaler.clip, trainingClip) };
    // Before the values may be scaled in place.
    const marked = kind.marksMissing ? scaleSeries(clipped, series.values, { fill: false }) : undefined;
    const targets: ReadRows | undefined =
      marked && ((first, rows) => marked.subarray(first * channels, (first + rows) * channels));
    const read = scaledRows(series, clipped, { inTime, overwrite });
    const { labels } = series;
    const part = (range: RowRange): ScaledPart => ({
      read,
      channels,
      ...range,
      ...(targets && { targets }),
      ...(labels && { labels }),
    });
    return { train: part(train), heldBack: part(heldBack) };
  };

  return {
    spec: options.spec,
    input,
    channels,
    layout: estimator.layout,
    weights: () => estimator.weights(),
    setWeights: (flat) => estimator.setWeights(flat),
    async train(data, { training, personal, overwrite, seed, signal, onProgress }: TrainOptions) {
      const parts = split(data).map((cut) => scaled(cut, overwrite));
      const train = parts.map((part) => part.train);
      const heldBackLoss = estimator.loss(parts.map(({ heldBack }) => heldBack));
      const { epochs } = training;
      const loss = await estimator.train(train, {
        training,
        seed,
        ...(personal === undefined ? {} : { personal }),
        ...(signal === undefined ? {} : { signal }),
        onEpoch: ({ epoch, loss }) => onProgress?.({ epoch, epochs, loss }),
      });
      return { samples: estimator.samples(train, training.pretext), loss, heldBackLoss };
    },
    heldBackLoss: (data) => estimator.loss(split(data).map((cut) => scaled(cut).heldBack)),
    misfit(data) {
      const cut = split(data)[0]!;
      if (estimator.likelihood || !normalized) return estimator.loss([scaled(cut).heldBack]);
      const adaptRows = levelRows(spec, data.rows);
      const stretch = residualsOf(cut, fitOn(cut), warmUpRows({ spec, input }, 1), adaptRows);
      if (stretch.residuals.subarray(stretch.before * stretch.width).every(Number.isNaN)) return Number.NaN;
      const sigma = usualSize(stretch);
      return sigma.reduce((sum, s) => sum + Math.log(Math.max(floors.residual, s)), 0) / sigma.length;
    },
    calibrate(recent, alarm: AlarmLevel): Calibration {
      const { rateHz } = alarm;
      const smooth = smoothingOf(alarm.smooth);
      const cut = split(recent)[0]!;
      const scaler = fitOn(cut);
      const adaptRows = levelRows(spec, recent.rows);
      const stretch = residualsOf(cut, scaler, warmUpRows({ spec, input }, smooth), adaptRows);
      const sigma = normalized ? usualSize(stretch) : new Float64Array(estimator.residuals).fill(1);
      const scores = Float64Array.from(scoresOf(stretch, sigma));
      const levels = fitSmoothing(smooth, scores);
      const smoothing = smoother(smooth, levels);
      const smoothed = scores.map((score) => smoothing.push(score));
      return {
        sigma: [...sigma],
        scalerMean: [...scaler.mean],
        scalerSigma: [...scaler.sigma],
        levels,
        adaptRows,
        ...fitLevel(smoothed, { ...alarm, ...(inTime ? {} : ALONE), smooth }),
        ...(rateHz === undefined ? {} : { rateHz }),
        tail: fitTail(smoothed),
        drift: driftReference(smoothed),
        rows: scores.filter((score) => !Number.isNaN(score)).length,
      };
    },
    scorer: (calibration, smooth) =>
      streamScorer({ estimator, spec, inTime, channels, calibration, smooth: smoothingOf(smooth) }),
    ...(estimator.probabilities && {
      probabilities: (values: Float32Array) => estimator.probabilities!(values),
    }),
    dispose: () => estimator.dispose(),
  };

  function isNormal(label = 0): boolean {
    return estimator.isNormal?.(label) ?? label === 0;
  }

  /** Residuals of the held-back rows of one series, and of some rows before them, from which the level starts. */
  function residualsOf(
    { series, heldBack }: Cut,
    scaler: Scaler,
    warmUp: number,
    adaptRows: number,
  ): Stretch {
    const stream = estimator.stream();
    const scale = rowScaler(scaler);
    const row = new Float32Array(channels);
    const target = new Float32Array(channels);
    const width = estimator.residuals;
    const from = Math.max(0, heldBack.from - warmUp);
    const residuals = new Float32Array((heldBack.to - from) * width);
    for (let i = from; i < heldBack.to; i++) {
      if (!inTime) scale.last.fill(0);
      scale.scaleRow(series.values.subarray(i * channels, (i + 1) * channels), row, target);
      const residual = stream.push(row, target);
      // What is known to be no normal row says nothing of what is usual.
      if (!isNormal(series.labels?.[i]))
        residuals.fill(Number.NaN, (i - from) * width, (i - from + 1) * width);
      else residuals.set(residual, (i - from) * width);
    }
    stream.dispose();
    return { residuals, width, before: heldBack.from - from, adaptRows };
  }

  /** Twice: the level's bound needs a sigma, and sigma is that of what the level leaves. */
  function usualSize(stretch: Stretch): Float64Array {
    const { residuals, before, width } = stretch;
    const raw = residualFit(width);
    raw.add(residuals.subarray(before * width));
    const levelled = residualFit(width);
    for (const residual of levelledRows(stretch, raw.sigma())) levelled.add(residual);
    return levelled.sigma();
  }

  function* scoresOf(stretch: Stretch, sigma: Float64Array): Generator<number> {
    const scorer = residualScorer({ sigma, sigmaFloor: floors.residual, clip: spec.residualClip });
    for (const residual of levelledRows(stretch, sigma)) yield scorer.score(residual);
  }

  /** The held-back rows as a stream would see them; each a view, valid until the next. */
  function* levelledRows(
    { residuals, before, width, adaptRows }: Stretch,
    sigma: Float64Array,
  ): Generator<Float32Array> {
    const tracker = levelTracker({ rows: adaptRows, sigma, sigmaFloor: floors.residual });
    const out = new Float32Array(width);
    for (let at = 0; at < residuals.length; at += width) {
      tracker.push(residuals.subarray(at, at + width), out);
      if (at >= before * width) yield out;
    }
  }
}

interface Cut {
  readonly series: Recent;
  readonly train: RowRange;
  readonly heldBack: RowRange;
}

interface Stretch {
  /** (rows, width). */
  readonly residuals: Float32Array;
  readonly width: number;
  /** Rows at the start that are not held back. */
  readonly before: number;
  readonly adaptRows: number;
}
