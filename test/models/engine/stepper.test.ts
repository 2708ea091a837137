import { expect, it } from "vitest";
import { compile } from "../../../models/engine/index.ts";
import { layer, randomFloats, relativeError, sequential } from "./support.ts";

const TIME = 9;
const CHANNELS = 5;

const STACKS = [
  ["SimpleRNN", [layer("SimpleRNN", { units: 7, return_sequences: true })]],
  ["GRU, reset before", [layer("GRU", { units: 33, reset_after: false, return_sequences: true })]],
  ["GRU, reset after", [layer("GRU", { units: 34, reset_after: true, return_sequences: true })]],
  [
    "GRU, reset after, without bias",
    [layer("GRU", { units: 6, reset_after: true, use_bias: false, return_sequences: true })],
  ],
  ["LSTM", [layer("LSTM", { units: 11, return_sequences: true })]],
  ["LSTM without bias", [layer("LSTM", { units: 4, use_bias: false, return_sequences: true })]],
  [
    "Dense, LSTM, GRU, SimpleRNN, Activation, Dense",
    [
      layer("Dense", { units: 4, activation: "tanh" }),
      layer("LSTM", { units: 6, return_sequences: true }),
      layer("GRU", { units: 7, reset_after: true, return_sequences: true }),
      layer("SimpleRNN", { units: 5, activation: "relu", return_sequences: true }),
      layer("Activation", { activation: "sigmoid" }),
      layer("Dense", { units: 3 }),
    ],
  ],
] as const;

it.each(STACKS)(
  "stepper - row by row gives what predict gives for the whole sequence: %s",
  async (_, layers) => {
    const model = await compile(sequential([TIME, CHANNELS], ...layers), { seed: 3 });
    model.setWeights(randomFloats(model.parameters, 1));
    const x = randomFloats(TIME * CHANNELS, 2);
    const expected = model.predict(x);
    const stepper = model.stepper();
    const got: number[] = [];
    for (let t = 0; t < TIME; t++) got.push(...stepper.step(x.subarray(t * CHANNELS, (t + 1) * CHANNELS)));
    expect(relativeError(got, expected)).toBeLessThan(1e-5);
  },
);

it("stepper - with the last step only, each row gives the prediction for the sequence so far", async () => {
  const layers = [layer("LSTM", { units: 6 }), layer("Dense", { units: 2 })];
  const x = randomFloats(TIME * CHANNELS, 2);
  const model = await compile(sequential([TIME, CHANNELS], ...layers), { seed: 3 });
  const stepper = model.stepper();
  for (let time = 1; time <= TIME; time++) {
    const shorter = await compile(sequential([time, CHANNELS], ...layers), { seed: 3 });
    const row = x.subarray((time - 1) * CHANNELS, time * CHANNELS);
    expect(relativeError(stepper.step(row), shorter.predict(x.subarray(0, time * CHANNELS)))).toBeLessThan(
      1e-5,
    );
  }
});

it("stepper - streams of one model do not mix, and neither prediction nor training disturbs them", async () => {
  const model = await compile(
    sequential([TIME, CHANNELS], layer("GRU", { units: 8, reset_after: true }), layer("Dense", { units: 2 })),
    { seed: 1 },
  );
  const rows = Array.from({ length: 6 }, (_, i) => randomFloats(CHANNELS, i));
  const alone = model.stepper();
  const expected = rows.map((row) => alone.step(row).slice());
  const [first, second] = [model.stepper(), model.stepper()];
  rows.forEach((row, i) => {
    second.step(rows[5 - i]!);
    expect(first.step(row)).toEqual(expected[i]);
    model.predict(randomFloats(TIME * CHANNELS, 9));
    model.evaluate(randomFloats(TIME * CHANNELS, 9), randomFloats(2, 9));
  });
});

it("stepper - reset forgets, and a saved state goes on where it was, in another stepper too", async () => {
  const model = await compile(sequential([TIME, CHANNELS], layer("LSTM", { units: 5 })), { seed: 1 });
  const rows = Array.from({ length: 4 }, (_, i) => randomFloats(CHANNELS, i));
  const stepper = model.stepper();
  const first = stepper.step(rows[0]!).slice();
  const state = stepper.state();
  const second = stepper.step(rows[1]!).slice();
  stepper.reset();
  expect(stepper.step(rows[0]!)).toEqual(first);
  const other = model.stepper();
  other.setState(state);
  expect(other.step(rows[1]!)).toEqual(second);
  expect(second).not.toEqual(first);
});

it("stepper - refuses bad rows and states, keeps its own state, and is gone after dispose", async () => {
  const model = await compile(sequential([TIME, CHANNELS], layer("LSTM", { units: 5 })), { seed: 1 });
  const stepper = model.stepper();
  stepper.step(randomFloats(CHANNELS, 1));
  const state = stepper.state();
  const code = (code: string) => expect.objectContaining({ code });
  expect(() => stepper.step(new Float32Array(4))).toThrow(code("BAD_SHAPE"));
  expect(() => stepper.step(new Float32Array(CHANNELS).fill(Number.NaN))).toThrow(code("NOT_FINITE"));
  expect(() => stepper.setState(new Float32Array(3))).toThrow(code("BAD_SHAPE"));
  expect(() => stepper.setState(new Float32Array(10).fill(Number.NaN))).toThrow(code("NOT_FINITE"));
  expect(stepper.state()).toEqual(state);
  stepper.dispose();
  expect(() => stepper.step(randomFloats(CHANNELS, 1))).toThrow(code("UNAVAILABLE"));
});
