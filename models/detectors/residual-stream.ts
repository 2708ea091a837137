import { rowScaler, type Scaler } from "../data/scaling.ts";
import type { Model } from "../engine/compile.ts";

/** What the forecast was wrong by, row after row. */
export interface ResidualStream {
  /** Scaled residual of one raw row (channels), a view; NaN where there was no forecast or no value. Throws NOT_FINITE. */
  push(row: Float32Array): Float32Array;
  readonly stateSize: number;
  state(): Float32Array;
  restore(state: Float32Array): void;
  reset(): void;
  dispose(): void;
}

export interface ResidualOptions {
  readonly model: Model;
  readonly scaler: Scaler;
  readonly adaptRows: number;
}

export function residualStream({ model, scaler, adaptRows }: ResidualOptions): ResidualStream {
  const { channels } = scaler;
  const stepper = model.stepper();
  const input = new Float32Array(channels);
  const target = new Float32Array(channels);
  const residual = new Float32Array(channels);
  const forecast = new Float32Array(channels).fill(Number.NaN);
  /** Slow part of the residual: an exponential average over adaptRows. */
  const level = new Float32Array(channels);
  const rate = adaptRows > 0 ? 1 / adaptRows : 0;
  let scale = rowScaler(scaler);
  const parts = () => [forecast, level, scale.last, stepper.state()];
  const stateSize = parts().reduce((sum, { length }) => sum + length, 0);

  return {
    stateSize,
    push(row) {
      scale.scaleRow(row, input, target);
      for (let c = 0; c < channels; c++) {
        const error = target[c]! - forecast[c]!;
        residual[c] = error - level[c]!;
        if (!Number.isNaN(error)) level[c]! += rate * (error - level[c]!);
      }
      forecast.set(stepper.step(input));
      return residual;
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
      forecast.set(state.subarray(0, channels));
      level.set(state.subarray(channels, 2 * channels));
      scale = rowScaler(scaler, state.slice(2 * channels, 3 * channels));
      stepper.setState(state.slice(3 * channels));
    },
    reset() {
      forecast.fill(Number.NaN);
      level.fill(0);
      scale = rowScaler(scaler);
      stepper.reset();
    },
    dispose: () => stepper.dispose(),
  };
}
