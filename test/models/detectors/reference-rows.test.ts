import { join } from "node:path";
import { expect, test } from "vitest";
import { readFolder } from "../../../models/data/folder.ts";
import { readLabels, readSeries } from "../../../models/data/read.ts";
import { blueprintFor } from "../../../models/detectors/catalog.ts";
import type { Recent } from "../../../models/detectors/detector.ts";
import { openDetector } from "../../../models/detectors/open.ts";
import { aucPr, auroc } from "../../../models/evaluation/ranking.ts";
import { volumeUnderSurface } from "../../../models/evaluation/vus.ts";
import { DetectorSpec, TrainingSpec } from "../../../protocol/task.ts";
import { SHARED_DATA } from "../data/shared-data.ts";

/** The data's README: AUROC, AP, best F1 of any threshold (an oracle's) and VUS-PR with window 20 and, as found for another of its rows, 100 thresholds. */
const published = [
  { name: "pca", options: { variance: 0.9, t2: 0, normalized: 0 }, row: [0.843, 0.549, 0.582, 0.409] },
  { name: "mahalanobis", options: { shrinkage: 0.01, normalized: 0 }, row: [0.873, 0.576, 0.621, 0.457] },
  { name: "var", options: { lags: 3, ridge: 0.001 }, row: [0.876, 0.528, 0.581, 0.483] },
] as const;

test.skipIf(!SHARED_DATA).each(published)(
  "detectors - $name with a moving average of 10 rows gets on SMD what was computed for it elsewhere",
  async ({ name, options, row }) => {
    // Floor and clips of that computation, found on its l2 row; ours do better. Half is held back of data that is there twice: it trained on all rows, and took
    // the residuals' sigma from the same.
    const spec = DetectorSpec.parse({
      name,
      options,
      sigmaFloor: 0.001,
      clip: 10,
      residualClip: 1e12,
      adaptRows: 0,
      heldBack: 0.5,
    });
    const alarm = { quantile: 0.999, smooth: 10 };
    const results: number[][] = [];
    for (const { train: trainPath, test: testPath, label } of await readFolder(join(SHARED_DATA!, "smd"))) {
      const train = twice(await readSeries(trainPath));
      const { channels } = train;
      const topology = JSON.stringify(await blueprintFor(spec, channels));
      const detector = await openDetector({ spec, topology, channels, seed: 1, statistics: null });
      const { samples } = await detector.train(train, { training: TrainingSpec.parse({}), seed: 1 });
      expect(samples).toBe(train.rows / 2 - (name === "var" ? 3 : 0));
      const scorer = detector.scorer(detector.calibrate(train, alarm), alarm.smooth);
      const { values, rows } = await readSeries(testPath);
      const scores = Float64Array.from({ length: rows }, (_, i) =>
        scorer.push(values.subarray(i * channels, (i + 1) * channels)),
      );
      const labels = await readLabels(label!, { rows });
      const { vusPr } = volumeUnderSurface(scores, labels, { window: 20, thresholds: 100 });
      results.push([auroc(scores, labels), aucPr(scores, labels), oracleF1(scores, labels), vusPr]);
    }
    expect(results.length).toBe(8);
    const mean = row.map((_, k) => results.reduce((sum, result) => sum + result[k]! / results.length, 0));
    for (const [k, value] of mean.entries()) expect(Math.abs(value - row[k]!)).toBeLessThan(0.01);
  },
  180_000,
);

function twice({ values, rows, channels }: Recent): Recent {
  const both = new Float32Array(2 * values.length);
  both.set(values);
  both.set(values, values.length);
  return { values: both, rows: 2 * rows, channels };
}

/** The best F1 that a threshold chosen by the labels could get: to compare with the table, never a result. */
function oracleF1(scores: Float64Array, labels: Uint8Array): number {
  const order = Array.from(scores, (_, i) => i).sort((a, b) => (scores[b] || 0) - (scores[a] || 0) || a - b);
  const positives = labels.reduce((a, b) => a + b, 0);
  let hits = 0;
  let best = 0;
  for (const [k, i] of order.entries()) {
    hits += labels[i]!;
    best = Math.max(best, (2 * hits) / (k + 1 + positives));
  }
  return best;
}
