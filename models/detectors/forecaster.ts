import { FleetError } from "../../protocol/errors.ts";
import { forecastWindows } from "../data/windows.ts";
import type { Model } from "../engine/compile.ts";
import type { Estimator, EstimatorOptions, Hyperparameters, ResidualStream, ScaledPart } from "./kind.ts";
import { linearPart } from "./linear-part.ts";
import { compileNetwork, fitNetwork, joined, meanLoss } from "./network.ts";
import { LINEAR_LAYER } from "./topology.ts";

/** What all forecasters can be tuned by. */
export const forecasterHyperparameters = {
  ridge: {
    default: 0.03,
    least: 1e-4,
    most: 100,
    real: true,
    about: "added to the variance of every input of the linear part, which is 1 as scaled",
    source:
      "of 0.001 to 0.3, where held-back rows of SMD's training data are forecast best by the fleet's sums",
    search: [0.003, 0.03, 0.3],
  },
} as const satisfies Hyperparameters;

/**
 * A network that says at every row of a window the next one, x: (batch, window, channels) -> y: the same shape; row by row on a stream. Its array holds the
 * network's weights, then the sums that its linear part is solved from.
 */
export async function openForecaster(options: EstimatorOptions): Promise<Estimator> {
  const model = await compileNetwork(options);
  const { spec, tuned } = options;
  const { window } = spec;
  const linear = linearPart(model, options, tuned.ridge!);
  const windows = (parts: readonly ScaledPart[], stride: number) =>
    joined(parts.map((part) => forecastWindows({ ...part, window, stride })));
  return {
    layout: [...model.layout, ...linear.layout],
    weights: () => concatenated(model.weights(), linear.weights()),
    setWeights(flat) {
      if (flat.length <= model.parameters)
        throw new FleetError("BAD_SHAPE", `there are ${flat.length} weights, the forecaster has more`);
      model.setWeights(flat.subarray(0, model.parameters));
      linear.setWeights(flat.subarray(model.parameters));
    },
    samples: (parts) => windows(parts, spec.stride).count,
    async train(parts, training) {
      await linear.begin(parts, training);
      const loss = await fitNetwork(model, windows(parts, spec.stride), training, { freeze: [LINEAR_LAYER] });
      await linear.end(parts, training);
      return loss;
    },
    loss: (parts) => meanLoss(model, windows(parts, window)),
    residuals: model.inputShape.at(-1)!,
    stream: () => forecastStream(model),
    dispose: () => model.dispose(),
  };
}

function concatenated(a: Float32Array, b: Float32Array): Float32Array {
  const both = new Float32Array(a.length + b.length);
  both.set(a);
  both.set(b, a.length);
  return both;
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
