import { describe, expect, it } from "vitest";
import { encodeStatistics, seriesStatistics } from "../../../models/data/statistics.ts";
import { blueprintFor } from "../../../models/detectors/catalog.ts";
import type { Detector, Recent } from "../../../models/detectors/detector.ts";
import { openDetector, warmUpRows } from "../../../models/detectors/open.ts";

import { createRandom } from "../../../models/engine/random.ts";
import { auroc } from "../../../models/evaluation/ranking.ts";
import { tailProbability } from "../../../models/scoring/tail.ts";
import { TrainingSpec } from "../../../protocol/task.ts";
import { channels, spec, trained, unsupervised, waves } from "./waves.ts";

const alarm = { quantile: 0.999, smooth: 5 };

function scoresOf(detector: Detector, normal: Recent, test: Recent): Float64Array {
  const scorer = detector.scorer(detector.calibrate(normal, alarm), alarm.smooth);
  return Float64Array.from({ length: test.rows }, (_, i) =>
    scorer.push(test.values.subarray(i * channels, (i + 1) * channels)),
  );
}

/** They average over rows, know no other channel, and see nothing odd in a wave that is held up: their own tests are elsewhere. */
const plain: readonly string[] = ["ewma-z", "t-test", "z-test"];

/** The fault is another level, which windows about their own mean do not show. */
const seesLevels = (name: string) => (/^(cnn|lstm)-autoencoder$/.test(name) ? { centred: 0 } : {});

