import { assert, constant, double, oneof, property, record } from "fast-check";
import { describe, expect, it } from "vitest";
import { blueprintFor } from "../../../models/detectors/catalog.ts";
import type { Detector, Recent, TrainOptions } from "../../../models/detectors/detector.ts";
import { openDetector } from "../../../models/detectors/open.ts";
import { lowest, type PersonalOptions, personalModel } from "../../../models/detectors/personal.ts";
import { createRandom } from "../../../models/engine/random.ts";
import { FleetError } from "../../../protocol/errors.ts";
import { personalModels } from "../../../protocol/messages.ts";
import { DetectorSpec, TaskSpec } from "../../../protocol/task.ts";

const task = TaskSpec.parse({ rounds: 10, training: { epochs: 2, learningRate: 0.003 } });
const data: Recent = { values: new Float32Array(100), rows: 100, channels: 1 };

/** The fleet's model is 1, a tuned one 2, one of the device alone 3, fresh weights 0; each has the loss that it is given. */
function scripted(losses: readonly [fleet: number, tuned: number, own: number]) {
  let weight = 0;
  const trainings: TrainOptions[] = [];
  const fail: { tuned?: Error; own?: Error } = {};
  const detector = {
    weights: () => Float32Array.of(weight),
    setWeights: (flat: Float32Array) => {
      weight = flat[0]!;
    },
    async train(_: Recent, options: TrainOptions) {
      trainings.push(options);
      const from = weight;
      weight = Number.NaN;
      const error = from === 1 ? fail.tuned : fail.own;
      if (error) throw error;
      weight = from === 1 ? 2 : 3;
      return { samples: 1, loss: 0, heldBackLoss: 0 };
    },
    heldBackLoss: () => losses[weight - 1]!,
  } as unknown as Detector;
  const choose = (change: Partial<PersonalOptions> = {}) =>
    personalModel({
      ...{ detector, data, task, seed: 5 },
      ...{ fleet: Float32Array.of(1), first: Float32Array.of(0) },
      ...change,
    });
  return { choose, trainings, fail };
}

