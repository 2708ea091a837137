import { FleetError } from "../../protocol/errors.ts";
import type { DetectorSpec } from "../../protocol/task.ts";
import type { Scaler } from "../data/scaling.ts";
import type { Model } from "../engine/compile.ts";
import { residualScorer } from "../scoring/residual.ts";
import { movingAverage } from "../scoring/smoothing.ts";
import type { Calibration, StreamScorer } from "./detector.ts";
import { residualStream } from "./residual-stream.ts";

/** Smallest sigma of a channel, as a part of its typical size, and of a residual, in z-scores: chosen on SMD's training data. */
export const floors = { channel: 0.1, residual: 0.1 };
export interface StreamOptions {
  readonly model: Model;
  readonly spec: DetectorSpec;
  readonly channels: number;
  readonly calibration: Calibration;
  readonly smooth: number;
}

export function streamScorer({ model, spec, channels, calibration, smooth }: StreamOptions): StreamScorer {
  const scaler: Scaler = {
    channels,
    mean: Float64Array.from(calibration.scalerMean),
    sigma: Float64Array.from(calibration.scalerSigma),
    clip: spec.clip,
  };
  const stream = residualStream({ model, scaler, adaptRows: spec.adaptRows });
  const scorer = residualScorer({ sigma: Float64Array.from(calibration.sigma), sigmaFloor: floors.residual });
  const expected = none(channels);
  let average = movingAverage(smooth);
  // The residual stream's state, the number of smoothed scores, the scores.
  const stateSize = stream.stateSize + 1 + smooth;

  return {
    contributions: scorer.contributions,
    // float32, because that is what the state keeps: a restart must not change a score.
    push: (row) => average.push(Math.fround(scorer.score(stream.push(row), expected))),
    state() {
      const { recent } = average.state();
      const state = new Float32Array(stateSize);
      state.set(stream.state());
      state[stream.stateSize] = recent.length;
      state.set(recent, stream.stateSize + 1);
      return state;
    },
    restore(state) {
      if (state.length !== stateSize) {
        throw new FleetError(
          "CORRUPT",
          `the scorer's state has ${state.length} values, this detector needs ${stateSize}`,
        );
      }
      stream.restore(state.subarray(0, stream.stateSize));
      const recent = state.subarray(stream.stateSize + 1, stream.stateSize + 1 + state[stream.stateSize]!);
      average = movingAverage(smooth, { recent: [...recent] });
    },
    reset() {
      stream.reset();
      average = movingAverage(smooth);
    },
  };
}

/** A residual is already the difference, so what it is compared with is zero. */
export function none(channels: number): Float32Array {
  return new Float32Array(channels);
}
