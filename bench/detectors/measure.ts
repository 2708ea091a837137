import { blueprintFor, kindOf } from "../../models/detectors/catalog.ts";
import type { Recent } from "../../models/detectors/detector.ts";
import { openDetector } from "../../models/detectors/open.ts";
import { layoutSize } from "../../protocol/frame.ts";
import { type DetectorSpec, TaskSpec } from "../../protocol/task.ts";
import type { BenchData } from "./data.ts";

export interface DetectorRow {
  readonly detector: string;
  readonly row: "sample" | "image" | "sample + picture";
  /** Of one row on the stream: scaler, residuals, level, smoothing, score and probability. */
  readonly medianUs: number;
  readonly p99Us: number;
  /** All epochs of the default task on one thread, in one go; of kinds that learn by sums their one pass. */
  readonly trainingSeconds: number;
  /** Numbers in the array that a fleet averages. */
  readonly numbers: number;
  readonly bytes: number;
}

export interface MeasureOptions {
  readonly name: DetectorName;
  readonly data: BenchData;
  /** Of kinds that have to be told something. */
  readonly options?: DetectorSpec["options"] | undefined;
  /** Rows that are timed, each by itself. */
  readonly rows: number;
  readonly epochs?: number | undefined;
  readonly signal: AbortSignal;
}

type DetectorName = Parameters<typeof kindOf>[0];

/** Until compiled code and caches have seen it. */
const WARM_UP_ROWS = 2_000;
/** Others get a turn, and an interrupt is heard. */
const TURN_ROWS = 1_000;

/** One kind with the default task's settings, as an agent runs it. */
export async function measureDetector({
  name,
  data,
  options,
  rows,
  epochs,
  signal,
}: MeasureOptions): Promise<DetectorRow> {
  const {
    detector: spec,
    training,
    rounds,
    alarm,
  } = TaskSpec.parse({
    detector: { name, ...(options && { options }) },
  });
  const kind = await kindOf(name);
  const { channels } = data.train;
  const topology = JSON.stringify(await blueprintFor(spec, channels));
  const detector = await openDetector({
    spec,
    topology,
    channels,
    seed: 1,
    statistics: null,
    maxBatch: training.batchSize,
  });
  try {
    const began = performance.now();
    const all = kind.learns === "by sums" ? 1 : (epochs ?? rounds * training.epochs);
    await detector.train(data.train, { training: { ...training, epochs: all }, seed: 1, signal });
    const trainingSeconds = (performance.now() - began) / 1000;
    const scorer = detector.scorer(detector.calibrate(data.train, alarm), alarm.smooth);
    const score = (row: number) => scorer.probability(scorer.push(rowOf(data.test, row)));
    for (let row = 0; row < Math.min(WARM_UP_ROWS, rows); row++) score(row);
    const microseconds = new Float64Array(rows);
    for (let row = 0; row < rows; row++) {
      if (row % TURN_ROWS === 0) {
        await new Promise(setImmediate);
        signal.throwIfAborted();
      }
      const from = performance.now();
      score(row);
      microseconds[row] = 1000 * (performance.now() - from);
    }
    microseconds.sort();
    const numbers = layoutSize(detector.layout);
    return {
      detector: name,
      row: kind.input === "images" ? "image" : options ? "sample + picture" : "sample",
      medianUs: microseconds[Math.floor(rows / 2)]!,
      p99Us: microseconds[Math.floor(0.99 * rows)]!,
      trainingSeconds,
      numbers,
      bytes: numbers * Float32Array.BYTES_PER_ELEMENT,
    };
  } finally {
    detector.dispose();
  }
}

function rowOf({ values, rows, channels }: Recent, row: number): Float32Array {
  const at = (row % rows) * channels;
  return values.subarray(at, at + channels);
}
