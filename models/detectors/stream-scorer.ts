import { FleetError } from "../../protocol/errors.ts";
import type { DetectorSpec } from "../../protocol/task.ts";
import { rowScaler, type Scaler } from "../data/scaling.ts";
import { type Smoothing, smoother } from "../scoring/ladder.ts";
import { levelTracker } from "../scoring/level.ts";
import { residualScorer } from "../scoring/residual.ts";
import { tailProbability } from "../scoring/tail.ts";
import type { Calibration, StreamScorer } from "./detector.ts";
import type { Estimator } from "./kind.ts";

/** Smallest sigma of a residual, in z-scores: chosen on SMD's training data. */
export const floors = { residual: 0.1 };

export interface StreamOptions {
  readonly estimator: Estimator;
  readonly spec: DetectorSpec;
  /** false: rows stand alone, and nothing of one is carried to the next. */
  readonly inTime: boolean;
  readonly channels: number;
  readonly calibration: Calibration;
  readonly smooth: Smoothing;
}

/** Scale, take the residuals, take their slow part off, judge them by their usual size, smooth: what becomes of each row. */
export function streamScorer({
  estimator,
  spec,
  inTime,
  channels,
  calibration,
  smooth,
}: StreamOptions): StreamScorer {
  const scaler: Scaler = {
    channels,
    mean: Float64Array.from(calibration.scalerMean),
    sigma: Float64Array.from(calibration.scalerSigma),
    clip: spec.clip,
  };
  const sigma = Float64Array.from(calibration.sigma);
  const residuals = estimator.stream();
  const tracker = levelTracker({
    rows: calibration.adaptRows ?? spec.adaptRows,
    sigma,
    sigmaFloor: floors.residual,
  });
  const scorer = residualScorer({ sigma, sigmaFloor: floors.residual, clip: spec.residualClip });
  const smoothing = smoother(smooth, calibration.levels);
  const row = new Float32Array(channels);
  const target = new Float32Array(channels);
  const levelled = new Float32Array(estimator.residuals);
  let scale = rowScaler(scaler);
  let { tail } = calibration;
  const parts = () => [scale.last, residuals.state(), tracker.level, smoothing.state()];
  const stateSize = parts().reduce((sum, { length }) => sum + length, 0);

  return {
    contributions: scorer.contributions,
    push(raw) {
      if (!inTime) scale.last.fill(0);
      scale.scaleRow(raw, row, target);
      tracker.push(residuals.push(row, target), levelled);
      return smoothing.push(scorer.score(levelled));
    },
    probability: (score) => tailProbability(tail, score),
    setTail(fitted) {
      tail = fitted;
    },
    state() {
      const state = new Float32Array(stateSize);
      let at = 0;
      for (const part of parts()) {
        state.set(part, at);
        at += part.length;
      }
      return state;
    },
    restore(state) {
      if (state.length !== stateSize) {
        throw new FleetError(
          "CORRUPT",
          `the scorer's state has ${state.length} values, this detector needs ${stateSize}`,
        );
      }
      let at = 0;
      const next = (length: number) => {
        at += length;
        return state.slice(at - length, at);
      };
      scale = rowScaler(scaler, next(channels));
      residuals.restore(next(residuals.stateSize));
      tracker.level.set(next(tracker.level.length));
      smoothing.restore(next(smoothing.stateSize));
    },
    reset() {
      scale = rowScaler(scaler);
      residuals.reset();
      tracker.level.fill(0);
      smoothing.reset();
    },
  };
}
