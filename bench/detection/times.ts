import type { DeviceData } from "../../models/data/device-set.ts";
import { blueprintFor, kindOf } from "../../models/detectors/catalog.ts";
import { openDetector } from "../../models/detectors/open.ts";
import { testScorer } from "../../models/evaluation/scored.ts";
import type { TaskSpec } from "../../protocol/task.ts";

export interface Times {
  readonly fitSeconds: number;
  /** A row, on average over the test rows. */
  readonly scoringUs: number;
}

/** One detector of ours on one device, on one thread: all epochs in one go, then the test rows one by one, as a stream brings them. */
export async function timeOurs(
  { detector: spec, training, rounds, alarm, seed }: TaskSpec,
  data: DeviceData,
  signal: AbortSignal,
): Promise<Times> {
  const { train, test } = data;
  const { channels } = train;
  const topology = JSON.stringify(await blueprintFor(spec, channels));
  const detector = await openDetector({
    spec,
    topology,
    channels,
    seed,
    statistics: null,
    maxBatch: training.batchSize,
  });
  try {
    const epochs = (await kindOf(spec.name)).learns === "by sums" ? 1 : rounds * training.epochs;
    let began = performance.now();
    await detector.train(train, { training: { ...training, epochs }, seed, signal });
    const fitSeconds = (performance.now() - began) / 1000;
    const calibration = detector.calibrate(train, alarm);
    const weights = detector.weights();
    const score = testScorer({ detector, alarm, alone: false });
    began = performance.now();
    score({ weights, calibration, data });
    return { fitSeconds, scoringUs: (1000 * (performance.now() - began)) / test.rows };
  } finally {
    detector.dispose();
  }
}
