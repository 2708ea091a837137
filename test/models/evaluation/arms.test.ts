import { expect, test } from "vitest";
import type { DataSet, DeviceData } from "../../../models/data/device-set.ts";
import { blueprintFor } from "../../../models/detectors/catalog.ts";
import type { Recent } from "../../../models/detectors/detector.ts";
import { openDetector } from "../../../models/detectors/open.ts";
import { personalModel } from "../../../models/detectors/personal.ts";
import { createRandom } from "../../../models/engine/random.ts";
import { arms, trainArms } from "../../../models/evaluation/arms.ts";
import { baselines } from "../../../models/evaluation/baselines.ts";
import { run } from "../../../models/evaluation/run.ts";
import { AlarmSpec, DetectorSpec, TrainingSpec } from "../../../protocol/task.ts";

const channels = 2;

/** Waves with noise; rows from..to-1 of channel 0 are off. */
function series(rows: number, seed: number, off: readonly [number, number] = [0, 0]): Recent {
  const random = createRandom(seed);
  const values = Float32Array.from({ length: rows * channels }, (_, i) => {
    const row = Math.floor(i / channels);
    const fault = i % channels === 0 && row >= off[0] && row < off[1] ? 3 * (row % 2 === 0 ? 1 : -1) : 0;
    return Math.sin(row / (5 + (i % channels))) + 0.1 * random.normal() + fault;
  });
  return { values, rows, channels };
}

const spec = (name: DetectorSpec["name"]) => DetectorSpec.parse({ name, window: 8, stride: 8, options: {} });
const training = TrainingSpec.parse({ epochs: 1 });

async function open(detector: DetectorSpec) {
  const topology = JSON.stringify(await blueprintFor(detector, channels));
  return openDetector({ spec: detector, topology, channels, seed: 1, statistics: null });
}

function device(id: string, seed: number): DataSet["devices"][number] {
  const named = (recent: Recent) => ({ ...recent, names: ["a", "b"] });
  const test = named(series(300, seed + 50, [150, 170]));
  const data: DeviceData = {
    train: named(series(500, seed)),
    test,
    labels: Uint8Array.from({ length: 300 }, (_, row) => (row >= 150 && row < 170 ? 1 : 0)),
    rootCauses: [{ from: 150, to: 170, channels: [0] }],
    notes: [],
  };
  return { device: id, judged: true, load: async () => data };
}

const set: DataSet = {
  name: "waves",
  title: "waves",
  kind: "series",
  judging: "device",
  devices: [device("one", 1), device("two", 2)],
  readBy: "the test",
};

test("arms - where a kind learns by sums, the federated model is the central one", async () => {
  const detector = await open(spec("var"));
  const devices = [series(400, 1), series(700, 2), series(300, 3)];
  const results = await trainArms({
    detector,
    training,
    rounds: 1,
    seed: 1,
    devices,
    arms: ["central", "fedavg"],
  });
  const [central, federated] = results.map(({ weights }) => weights[0]!);
  expect(federated!.length).toBe(central!.length);
  for (const [i, w] of federated!.entries()) expect(w).toBeCloseTo(central![i]!, 5);
  detector.dispose();
});

test("arms - the same seed gives the same bits in every arm, another seed others, and all differ from the first weights", async () => {
  const devices = [series(400, 1), series(700, 2)];
  const trained = async (seed: number) => {
    const detector = await open(spec("cnn-forecaster"));
    const first = detector.weights();
    const results = await trainArms({ detector, training, rounds: 2, seed, devices, arms });
    detector.dispose();
    return { first, results };
  };
  const one = await trained(1);
  const again = await trained(1);
  const other = await trained(2);
  expect(one.results.map(({ arm }) => arm)).toEqual(["local", "central", "fedavg", "finetune"]);
  expect(again.results).toEqual(one.results);
  for (const [k, { weights }] of one.results.entries()) {
    expect(weights[0]).not.toEqual(one.first);
    expect(other.results[k]!.weights[0]).not.toEqual(weights[0]);
  }
  const federated = one.results[2]!;
  expect(federated.weights[0]).toBe(federated.weights[1]);
});

