// The losses of the engine in plain double precision, of one row p against y; the tests compare the kernels with them.

const EPSILON = 1e-7;
const clip = (value: number, low: number, high: number) => Math.min(Math.max(value, low), high);
const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0);
const softplus = (x: number) => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));
const unit = (values: readonly number[]) => {
  const length = Math.sqrt(Math.max(sum(values.map((value) => value * value)), EPSILON));
  return values.map((value) => value / length);
};
const logits = (p: readonly number[]) => {
  const top = Math.max(...p);
  const whole = top + Math.log(sum(p.map((value) => Math.exp(value - top))));
  return p.map((value) => value - whole);
};
const shares = (p: readonly number[]) => {
  const whole = sum(p);
  return p.map((value) => Math.log(clip(value / whole, EPSILON, 1 - EPSILON)));
};

/** Of one element; the row's loss is their sum, and each is a target. */
export const pointwise = {
  mse: (p: number, y: number) => (p - y) ** 2,
  mae: (p: number, y: number) => Math.abs(p - y),
  huber: (p: number, y: number, delta: number) =>
    Math.abs(p - y) <= delta ? (p - y) ** 2 / 2 : delta * (Math.abs(p - y) - delta / 2),
  binaryCrossentropy: (p: number, y: number) => {
    const q = clip(p, EPSILON, 1 - EPSILON);
    return -y * Math.log(q) - (1 - y) * Math.log(1 - q);
  },
  binaryCrossentropyLogits: (x: number, y: number) => softplus(x) - x * y,
  logCosh: (p: number, y: number) => softplus(2 * (p - y)) - (p - y) - Math.log(2),
  poisson: (p: number, y: number) => p - y * Math.log(p + EPSILON),
};

/** Of a whole row, which is one target. */
export const rowwise = {
  categoricalCrossentropy: (p: readonly number[], y: readonly number[]) =>
    -sum(shares(p).map((log, j) => y[j]! * log)),
  categoricalCrossentropyLogits: (p: readonly number[], y: readonly number[]) =>
    -sum(logits(p).map((log, j) => y[j]! * log)),
  sparseCrossentropy: (p: readonly number[], [c]: readonly number[]) => -shares(p)[c!]!,
  sparseCrossentropyLogits: (p: readonly number[], [c]: readonly number[]) => -logits(p)[c!]!,
  kullbackLeibler: (p: readonly number[], y: readonly number[]) =>
    sum(p.map((q, j) => y[j]! * Math.log(clip(y[j]!, EPSILON, 1) / clip(q, EPSILON, 1)))),
  cosineDistance: (p: readonly number[], y: readonly number[]) => {
    const towards = unit(y);
    return -sum(unit(p).map((value, j) => value * towards[j]!));
  },
};
