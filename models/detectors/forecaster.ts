import type { DetectorSpec } from "../../protocol/task.ts";
import type { Model } from "../engine/compile.ts";
import type { Change } from "./augment/change.ts";
import { changeFor } from "./augmentation.ts";
import type { Estimator, EstimatorOptions, ResidualStream, ScaledPart } from "./kind.ts";
import { withLinearPart } from "./linear-part.ts";
import { compileNetwork, fitNetwork, meanLoss } from "./network.ts";
import { LINEAR_LAYER } from "./topology.ts";
import { windowSamples } from "./window-samples.ts";

/** A forecaster of a version, whose linear part is solved for. More at `forecaster`. */
export async function openForecaster(options: EstimatorOptions): Promise<Estimator> {
  const model = await compileNetwork(options);
  return withLinearPart(forecaster(model, options.spec, [LINEAR_LAYER]), { ...options, model });
}

/**
 * A network that says at every row of a window the next one, x: (batch, window, channels) -> y: the same shape; row by row on a stream. Layers named in `freeze`
 * are not trained.
 */
export function forecaster(
  model: Model,
  { window, stride }: Pick<DetectorSpec, "window" | "stride">,
  freeze: readonly string[] = [],
): Estimator {
  const learning = learnsForecasts(model, { window, stride, freeze, target: 1 });
  return { ...learning, stream: () => forecastStream(model) };
}

export interface ForecastLearning extends Pick<DetectorSpec, "window" | "stride"> {
  readonly freeze?: readonly string[];
  /** The target's first row in a window and the row after it; it goes on to that last one. */
  readonly target: number;
}

/** What all networks that forecast have in common: windows and the rows after them, all but what a stream is. */
export function learnsForecasts(
  model: Model,
  { window, stride, freeze = [], target }: ForecastLearning,
): Omit<Estimator, "stream"> {
  const channels = model.inputShape.at(-1)!;
  const windows = (parts: readonly ScaledPart[], stride: number, change?: Change) =>
    windowSamples(parts, {
      rows: window + 1,
      stride,
      change,
      write({ seen, wanted }, { x, y }) {
        x.set(seen.subarray(0, window * channels));
        y.set(wanted.subarray(target * channels));
      },
    });
  return {
    layout: model.layout,
    weights: () => model.weights(),
    setWeights: (flat) => model.setWeights(flat),
    samples: (parts) => windows(parts, stride).count,
    async train(parts, options) {
      const pretext = options.training.pretext === "masked";
      const change = await changeFor(options, { rows: window + 1, channels, forecasts: true, pretext });
      return fitNetwork(model, windows(parts, stride, change), options, { freeze });
    },
    loss: (parts) => meanLoss(model, windows(parts, window)),
    residuals: channels,
    dispose: () => model.dispose(),
  };
}

/** What the forecast made one row earlier was wrong by. */
function forecastStream(model: Model): ResidualStream {
  const channels = model.inputShape.at(-1)!;
  const stepper = model.stepper();
  const residual = new Float32Array(channels);
  const forecast = new Float32Array(channels).fill(Number.NaN);
  const stateSize = channels + stepper.state().length;
  return {
    stateSize,
    push(row, target) {
      for (let c = 0; c < channels; c++) residual[c] = target[c]! - forecast[c]!;
      forecast.set(stepper.step(row));
      return residual;
    },
    state() {
      const state = new Float32Array(stateSize);
      state.set(forecast);
      state.set(stepper.state(), channels);
      return state;
    },
    restore(state) {
      forecast.set(state.subarray(0, channels));
      stepper.setState(state.slice(channels));
    },
    reset() {
      forecast.fill(Number.NaN);
      stepper.reset();
    },
    dispose: () => stepper.dispose(),
  };
}
