import { describe, expect, it } from "vitest";
import { detectorNames, kindOf } from "../../../models/detectors/catalog.ts";
import type { Recent } from "../../../models/detectors/detector.ts";
import { createRandom } from "../../../models/engine/random.ts";
import { searchSpace, type TuneOptions, tune } from "../../../models/evaluation/tune.ts";
import { AlarmSpec, DetectorSpec, TrainingSpec } from "../../../protocol/task.ts";

const channels = 3;

/** Sine waves that no level, but their course, makes normal. */
function waves(rows: number, seed: number): Recent {
  const random = createRandom(seed);
  const values = Float32Array.from({ length: rows * channels }, (_, i) => {
    const row = Math.floor(i / channels);
    return 20 + 5 * (Math.sin(row / 6 + (i % channels)) + 0.05 * random.normal());
  });
  return { values, rows, channels };
}

const options: TuneOptions = {
  detector: DetectorSpec.parse({ name: "rnn-forecaster", window: 16, stride: 8, options: { units: 16 } }),
  training: TrainingSpec.parse({ epochs: 4 }),
  alarm: AlarmSpec.parse({}),
  devices: [
    { device: "a", train: waves(1600, 1) },
    { device: "b", train: waves(1400, 2) },
  ],
  trials: 5,
  seed: 1,
};

describe("tune", () => {
  it("gives the same numbers for a seed, other settings for another, and the settings before first", async () => {
    const seen: number[] = [];
    const tuned = await tune({ ...options, onProgress: ({ trials }) => seen.push(trials) });
    expect(seen).toEqual([1, 2, 3, 4, 5]);
    expect(await tune(options)).toEqual(tuned);
    expect(tuned.base.point).toEqual({ window: 16, learningRate: 0.003, ridge: 0.03, units: 16 });
    const texts = tuned.trials.map(({ point }) => JSON.stringify(point));
    expect(new Set(texts).size).toBe(5);
    for (let i = 1; i < 5; i++)
      expect(tuned.trials[i]!.aucPr).toBeLessThanOrEqual(tuned.trials[i - 1]!.aucPr);
    expect(tuned.best).toBe(tuned.trials[0]);
    expect(tuned.best.aucPr).toBeGreaterThan(2 * tuned.random);
    const { window, learningRate, units } = tuned.best.point;
    expect(tuned.detector).toMatchObject({ window, stride: window! / 2, options: { units } });
    expect(tuned.training).toMatchObject({ learningRate, epochs: 4 });
    expect(tuned.exhaustive).toBe(false);
    const other = await tune({ ...options, seed: 2 });
    expect(other.trials.map(({ point }) => JSON.stringify(point)).sort()).not.toEqual(texts.sort());
  });

  it("prefers a forecast to none", async () => {
    // So heavy a ridge leaves nothing of the forecast but the mean.
    const detector = DetectorSpec.parse({ name: "var", options: { ridge: 100 } });
    const { base, trials, best } = await tune({ ...options, detector, trials: 100 });
    for (const trial of trials) {
      if (trial.point.ridge === 100) expect(trial.aucPr).toBeLessThan(best.aucPr - 0.1);
      else expect(trial.aucPr).toBeGreaterThan(base.aucPr);
    }
  });

  it("tries the whole grid where it is small enough, and says so", async () => {
    const gradients = searchSpace(await kindOf("rnn-forecaster"), options);
    expect(Object.keys(gradients)).toEqual(["window", "learningRate", "ridge", "units"]);
    const detector = DetectorSpec.parse({ name: "var", options: { lags: 4 } });
    const sums = searchSpace(await kindOf("var"), { ...options, detector });
    expect(sums).toEqual({ lags: [1, 2, 3, 4, 5], ridge: [0.001, 0.01, 0.1] });
    const all = await tune({ ...options, detector, trials: 15 });
    expect(all.trials).toHaveLength(15);
    expect(all.exhaustive).toBe(true);
    expect((await tune({ ...options, detector, trials: 14 })).exhaustive).toBe(false);
  });

  it("leaves out a device with too few rows for the widest window, and says so", async () => {
    const devices = [...options.devices, { device: "c", train: waves(300, 3) }];
    const { leftOut, trials } = await tune({ ...options, devices });
    expect(leftOut).toEqual([expect.stringMatching(/^c has 300 training rows, and the search needs \d+$/)]);
    expect(trials).toEqual((await tune(options)).trials);
    await expect(tune({ ...options, devices: [devices[2]!] })).rejects.toThrow(
      /nothing to search on: c has 300 training rows/,
    );
  });

  it("refuses devices with other channels, and kinds that it can't judge", async () => {
    const odd = { device: "odd", train: { values: new Float32Array(3200), rows: 1600, channels: 2 } };
    await expect(tune({ ...options, devices: [...options.devices, odd] })).rejects.toThrow(
      /odd has 2 channels, a has 3/,
    );
    for (const name of detectorNames) {
      const { input, supervised } = await kindOf(name);
      if (input !== "images" && !supervised) continue;
      const detector = DetectorSpec.parse({ name });
      await expect(tune({ ...options, detector })).rejects.toThrow(/take another detector/);
    }
  });

  it("stops when it is told to", async () => {
    const aborter = new AbortController();
    const stopped = tune({ ...options, signal: aborter.signal, onProgress: () => aborter.abort() });
    await expect(stopped).rejects.toMatchObject({ code: "ABORTED" });
  });
});
