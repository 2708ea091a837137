import { FleetError } from "../../protocol/errors.ts";
import type { DetectorKind, EstimatorOptions, ResidualStream } from "./kind.ts";
import { solvePositive } from "./linear-algebra.ts";
import { type Products, products } from "./products.ts";
import { openBySums, type Sums, sumsBlueprint } from "./sums.ts";

export const vectorAutoregression: DetectorKind = {
  title: "forecasts the next row as a linear function of the last few",
  about:
    "The peer that a network has to beat: each channel's next value from the last rows of all channels, by ridge regression. Learns exactly, in one round and in seconds; no seed, no learning rate. Lütkepohl 2005, New Introduction to Multiple Time Series Analysis, chapter 3; ridge: Hoerl and Kennard 1970.",
  input: "series",
  learns: "by sums",
  scaling: "channels",
  normalized: true,
  hyperparameters: {
    lags: {
      default: 3,
      least: 1,
      most: 32,
      about: "rows that the forecast sees; the array grows with the square",
      source: "three, as in the reference table of the data sets",
      search: [1, 2, 3, 5],
    },
    ridge: {
      default: 0.001,
      least: 1e-4,
      most: 100,
      real: true,
      about: "added to the variance of every input, which is 1 as scaled",
      source:
        "from 0.0003 to 0.003 the row of SMD's reference table is met within 0.01; float32 sums allow no less than 0.0001",
      search: [0.001, 0.01, 0.1],
    },
  },
  blueprint(options) {
    products(options.channels, options.tuned.lags!);
    return sumsBlueprint(
      options,
      "mean over rows of v v', v = (1, the row, the one before it, ..., the one `lags` before it) in z-scores, upper triangle row by row",
    );
  },
  open: async (options) => openRegression(options, options.tuned.lags!, options.tuned.ridge!),
};

/** A ridge regression of each row on the `lags` before it. */
export function openRegression(options: EstimatorOptions, lags: number, ridge: number) {
  return openBySums(options, regressionSums(options.channels, lags, ridge));
}

/** (channels, 1 + lags * channels), row-major: forecast = coefficients (1, last row, the one before it, ...). */
interface Regression {
  readonly coefficients: Float64Array;
}

function regressionSums(channels: number, lags: number, ridge: number): Sums<Regression> {
  const sums = products(channels, lags);
  const inputs = 1 + lags * channels;
  const past = new Float32Array(lags * channels);
  const forecast = new Float32Array(channels);
  return {
    layout: sums.layout,
    prior: sums.prior,
    residuals: channels,
    before: lags,
    add: sums.add,
    solve: (means) => ({ coefficients: regress(sums, means, { channels, inputs, ridge }) }),
    loss({ coefficients }, values, at) {
      for (let lag = 1; lag <= lags; lag++) {
        const from = at - lag * channels;
        past.set(values.subarray(from, from + channels), (lag - 1) * channels);
      }
      predict(coefficients, past, forecast);
      let sum = 0;
      for (let c = 0; c < channels; c++) sum += (values[at + c]! - forecast[c]!) ** 2;
      return sum / channels;
    },
    stream: ({ coefficients }) => regressionStream(coefficients, channels, lags),
  };
}

interface RegressOptions {
  readonly channels: number;
  readonly inputs: number;
  readonly ridge: number;
}

/** The normal equations, (X'X + ridge) A = X'Y, all over the number of samples. */
function regress(
  { mean }: Products,
  means: Float64Array,
  { channels, inputs, ridge }: RegressOptions,
): Float64Array {
  // Where input i and target c stand in v.
  const input = (i: number) => (i === 0 ? 0 : channels + i);
  const b = new Float64Array(inputs * channels);
  for (let i = 0; i < inputs; i++) {
    for (let c = 0; c < channels; c++) b[i * channels + c] = mean(means, input(i), 1 + c);
  }
  const a = new Float64Array(inputs * inputs);
  // Sums that were rounded, or blurred by noise on purpose, may need more than was asked for.
  for (let more = ridge; Number.isFinite(more); more *= 10) {
    for (let i = 0; i < inputs; i++) {
      for (let j = 0; j < inputs; j++) a[i * inputs + j] = mean(means, input(i), input(j));
      // The constant is free: a channel's mean is no effect to shrink.
      if (i > 0) a[i * inputs + i]! += more;
    }
    if (!solvePositive(a, b, inputs)) continue;
    const coefficients = new Float64Array(channels * inputs);
    for (let i = 0; i < inputs; i++) {
      for (let c = 0; c < channels; c++) coefficients[c * inputs + i] = b[i * channels + c]!;
    }
    return coefficients;
  }
  throw new FleetError("NOT_FINITE", "these sums are of no data that can be; train the detector again");
}

/** past: (lags, channels), newest first. */
function predict(coefficients: Float64Array, past: Float32Array, out: Float32Array): void {
  const inputs = past.length + 1;
  let c = 0;
  // Four at a time: a single sum would wait for each of its additions. None adds in another order than alone.
  for (; c + 4 <= out.length; c += 4) {
    const from0 = c * inputs;
    const from1 = from0 + inputs;
    const from2 = from1 + inputs;
    const from3 = from2 + inputs;
    let sum0 = coefficients[from0]!;
    let sum1 = coefficients[from1]!;
    let sum2 = coefficients[from2]!;
    let sum3 = coefficients[from3]!;
    for (let k = 0; k < past.length; k++) {
      const x = past[k]!;
      sum0 += coefficients[from0 + 1 + k]! * x;
      sum1 += coefficients[from1 + 1 + k]! * x;
      sum2 += coefficients[from2 + 1 + k]! * x;
      sum3 += coefficients[from3 + 1 + k]! * x;
    }
    out[c] = sum0;
    out[c + 1] = sum1;
    out[c + 2] = sum2;
    out[c + 3] = sum3;
  }
  for (; c < out.length; c++) {
    const from = c * inputs;
    let sum = coefficients[from]!;
    for (let k = 0; k < past.length; k++) sum += coefficients[from + 1 + k]! * past[k]!;
    out[c] = sum;
  }
}

function regressionStream(coefficients: Float64Array, channels: number, lags: number): ResidualStream {
  const past = new Float32Array(lags * channels);
  const residual = new Float32Array(channels);
  const forecast = new Float32Array(channels);
  /** Rows seen, up to `lags`. */
  let seen = 0;
  return {
    stateSize: 1 + past.length,
    push(row, target) {
      if (seen < lags) {
        residual.fill(Number.NaN);
        seen++;
      } else {
        predict(coefficients, past, forecast);
        for (let c = 0; c < channels; c++) residual[c] = target[c]! - forecast[c]!;
      }
      past.copyWithin(channels, 0, (lags - 1) * channels);
      past.set(row);
      return residual;
    },
    state() {
      const state = new Float32Array(1 + past.length);
      state[0] = seen;
      state.set(past, 1);
      return state;
    },
    restore(state) {
      seen = state[0]!;
      past.set(state.subarray(1));
    },
    reset() {
      seen = 0;
      past.fill(0);
    },
    dispose() {},
  };
}
