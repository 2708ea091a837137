import { describe, expect, it } from "vitest";
import { detectorsBench, goals, judge } from "../../bench/detectors.ts";

describe("bench detectors", () => {
  it("holds samples against the goal of each detector, training against that of the default, and images against none", () => {
    const row = {
      detector: "var",
      row: "sample" as const,
      medianUs: 40,
      p99Us: 90,
      trainingSeconds: 30,
      numbers: 1,
      bytes: 4,
    };
    expect(judge(row)).toEqual({ scoringMet: true, trainingMet: null });
    expect(judge({ ...row, medianUs: 51 }).scoringMet).toBe(false);
    expect(judge({ ...row, detector: goals.trainedDefault }).trainingMet).toBe(false);
    expect(judge({ ...row, row: "image" }).scoringMet).toBeNull();
  });

  it("times a detector of series, one of images and one of both, from raw values to the probability", async () => {
    const stage = { progress() {}, signal: new AbortController().signal };
    const { value, text } = await detectorsBench.run(
      { quick: true, detector: ["ewma-z", "multimodal-autoencoder", "cnn2d-rotation"] },
      stage,
    );
    const { rows } = value as {
      rows: { detector: string; medianUs: number; p99Us: number; numbers: number }[];
    };
    expect(rows.map(({ detector }) => detector)).toEqual([
      "cnn2d-rotation",
      "ewma-z",
      "multimodal-autoencoder",
    ]);
    for (const { medianUs, p99Us, numbers } of rows) {
      expect(medianUs).toBeGreaterThan(0);
      expect(p99Us).toBeGreaterThanOrEqual(medianUs);
      expect(numbers).toBeGreaterThan(0);
    }
    expect(text).toMatch(/^ewma-z +sample {2}/m);
    expect(text).toMatch(/^multimodal-autoencoder +sample \+ picture /m);
  }, 60_000);
});
