import { expect, it } from "vitest";
import { kernelArena } from "./arena.ts";

const [RECTIFIER, ELU, GELU, GELU_TANH, SOFTPLUS, SOFTSIGN, SWISH, MISH, HARD_SWISH] = [
  0, 1, 2, 3, 4, 5, 6, 7, 8,
];

/** Dense near zero and out to +-20, both signs. 4,003 values: the last vector has a tail. */
const XS = Float32Array.from({ length: 4_003 }, (_, i) => {
  const t = (i - 2_001) / 2_001;
  return Math.sign(t) * (Math.abs(t) < 0.5 ? 10 ** (14 * Math.abs(t) - 7) : 1 + 19 * (Math.abs(t) - 0.5) * 2);
});

/** erf by its series near 0 and its continued fraction further out, in double precision. */
function erfc(x: number): number {
  if (x < 0) return 2 - erfc(-x);
  if (x < 2) {
    let term = x;
    let sum = x;
    for (let n = 1; n < 60; n++) {
      term *= (-x * x) / n;
      sum += term / (2 * n + 1);
    }
    return 1 - (2 / Math.sqrt(Math.PI)) * sum;
  }
  let fraction = 0;
  for (let k = 60; k >= 1; k--) fraction = k / 2 / (x + fraction);
  return Math.exp(-x * x) / Math.sqrt(Math.PI) / (x + fraction);
}
const softplus = (x: number) => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));
const sigmoid = (x: number) => 1 / (1 + Math.exp(-x));
const tanhInner = (x: number) => Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3);

type Params = readonly [number, number, number];
const CURVES: [string, number, Params, (x: number) => number, (x: number) => number][] = [
  ["leaky relu", RECTIFIER, [0.3, 0, Infinity], (x) => (x > 0 ? x : 0.3 * x), () => 1e-6],
  [
    "relu with a slope, a threshold and a maximum",
    RECTIFIER,
    [0.25, 1.5, 6],
    (x) => (x >= 6 ? 6 : x > 1.5 ? x : 0.25 * (x - 1.5)),
    () => 1e-6,
  ],
  ["elu", ELU, [0.7, 1, 0], (x) => (x > 0 ? x : 0.7 * Math.expm1(x)), () => 2e-6],
  [
    "selu",
    ELU,
    [1.6732632423543772, 1.0507009873554805, 0],
    (x) => 1.0507009873554805 * (x > 0 ? x : 1.6732632423543772 * Math.expm1(x)),
    () => 2e-6,
  ],
  // Rounding x^2 costs e^(-x^2/2) that much; below -13 the result is 0 or nearly so in float32.
  [
    "gelu",
    GELU,
    [0, 0, 0],
    (x) => (x * erfc(-x / Math.SQRT2)) / 2,
    (x) => (x < -12 ? Infinity : 1e-6 * (1 + x * x)),
  ],
  [
    "gelu by tanh",
    GELU_TANH,
    [0, 0, 0],
    (x) => x * sigmoid(2 * tanhInner(x)),
    (x) => (x < -9 ? Infinity : 1e-6 * (1 + Math.abs(tanhInner(x)))),
  ],
  ["softplus", SOFTPLUS, [0, 0, 0], softplus, () => 1e-6],
  ["softsign", SOFTSIGN, [0, 0, 0], (x) => x / (1 + Math.abs(x)), () => 1e-6],
  ["swish", SWISH, [0, 0, 0], (x) => x * sigmoid(x), () => 2e-6],
  ["mish", MISH, [0, 0, 0], (x) => x * Math.tanh(softplus(x)), () => 2e-6],
  [
    "hard swish",
    HARD_SWISH,
    [0, 0, 0],
    (x) => x * Math.min(1, Math.max(0, (x + 3) / 6)),
    (x) => (Math.abs(x + 3) < 0.1 ? 1e-4 : 2e-6),
  ],
];

it.each(CURVES)("curve - %s is accurate relative to its own size", async (_, kind, params, exact, limit) => {
  const { kernels, put, intact } = await kernelArena();
  const x = put(XS);
  const y = put(new Float32Array(XS.length));
  kernels.curve(kind, x.address, y.address, XS.length, ...params);
  XS.forEach((value, i) => {
    const expected = exact(value);
    const error = Math.abs(y.view[i]! - expected);
    const relative = expected === 0 ? error : error / Math.abs(expected);
    if (!(relative <= limit(value)) && !(error < 1e-30))
      expect.fail(`at ${value}: ${y.view[i]}, not ${expected}`);
  });
  expect(intact()).toBe(true);
});

it.each(CURVES)("curveBackward - %s has the slope of its formula", async (_, kind, params, exact) => {
  const { kernels, put, intact } = await kernelArena();
  // No point lies within h of a bend.
  const points = Float32Array.from({ length: 55 }, (_, i) => (i - 27) * 0.37 + 0.01);
  const x = put(points);
  const g = put(new Float32Array(points.length).fill(2));
  kernels.curveBackward(kind, x.address, g.address, g.address, points.length, ...params);
  const h = 1e-4;
  points.forEach((point, i) => {
    expect(g.view[i]!, `at ${point}`).toBeCloseTo((2 * (exact(point + h) - exact(point - h))) / (2 * h), 5);
  });
  expect(intact()).toBe(true);
});

it("curve - the largest inputs give no NaN", async () => {
  const { kernels, put } = await kernelArena();
  for (const [name, kind, params] of CURVES) {
    const x = put([3e38, -3e38, 1e10, -1e10, 100, -100, 0]);
    const g = put(new Float32Array(7).fill(1));
    kernels.curveBackward(kind, x.address, g.address, g.address, 7, ...params);
    kernels.curve(kind, x.address, x.address, 7, ...params);
    expect([...x.view, ...g.view].some(Number.isNaN), name).toBe(false);
    // Far out all of them are straight lines.
    expect(
      g.view.every((slope) => Math.abs(slope) < 1.8),
      name,
    ).toBe(true);
  }
});
