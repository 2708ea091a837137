import { expect, test } from "vitest";
import { blueprintFor } from "../../../models/detectors/catalog.ts";
import { openDetector } from "../../../models/detectors/open.ts";
import { createRandom } from "../../../models/engine/random.ts";
import { TaskSpec } from "../../../protocol/task.ts";

const { detector: spec, alarm, training } = TaskSpec.parse({ detector: { name: "var", adaptRows: 300 } });

test("calibration - a level is followed only where the history is at least as long as it takes to follow it", async () => {
  const topology = JSON.stringify(await blueprintFor(spec, 2));
  const random = createRandom(1);
  const detector = await openDetector({ spec, topology, channels: 2, seed: 1, statistics: null });
  const noise = (rows: number) => ({
    values: Float32Array.from({ length: 2 * rows }, () => random.normal()),
    rows,
    channels: 2,
  });
  const long = noise(600);
  await detector.train(long, { training, seed: 1 });
  const short = detector.calibrate(noise(299), alarm);
  const enough = detector.calibrate(long, alarm);
  expect([short.adaptRows, enough.adaptRows]).toEqual([0, 300]);

  // A lasting offset stays in the residuals of the one, and leaves those of the other.
  const after = (calibration: typeof short) => {
    const scorer = detector.scorer(calibration, alarm.smooth);
    let score = 0;
    for (let i = 0; i < 3000; i++)
      score = scorer.push(Float32Array.of(1.5 + 0.1 * random.normal(), 0.1 * random.normal()));
    return score;
  };
  expect(after(short)).toBeGreaterThan(3 * after(enough));
  detector.dispose();
});