test("arms - a device with too little data does not stop the others: no model of its own, the fleet's in the federated arm", async () => {
  const detector = await open(spec("cnn-forecaster"));
  const devices = [series(400, 1), series(20, 2)];
  const alone = await trainArms({
    detector,
    training,
    rounds: 1,
    seed: 1,
    devices: devices.slice(0, 1),
    arms: ["fedavg"],
  });
  detector.dispose();
  const fresh = await open(spec("cnn-forecaster"));
  const [local, federated] = await trainArms({
    detector: fresh,
    training,
    rounds: 1,
    seed: 1,
    devices,
    arms: ["local", "fedavg"],
  });
  fresh.dispose();
  expect(local!.weights[1]).toBeNull();
  expect(local!.weights[0]).not.toBeNull();
  expect(federated!.weights[1]).toEqual(alone[0]!.weights[0]);
});

test.each(["cnn-forecaster", "var"] as const)(
  "arms - %s, finetune: each device has what the rule of personal models gives it from the fleet's and its local one",
  async (name) => {
    const detector = await open(spec(name));
    const first = detector.weights();
    const rounds = name === "var" ? 1 : 2;
    const fast = series(2100, 2);
    const unlike = fast.values.filter((_, i) => Math.floor(i / channels) % 3 === 0);
    const devices = [series(400, 1), { values: unlike, rows: 700, channels }, series(20, 3)];
    const results = await trainArms({ detector, training, rounds, seed: 1, devices, arms });
    const { local, fedavg, finetune } = Object.fromEntries(results.map((result) => [result.arm, result]));
    for (const [d, data] of devices.entries()) {
      const fleet = fedavg!.weights[d]!;
      const seed = 1_000_003 + rounds * 1009 + d;
      const own = local!.weights[d]!;
      const best = await personalModel({
        ...{ detector, fleet, first, data, own, seed },
        task: { training, rounds },
      });
      expect(finetune!.models![d]).toBe(best.model);
      expect(finetune!.weights[d]).toEqual(best.weights);
    }
    expect(finetune!.models![2]).toBe("fleet");
    expect(finetune!.models![1]).not.toBe("fleet");
    expect(local!.models).toBeUndefined();
    detector.dispose();
  },
);

test("run - every arm finds the fault on every device, names its channel and has a macro line; the labels set no threshold", async () => {
  const options = {
    set,
    detector: spec("cnn-forecaster"),
    training,
    alarm: AlarmSpec.parse({}),
    rounds: 3,
    arms,
    seed: 1,
  };
  const thresholds: number[] = [];
  const rows = await run({ ...options, onScores: ({ threshold }) => thresholds.push(threshold) });
  expect(rows.map(({ arm, device }) => `${arm} ${device}`)).toEqual(
    arms.flatMap((arm) => ["one", "two", "macro"].map((device) => `${arm} ${device}`)),
  );
  for (const { evaluation, arm, device, model } of rows) {
    expect(model !== null).toBe(arm === "finetune" && device !== "macro");
    expect(evaluation.auroc).toBeGreaterThan(0.9);
    expect(evaluation.eventRecall).toBe(1);
    expect(evaluation.hitRate100).toBe(1);
  }
  const unlabelled = set.devices.map((one) => ({
    ...one,
    load: async () => ({ ...(await one.load()), labels: new Uint8Array(300) }),
  }));
  const blind: number[] = [];
  await run({
    ...options,
    set: { ...set, devices: unlabelled },
    onScores: ({ threshold }) => blind.push(threshold),
  });
  expect(blind).toEqual(thresholds);
});

test("run - a pooled set has one line an arm, over all rows; guessing and always alarming stand beside it", async () => {
  const pooled: DataSet = { ...set, judging: "pooled" };
  const rows = await run({
    set: pooled,
    detector: spec("var"),
    training,
    alarm: AlarmSpec.parse({}),
    rounds: 1,
    arms: ["local", "fedavg", "finetune"],
    seed: 1,
  });
  expect(rows.map(({ arm, device, evaluation }) => [arm, device, evaluation.rows])).toEqual([
    ["local", "pooled", 600],
    ["fedavg", "pooled", 600],
    ["finetune", "pooled", 600],
  ]);
  expect(rows.map(({ models }) => models?.length)).toEqual([undefined, undefined, 2]);
  const guesses = await baselines({ set: pooled, seed: 1 });
  expect(guesses.map(({ detector, device }) => [detector, device])).toEqual([
    ["random", "pooled"],
    ["always-alarm", "pooled"],
  ]);
  expect(guesses[1]!.evaluation.recall).toBe(1);
  expect(guesses[1]!.evaluation.falsePositiveRate).toBe(1);
});
