import { FleetError } from "../../protocol/errors.ts";
import type { DetectorSpec } from "../../protocol/task.ts";
import { fitScaler, type Scaler, scaleSeries } from "../data/scaling.ts";
import { decodeStatistics, seriesStatistics } from "../data/statistics.ts";
import { forecastWindows, splitInTime } from "../data/windows.ts";
import { compile } from "../engine/compile.ts";
import { residualFit, residualScorer } from "../scoring/residual.ts";
import { movingAverage } from "../scoring/smoothing.ts";
import { fitThreshold } from "../scoring/threshold.ts";
import type { Calibration, Detector, Recent, TrainOptions } from "./detector.ts";
import { residualStream } from "./residual-stream.ts";
import { floors, none, streamScorer } from "./stream-scorer.ts";

export interface OpenDetectorOptions {
  readonly spec: DetectorSpec;
  /** LayersModel JSON, as the version carries it. */
  readonly topology: string;
  readonly channels: number;
  readonly seed: number;
  /** The fleet's channel statistics where scaling is federated, else null: this device's own are used. */
  readonly statistics: Uint8Array | null;
  /** Largest batch to train with; a detector that only scores needs little memory. */
  readonly maxBatch?: number;
}

/** Rows after which the scores of a stream no longer depend on where it began. */
export function warmUpRows({ window, adaptRows }: DetectorSpec): number {
  return 2 * Math.max(window, adaptRows);
}

/** Held-back rows without which sigma and threshold would be luck. */
const fewestHeldBack = 32;

/**
 * A recurrent forecaster on one device. Data is scaled to z-scores, the network forecasts the next row at every row, and the score is the squared
 * residual of each channel over its usual size, averaged over the channels and over the last rows. Throws BAD_SHAPE where the topology is
 * for another number of channels.
 */
export async function openDetector(options: OpenDetectorOptions): Promise<Detector> {
  const { spec, channels } = options;
  const model = await compile(JSON.parse(options.topology), {
    seed: options.seed,
    maxBatch: options.maxBatch ?? 32,
  });
  if (model.inputShape.at(-1) !== channels) {
    const own = model.inputShape.at(-1);
    model.dispose();
    throw new FleetError("BAD_SHAPE", `the network takes ${own} channels, this device has ${channels}`);
  }
  const federated = options.statistics === null ? undefined : decodeStatistics(options.statistics);

  const split = ({ rows }: Recent) => {
    const parts = splitInTime(rows, spec.heldBack);
    const heldBack = parts.heldBack.to - parts.heldBack.from;
    if (
      rows - heldBack <= spec.window ||
      heldBack < Math.max(fewestHeldBack, Math.min(spec.window + 1, rows))
    ) {
      throw new FleetError(
        "UNAVAILABLE",
        `${rows} rows of data are too few for windows of ${spec.window}: the device must collect more`,
      );
    }
    return parts;
  };
  const fitOn = (recent: Recent): Scaler =>
    fitScaler(federated ?? seriesStatistics(recent, split(recent).train), {
      clip: spec.clip,
      sigmaFloor: floors.channel,
    });

  return {
    spec,
    channels,
    layout: model.layout,
    weights: () => model.weights(),
    setWeights: (flat) => model.setWeights(flat),
    async train(recent, { training, seed, signal, onProgress }: TrainOptions) {
      const parts = split(recent);
      const values = scaleSeries(fitOn(recent), recent.values, { fill: true });
      const windows = { values, rows: recent.rows, channels, window: spec.window };
      const train = forecastWindows({ ...windows, ...parts.train, stride: spec.stride });
      const heldBack = forecastWindows({ ...windows, ...parts.heldBack, stride: spec.window });
      const { epochs, batchSize, optimizer, learningRate, clipNorm, mu } = training;
      const heldBackLoss = model.evaluate(heldBack).loss;
      const { losses } = await model.fit(train, {
        epochs,
        batchSize,
        optimizer: { name: optimizer, learningRate },
        loss: "mse",
        seed,
        shuffle: true,
        ...(clipNorm > 0 ? { clipNorm } : {}),
        ...(mu > 0 ? { proximal: { mu } } : {}),
        ...(signal === undefined ? {} : { signal }),
        onEpoch: ({ epoch, loss }) => onProgress?.({ epoch, epochs, loss }),
      });
      return { samples: train.count, loss: losses.at(-1)!, heldBackLoss };
    },
    calibrate(recent, { quantile, smooth }): Calibration {
      const { heldBack } = split(recent);
      const scaler = fitOn(recent);
      const stream = residualStream({ model, scaler, adaptRows: spec.adaptRows });
      const residuals = new Float32Array((heldBack.to - heldBack.from) * channels);
      for (let i = Math.max(0, heldBack.from - warmUpRows(spec)); i < recent.rows; i++) {
        const residual = stream.push(recent.values.subarray(i * channels, (i + 1) * channels));
        if (i >= heldBack.from) residuals.set(residual, (i - heldBack.from) * channels);
      }
      stream.dispose();
      const usual = residualFit(channels);
      usual.add(residuals);
      const sigma = usual.sigma();
      const scorer = residualScorer({ sigma, sigmaFloor: floors.residual });
      const average = movingAverage(smooth);
      const expected = none(channels);
      const scores = Float64Array.from({ length: heldBack.to - heldBack.from }, (_, i) =>
        average.push(
          Math.fround(scorer.score(residuals.subarray(i * channels, (i + 1) * channels), expected)),
        ),
      );
      return {
        sigma: [...sigma],
        scalerMean: [...scaler.mean],
        scalerSigma: [...scaler.sigma],
        threshold: fitThreshold(scores, { kind: "auto", quantile }),
        rows: scores.length,
      };
    },
    scorer: (calibration, smooth) => streamScorer({ model, spec, channels, calibration, smooth }),
    dispose: () => model.dispose(),
  };
}
