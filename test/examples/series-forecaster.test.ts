import * as tf from "@tensorflow/tfjs";
import { beforeAll, describe, expect, it } from "vitest";
import { NETWORKS, networkOf, TRAINING } from "../../examples/series-forecaster/networks.ts";
import { inTfjs, registerLayers } from "../../examples/series-forecaster/tfjs-layers.ts";
import { plantStation } from "../../models/data/plant.ts";
import { fitScaler, scaleSeries } from "../../models/data/scaling.ts";
import { seriesStatistics } from "../../models/data/statistics.ts";
import { forecastWindows, splitInTime } from "../../models/data/windows.ts";
import { compile, type Model } from "../../models/engine/index.ts";

// The plain build stands in for tfjs-node, which has the same interface.
beforeAll(async () => {
  await tf.setBackend("cpu");
  registerLayers(tf);
});

const window = 16;
const { train: series } = plantStation({ seed: 1, station: 1, trainRows: 1000, testRows: 1 });
const { rows, channels } = series;
const { train, heldBack } = splitInTime(rows, 0.2);
const values = scaleSeries(fitScaler(seriesStatistics(series, train)), series.values, { fill: true });
const windows = (part: typeof train) =>
  forecastWindows({ values, rows, channels, window, stride: 6, ...part });

describe("series-forecaster", () => {
  it.each(NETWORKS)(
    "%s - from the same weights, both engines end at the same held-back loss",
    async (kind) => {
      const topology = networkOf(kind, window, channels);
      const ours = await compile(topology, { seed: 1 });
      const theirs = await compile(inTfjs(topology), { seed: 1, engine: "tfjs", tf });
      expect(theirs.engine).toBe("tfjs");
      expect(theirs.layout).toEqual(ours.layout);
      theirs.setWeights(ours.weights());
      const losses = async (model: Model) => {
        const before = model.evaluate(windows(heldBack)).loss;
        await model.fit(windows(train), { ...TRAINING, epochs: 1, seed: 1 });
        return { before, after: model.evaluate(windows(heldBack)).loss };
      };
      const [a, b] = [await losses(ours), await losses(theirs)];
      expect(Math.abs(a.before / b.before - 1)).toBeLessThan(1e-5);
      expect(Math.abs(a.after / b.after - 1)).toBeLessThan(1e-4);
      // Both have learned, so that the second comparison is one of trained networks.
      expect(a.after).toBeLessThan(0.8 * a.before);
    },
  );
});