describe("forecaster", () => {
  it.each(unsupervised.filter((name) => !plain.includes(name)))(
    "%s learns, finds a fault and names its channel",
    async (name) => {
      const normal = waves(2000, 1);
      const detector = await trained(spec({ name, options: seesLevels(name) }), normal);
      const faulty = (row: number) => row >= 300 && row < 340;
      const test = waves(600, 9, faulty);
      const calibration = detector.calibrate(normal, alarm);
      const scorer = detector.scorer(calibration, alarm.smooth);
      const scores = new Float64Array(test.rows);
      let top = -1;
      for (let i = 0; i < test.rows; i++) {
        scores[i] = scorer.push(test.values.subarray(i * channels, (i + 1) * channels));
        if (i === 300) top = scorer.contributions.indexOf(Math.max(...scorer.contributions));
      }
      const labels = Uint8Array.from(scores, (_, i) => (faulty(i) ? 1 : 0));
      expect(auroc(scores.subarray(1), labels.subarray(1))).toBeGreaterThan(0.95);
      expect(top).toBe(1);
      const quiet = scores.subarray(50, 300);
      expect(quiet.filter((score) => score > calibration.threshold).length).toBeLessThan(quiet.length / 10);
    },
  );

  it("training lowers the loss on held-back data and leaves the weights of the same seed the same", async () => {
    const recent = waves(2000, 1);
    const first = await trained(spec(), recent);
    const second = await trained(spec(), recent);
    expect(second.weights()).toEqual(first.weights());
    const topology = JSON.stringify(await blueprintFor(spec(), channels));
    const fresh = await openDetector({ spec: spec(), topology, channels, seed: 1, statistics: null });
    const training = TrainingSpec.parse({ epochs: 1 });
    const before = await fresh.train(recent, { training, seed: 1 });
    const after = await first.train(recent, { training, seed: 1 });
    expect(after.heldBackLoss).toBeLessThan(before.heldBackLoss / 2);
    // floor((1600 - 16 - 1) / 4) + 1 windows in the part that is not held back.
    expect(before.samples).toBe(396);
  });

  it.each(unsupervised)("%s, stopped and restored, gives the same scores to the bit", async (name) => {
    const normal = waves(2000, 1);
    const detector = await trained(spec({ name }), normal);
    const test = waves(300, 4, (row) => row > 120 && row < 150);
    const calibration = detector.calibrate(normal, alarm);
    const whole = detector.scorer(calibration, alarm.smooth);
    let part = detector.scorer(calibration, alarm.smooth);
    for (let i = 0; i < test.rows; i++) {
      const row = test.values.subarray(i * channels, (i + 1) * channels);
      if (i % 37 === 5) {
        const state = part.state().slice();
        part = detector.scorer(calibration, alarm.smooth);
        part.restore(state);
      }
      expect(part.push(row)).toBe(whole.push(row));
      expect(part.contributions).toEqual(whole.contributions);
    }
    expect(() => part.restore(new Float32Array(3))).toThrow(expect.objectContaining({ code: "CORRUPT" }));
  });

  it("the probability beside a score is the same streamed and in one batch, and even on normal data", async () => {
    const normal = waves(3000, 1);
    const detector = await trained(spec(), normal);
    const calibration = detector.calibrate(normal, alarm);
    expect(JSON.parse(JSON.stringify(calibration))).toEqual(calibration);
    expect(calibration.tail.knots.length).toBeLessThan(100);
    const live = waves(1500, 4, (row) => row >= 1200 && row < 1240);
    const batch = scoresOf(detector, normal, live);
    let stream = detector.scorer(calibration, alarm.smooth);
    const probabilities = Float64Array.from({ length: live.rows }, (_, i) => {
      if (i % 101 === 100) {
        const state = stream.state().slice();
        stream = detector.scorer(calibration, alarm.smooth);
        stream.restore(state);
      }
      return stream.probability(stream.push(live.values.subarray(i * channels, (i + 1) * channels)));
    });
    expect([...probabilities.subarray(1)]).toEqual(
      Array.from(batch.subarray(1), (score) => tailProbability(calibration.tail, score)),
    );
    const quiet = probabilities.subarray(100, 1200);
    for (const p of [0.1, 0.5, 0.9]) {
      const part = quiet.filter((probability) => probability <= p).length / quiet.length;
      expect(Math.abs(part - p), `part of the rows at or below ${p}`).toBeLessThan(0.1);
    }
    expect(Math.min(...probabilities.subarray(1200, 1240))).toBeLessThan(1e-4);
    // Another tail, fitted to scores twice as high: the same score is more probable.
    const doubled = { ...calibration.tail, knots: calibration.tail.knots.map((knot) => 2 * knot) };
    stream.setTail(doubled);
    const { threshold } = calibration;
    expect(stream.probability(threshold)).toBe(tailProbability(doubled, threshold));
    expect(stream.probability(Number.NaN)).toBeNaN();
  });

  it("a budget needs the rate: with it the threshold is lower the slower the rows come, without it the rule stands in", async () => {
    const normal = waves(3000, 1);
    const detector = await trained(spec(), normal);
    const byRule = detector.calibrate(normal, alarm);
    const asked = { ...alarm, budget: "1 per hour", k: 1, n: 1 };
    const none = detector.calibrate(normal, asked);
    expect(none).toMatchObject({ threshold: byRule.threshold, basis: "fallback" });
    expect(none.caution).toContain("rateHz");
    const often = detector.calibrate(normal, { ...asked, rateHz: 1 / 60 });
    expect(often).toMatchObject({ basis: "counted", rateHz: 1 / 60 });
    const rare = detector.calibrate(normal, { ...asked, rateHz: 10 });
    expect(rare.basis).not.toBe("counted");
    expect(rare.threshold).toBeGreaterThan(often.threshold);
  });

  it("the scores after the warm-up do not depend on where the stream began", async () => {
    const normal = waves(2000, 1);
    const detector = await trained(spec(), normal);
    const test = waves(1200, 4);
    const calibration = detector.calibrate(normal, alarm);
    const scoreFrom = (from: number) => {
      const scorer = detector.scorer(calibration, alarm.smooth);
      let last = Number.NaN;
      for (let i = from; i < test.rows; i++)
        last = scorer.push(test.values.subarray(i * channels, (i + 1) * channels));
      return last;
    };
    const late = scoreFrom(test.rows - 1 - warmUpRows(detector, alarm.smooth));
    expect(Math.abs(late / scoreFrom(0) - 1)).toBeLessThan(0.1);
  });

  it("a lasting change of level alarms at once and then no longer, unless tracking is off", async () => {
    const normal = waves(2000, 1);
    const shift = waves(2000, 4);
    for (let i = 500 * channels + 1; i < shift.values.length; i += channels) shift.values[i]! += 1.5;
    const means = async (adaptRows: number) => {
      const detector = await trained(spec({ adaptRows }), normal);
      const scores = scoresOf(detector, normal, shift);
      const mean = (from: number, to: number) =>
        scores.subarray(from, to).reduce((sum, score) => sum + score / (to - from), 0);
      const { threshold } = detector.calibrate(normal, alarm);
      expect(Math.max(...scores.subarray(500, 540))).toBeGreaterThan(threshold);
      return { quiet: mean(300, 500), later: mean(1800, 2000) };
    };
    const tracked = await means(200);
    expect(tracked.later).toBeLessThan(1.2 * tracked.quiet);
    const fixed = await means(0);
    expect(fixed.later).toBeGreaterThan(1.4 * fixed.quiet);
  });

  it("missing values are skipped, a row of them changes nothing, and no score is NaN after the first", async () => {
    const normal = waves(2000, 1);
    const detector = await trained(spec(), normal);
    const test = waves(400, 4);
    const holes = createRandom(3);
    for (let i = 0; i < test.values.length; i++) if (holes.uniform() < 0.2) test.values[i] = Number.NaN;
    test.values.fill(Number.NaN, 200 * channels, 210 * channels);
    const scores = scoresOf(detector, normal, test);
    expect(scores.subarray(3).some(Number.isNaN)).toBe(false);
    expect(scores[209]).toBe(scores[199]);
  });

  it("the fleet's statistics, where a version carries them, scale in place of the device's own", async () => {
    const own = waves(2000, 1);
    const fleet = encodeStatistics(seriesStatistics({ ...own, values: own.values.map((x) => 3 * x) }));
    const federated = spec({ scaling: "federated" });
    const topology = JSON.stringify(await blueprintFor(federated, channels));
    const detector = await openDetector({ spec: federated, topology, channels, seed: 1, statistics: fleet });
    const { scalerMean } = detector.calibrate(own, alarm);
    for (const mean of scalerMean) expect(mean).toBeGreaterThan(50);
  });

  it("too little data and another number of channels are refused by what is wrong", async () => {
    const detector = await trained();
    const training = TrainingSpec.parse({});
    await expect(detector.train(waves(40, 1), { training, seed: 1 })).rejects.toMatchObject({
      code: "UNAVAILABLE",
    });
    expect(() => detector.calibrate(waves(20, 1), alarm)).toThrow(/20 rows of data are too few/);
    const topology = JSON.stringify(await blueprintFor(spec(), 5));
    const other = openDetector({ spec: spec(), topology, channels, seed: 1, statistics: null });
    await expect(other).rejects.toThrow(/takes 5 channels, this device has 3/);
  });
});
