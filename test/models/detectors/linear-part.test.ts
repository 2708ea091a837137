import { expect, test } from "vitest";
import { blueprintFor } from "../../../models/detectors/catalog.ts";
import type { Recent } from "../../../models/detectors/detector.ts";
import { openDetector } from "../../../models/detectors/open.ts";
import { createRandom } from "../../../models/engine/random.ts";
import { DetectorSpec, TrainingSpec } from "../../../protocol/task.ts";

const channels = 2;
const spec = DetectorSpec.parse({ name: "cnn-forecaster", window: 8, stride: 8, options: { ridge: 1e-4 } });
const training = TrainingSpec.parse({ epochs: 1, learningRate: 1e-9 });

/** x_t = A x_{t-1} + noise, A = [[0.6, 0.3], [-0.4, 0.5]]. */
function autoregressive(rows: number, seed: number): Recent {
  const random = createRandom(seed);
  const values = new Float32Array(rows * channels);
  for (let i = channels; i < values.length; i += channels) {
    const [a, b] = [values[i - 2]!, values[i - 1]!];
    values[i] = 0.6 * a + 0.3 * b + random.normal();
    values[i + 1] = -0.4 * a + 0.5 * b + random.normal();
  }
  return { values, rows, channels };
}

async function open() {
  const topology = JSON.stringify(await blueprintFor(spec, channels));
  return openDetector({ spec, topology, channels, seed: 1, statistics: null });
}

/** The linear layer's kernel: (rows, in, out), the newest row last. */
function kernelOf(detector: Awaited<ReturnType<typeof open>>): Float32Array {
  let at = 0;
  for (const { name, shape } of detector.layout) {
    const size = shape.reduce((a, b) => a * b, 1);
    if (name === "linear/kernel") return detector.weights().slice(at, at + size);
    at += size;
  }
  throw new Error("no linear/kernel");
}

test("linear part - finds the coefficients of an autoregressive process in one training, less the row itself", async () => {
  const detector = await open();
  await detector.train(autoregressive(20_000, 1), { training, seed: 1 });
  const newest = kernelOf(detector).slice(2 * channels * channels);
  const expected = [0.6 - 1, -0.4, 0.3, 0.5 - 1];
  for (const [i, value] of newest.entries()) expect(value).toBeCloseTo(expected[i]!, 1);
  detector.dispose();
});

test("linear part - two devices' arrays averaged by samples give the solution of all their rows", async () => {
  const data = [autoregressive(3000, 1), autoregressive(9000, 2)];
  const updates: { weights: Float32Array; samples: number }[] = [];
  for (const recent of data) {
    const detector = await open();
    const { samples } = await detector.train(recent, { training, seed: 1 });
    updates.push({ weights: detector.weights(), samples });
    detector.dispose();
  }
  const all = updates.reduce((sum, { samples }) => sum + samples, 0);
  const mean = updates[0]!.weights.map((_, i) =>
    updates.reduce((sum, { weights, samples }) => sum + (weights[i]! * samples) / all, 0),
  );
  const federated = await open();
  federated.setWeights(mean);
  const central = await open();
  await central.train(data, { training, seed: 1 });
  central.setWeights(central.weights());
  for (const [i, value] of kernelOf(federated).entries()) expect(value).toBeCloseTo(kernelOf(central)[i]!, 2);
  federated.dispose();
  central.dispose();
});

test("linear part - the fleet's stays while a device trains for the average, and a personal training mixes in little of few rows", async () => {
  const fleet = await open();
  await fleet.train(autoregressive(20_000, 1), { training, seed: 1 });
  const base = fleet.weights();
  const device = await open();
  const few = { ...autoregressive(300, 5) };
  few.values.reverse(); // another process
  device.setWeights(base);
  const before = kernelOf(device);
  await device.train(few, { training, seed: 1 });
  // Its weights carry its own sums, but what it scores with until it installs the next version is the fleet's.
  expect(kernelOf(device)).toEqual(before);
  device.setWeights(base);
  await device.train(few, { training, personal: true, seed: 1 });
  const personal = kernelOf(device);
  expect(personal).not.toEqual(before);
  for (const [i, value] of personal.entries()) expect(Math.abs(value - before[i]!)).toBeLessThan(0.1);
  fleet.dispose();
  device.dispose();
});
