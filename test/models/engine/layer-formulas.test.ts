import { expect, it } from "vitest";
import { compile } from "../../../models/engine/index.ts";
import { layer, sequential } from "./support.ts";

// Each layer's formula with numbers that can be checked by hand. In the flat weights a matrix stands with one row for each input (W:
// channels x units, R: units x units), the bias behind them, and gates side by side: so W x of the formula is x times that matrix.

const predict = async (topology: object, weights: number[], x: number[]) => {
  const model = await compile(topology, { seed: 1 });
  model.setWeights(Float32Array.from(weights));
  return [...model.predict(Float32Array.from(x))];
};
const sigmoid = (x: number) => 1 / (1 + Math.exp(-x));

it("Dense - y = f(W x + b)", async () => {
  const weights = [
    ...[1, 2, 3], // from the first input to the three units
    ...[10, 20, -30], // from the second
    ...[0.5, -0.5, 0], // b
  ];
  // (1 * 2 + 10 * 1 + 0.5, 2 * 2 + 20 * 1 - 0.5, 3 * 2 - 30 * 1)
  expect(await predict(sequential([2], layer("Dense", { units: 3 })), weights, [2, 1])).toEqual([
    12.5, 23.5, -24,
  ]);
  const relu = sequential([2], layer("Dense", { units: 3, activation: "relu" }));
  expect(await predict(relu, weights, [2, 1])).toEqual([12.5, 23.5, 0]);
});

it("SimpleRNN - h_t = f(W x_t + R h_(t-1) + b), from h_0 = 0", async () => {
  const weights = [
    ...[1, 2], // W: from the channel to the two units
    ...[0, 10], // R: from the first unit's state to both units
    ...[100, 0], // from the second unit's
    ...[0.5, -0.5], // b
  ];
  const steps = (activation: string) =>
    sequential([3, 1], layer("SimpleRNN", { units: 2, activation, return_sequences: true }));
  expect(await predict(steps("linear"), weights, [1, 0, -1])).toEqual([
    ...[1.5, 1.5], // 1 * 1 + 0.5, 2 * 1 - 0.5
    ...[150.5, 14.5], // 100 * 1.5 + 0.5, 10 * 1.5 - 0.5
    ...[1449.5, 1502.5], // -1 + 100 * 14.5 + 0.5, -2 + 10 * 150.5 - 0.5
  ]);
  const bounded = await predict(steps("tanh"), [0.3, -0.2, 0.1, 0.5, -0.4, 0.2, 0.05, 0], [1, 2, 0]);
  let [a, b] = [0, 0];
  const expected = [1, 2, 0].flatMap((x) => {
    [a, b] = [Math.tanh(0.3 * x + 0.1 * a - 0.4 * b + 0.05), Math.tanh(-0.2 * x + 0.5 * a + 0.2 * b)];
    return [a, b];
  });
  bounded.forEach((value, i) => void expect(value).toBeCloseTo(expected[i]!, 6));
});

it("GRU - gates z, r, h; the reset stands before R or after it", async () => {
  const [W, R, b, late] = [
    [0.5, -0.3, 0.8],
    [0.4, 0.7, -0.6],
    [0.1, 0.2, -0.1],
    [0.05, -0.15, 0.25],
  ] as const;
  for (const after of [false, true]) {
    const topology = sequential(
      [3, 1],
      layer("GRU", { units: 1, reset_after: after, return_sequences: true }),
    );
    const got = await predict(topology, [...W, ...R, ...b, ...(after ? late : [])], [1, -2, 0.5]);
    let h = 0;
    const side = after ? late : [0, 0, 0];
    [1, -2, 0.5].forEach((x, t) => {
      const z = sigmoid(W[0] * x + b[0] + R[0] * h + side[0]!);
      const r = sigmoid(W[1] * x + b[1] + R[1] * h + side[1]!);
      const inner = after ? r * (R[2] * h + side[2]!) : R[2] * (r * h);
      h = z * h + (1 - z) * Math.tanh(W[2] * x + b[2] + inner);
      expect(got[t]).toBeCloseTo(h, 6);
    });
  }
});

it("LSTM - gates i, f, c, o", async () => {
  const [W, R, b] = [
    [0.5, -0.3, 0.8, 0.2],
    [0.4, 0.7, -0.6, -0.9],
    [0.1, 1, -0.1, 0.3],
  ] as const;
  const topology = sequential([3, 1], layer("LSTM", { units: 1, return_sequences: true }));
  const got = await predict(topology, [...W, ...R, ...b], [1, -2, 0.5]);
  let [h, c] = [0, 0];
  [1, -2, 0.5].forEach((x, t) => {
    const [i, f, g, o] = [0, 1, 2, 3].map((k) => W[k]! * x + R[k]! * h + b[k]!);
    c = sigmoid(f!) * c + sigmoid(i!) * Math.tanh(g!);
    h = sigmoid(o!) * Math.tanh(c);
    expect(got[t]).toBeCloseTo(h, 6);
  });
});
