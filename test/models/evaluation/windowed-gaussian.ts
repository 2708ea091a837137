/**
 * NAB's windowed Gaussian: one minus the one-sided tail probability of a value under the mean and (population) deviation
 * of the values before it. The window grows to `size` rows and then moves on by `step` rows at a time.
 * Source: numenta/NAB release 1.0, its description and its tuned sizes (6400 and 100).
 */
export function windowedGaussian(
  values: Float32Array | Float64Array,
  { size = 6400, step = 100 } = {},
): Float64Array {
  const scores = new Float64Array(values.length);
  let from = 0;
  let to = 0;
  let [mean, sigma] = [0, 1];
  for (let i = 0; i < values.length; i++) {
    if (to > 0) scores[i] = 1 - upperTail(Math.abs(values[i]! - mean) / sigma);
    if (to - from < size) to = i + 1;
    else if (i + 1 - to === step) {
      from += step;
      to += step;
    } else continue;
    let [sum, squares] = [0, 0];
    for (let k = from; k < to; k++) sum += values[k]!;
    mean = sum / (to - from);
    for (let k = from; k < to; k++) squares += (values[k]! - mean) ** 2;
    sigma = Math.sqrt(squares / (to - from)) || 1e-6;
  }
  return scores;
}

/** P(Z > z) of a standard normal Z for z >= 0: a power series below 3, Laplace's continued fraction from there. */
export function upperTail(z: number): number {
  const density = Math.exp((-z * z) / 2) / Math.sqrt(2 * Math.PI);
  if (z < 3) {
    let [sum, term] = [z, z];
    for (let n = 3; term > 1e-18 * sum; n += 2) {
      term *= (z * z) / n;
      sum += term;
    }
    return 0.5 - density * sum;
  }
  let fraction = z;
  for (let n = 60; n >= 1; n--) fraction = z + n / fraction;
  return density / fraction;
}