describe("personal model", () => {
  it("is the one with the lowest loss on held-back data", async () => {
    expect(await scripted([3, 1, 2]).choose()).toEqual({
      model: "tuned",
      weights: Float32Array.of(2),
      losses: { fleet: 3, tuned: 1, own: 2 },
    });
    expect(await scripted([3, 2, 1]).choose()).toMatchObject({ model: "own", weights: Float32Array.of(3) });
    expect(await scripted([1, 2, 3]).choose()).toMatchObject({ model: "fleet", weights: Float32Array.of(1) });
  });

  it("is never one with a higher loss than another, and the fleet's where that is as good as any", () => {
    const loss = oneof(constant(null), constant(1), double({ min: -2, max: 2, noNaN: true }));
    assert(
      property(record({ fleet: loss, tuned: loss, own: loss }), (losses) => {
        const chosen = losses[lowest(losses)];
        const known = personalModels.flatMap((model) => losses[model] ?? []);
        if (known.length === 0) expect(lowest(losses)).toBe("fleet");
        else expect(chosen).toBe(Math.min(...known));
        if (chosen === losses.fleet) expect(lowest(losses)).toBe("fleet");
      }),
    );
  });

  it("tunes for three rounds' epochs at a third of the rate, and trains alone for as many epochs as all rounds", async () => {
    const { choose, trainings } = scripted([1, 2, 3]);
    await choose();
    expect(trainings).toMatchObject([
      { personal: true, seed: 5, training: { epochs: 6, learningRate: 0.001 } },
      { seed: 5, training: { epochs: 20, learningRate: 0.003 } },
    ]);
    expect(trainings[1]!.personal).toBeUndefined();
  });

  it("trains alone for 200 epochs at most, pretraining among them in the same proportion", async () => {
    const long = TaskSpec.parse({ rounds: 1000, pretrain: { rounds: 250, objective: "masked" } });
    const { choose, trainings } = scripted([1, 2, 3]);
    await choose({ task: long });
    expect(trainings.map(({ training }) => [training.epochs, training.pretext])).toEqual([
      [6, undefined],
      [50, "masked"],
      [150, undefined],
    ]);
  });

  it("takes a model of the device alone that is there already, and none where it is known that there can be none", async () => {
    const { choose, trainings } = scripted([3, 2, 1]);
    expect(await choose({ own: Float32Array.of(3) })).toMatchObject({ model: "own" });
    expect(await choose({ own: null })).toMatchObject({ model: "tuned", losses: { own: null } });
    expect(trainings.every(({ personal }) => personal === true)).toBe(true);
  });

  it("leaves out what diverges or has too little data; where nothing is left, the fleet's stays and nothing is compared", async () => {
    const scripts = scripted([3, 1, 2]);
    scripts.fail.tuned = new FleetError("NOT_FINITE", "diverged");
    expect(await scripts.choose()).toMatchObject({ model: "own", losses: { fleet: 3, tuned: null, own: 2 } });
    scripts.fail.own = new FleetError("UNAVAILABLE", "too few rows");
    expect(await scripts.choose()).toEqual({ model: "fleet", weights: Float32Array.of(1), losses: null });
    scripts.fail.own = new FleetError("ABORTED", "stopped");
    await expect(scripts.choose()).rejects.toMatchObject({ code: "ABORTED" });
  });

  it("does not count a loss that is no number", async () => {
    expect(await scripted([3, Number.NaN, Number.POSITIVE_INFINITY]).choose()).toMatchObject({
      model: "fleet",
      losses: { fleet: 3, tuned: null, own: null },
    });
    expect(await scripted([Number.POSITIVE_INFINITY, 2, Number.NaN]).choose()).toMatchObject({
      model: "tuned",
    });
  });

  it.each(["cnn-forecaster", "var"] as const)(
    "%s - another machine's model is left for a better one, the same bits each time; with little data, none of its own replaces one that knows the machine",
    async (name) => {
      const channels = 2;
      const spec = DetectorSpec.parse({ name, window: 8, stride: 4 });
      const topology = JSON.stringify(await blueprintFor(spec, channels));
      const waves = (speed: number, rows: number): Recent => {
        const random = createRandom(3);
        const values = Float32Array.from(
          { length: rows * channels },
          (_, i) => Math.sin(speed * Math.floor(i / channels) + (i % channels)) + 0.1 * random.normal(),
        );
        return { values, rows, channels };
      };
      const few = TaskSpec.parse({ rounds: 2 });
      const detector = await openDetector({ spec, topology, channels, seed: 1, statistics: null });
      const first = detector.weights();
      const trained = async (on: Recent, epochs: number) => {
        detector.setWeights(first);
        await detector.train(on, { training: { ...few.training, epochs }, seed: 1 });
        return detector.weights();
      };
      const here = waves(0.2, 600);
      const choose = (fleet: Float32Array, data: Recent) =>
        personalModel({ detector, fleet, first, data, task: few, seed: 1 });
      const foreign = await trained(waves(1.4, 600), 40);
      const one = await choose(foreign, here);
      expect(one.model).not.toBe("fleet");
      detector.setWeights(one.weights);
      expect(detector.heldBackLoss(here)).toBe(one.losses![one.model]);
      detector.setWeights(foreign);
      expect(detector.heldBackLoss(here)).toBe(one.losses!.fleet);
      expect(one.losses!.fleet).toBeGreaterThan(one.losses![one.model]!);
      expect(await choose(foreign, here)).toEqual(one);
      // It knows the machine from far more data than the device has kept.
      const known = await trained(waves(0.2, 6000), 40);
      const little = await choose(known, waves(0.2, 60));
      expect(little.model).not.toBe("own");
      expect(little.losses!.fleet).toBeLessThan(little.losses!.own!);
      detector.dispose();
    },
  );
});
