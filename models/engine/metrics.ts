import { z } from "zod";
import { FleetError } from "../../protocol/errors.ts";
import { auroc } from "../evaluation/ranking.ts";
import type { Loss } from "./loss-spec.ts";
import { lossPerOutput } from "./losses.ts";
import type { Ends, Targets } from "./samples.ts";

/**
 * "accuracy": how often the class is right: the largest output's where the loss is over classes, else each output's by itself, at one half.
 * "binaryAccuracy": always each by itself. "auc": the area under the ROC curve, of one output or of the second of two classes.
 */
export const Metric = z.enum(["accuracy", "binaryAccuracy", "auc"]);
export type Metric = z.infer<typeof Metric>;

/** NaN where there was nothing to judge. */
export type MetricValues = { readonly [name in Metric]?: number };

/** Counted over batches; missing targets are left out. Nothing is allocated per batch. */
export interface Metrics {
  reset(): void;
  /** The outputs and targets in the arena. */
  add(batch: number): void;
  /** Of one output. */
  values(output: number): MetricValues;
}

/** `samples`: at most so many between two resets. Throws BAD_INPUT for a metric that does not fit the loss. */
export function createMetrics(
  { outputs }: Pick<Ends, "outputs">,
  losses: readonly Loss[],
  options: {
    readonly metrics: readonly Metric[];
    readonly targets: readonly Targets[];
    readonly samples: number;
  },
): Metrics {
  const each = lossPerOutput(outputs.length, losses);
  const counters = outputs.map((output, i) => {
    const judge = { loss: each[i]!, cols: output.shape.at(-1)!, rows: output.size / output.shape.at(-1)! };
    return options.metrics.map((metric) => ({ metric, ...counterOf(metric, judge, options.samples) }));
  });
  return {
    reset() {
      for (const list of counters) for (const counter of list) counter.reset();
    },
    add(batch) {
      for (let i = 0; i < counters.length; i++) {
        const list = counters[i]!;
        if (list.length === 0) continue;
        const p = outputs[i]!.at(batch);
        const y = options.targets[i]!.at(batch);
        for (let k = 0; k < list.length; k++) list[k]!.add(p, y);
      }
    },
    values: (output) => Object.fromEntries(counters[output]!.map(({ metric, value }) => [metric, value()])),
  };
}

interface Counter {
  reset(): void;
  add(p: Float32Array, y: Float32Array): void;
  value(): number;
}

interface Judge {
  readonly loss: Loss;
  readonly cols: number;
  /** Of one sample. */
  readonly rows: number;
}

function counterOf(metric: Metric, judge: Judge, samples: number): Counter {
  const { loss, cols, rows } = judge;
  const sparse = loss.name === "sparseCategoricalCrossentropy";
  const binary = !sparse && (loss.name === "binaryCrossentropy" || cols === 1);
  const logits = "fromLogits" in loss && loss.fromLogits;
  if (metric === "accuracy" && !binary) return shareOf(sparse ? classRight(cols) : rowRight(cols));
  if (metric !== "auc") {
    if (sparse)
      throw new FleetError("BAD_INPUT", "binaryAccuracy needs targets of 0 and 1, not numbers of classes");
    return shareOf(eachRight(logits ? 0 : 0.5));
  }
  if (!binary && cols !== 2)
    throw new FleetError("BAD_INPUT", `auc needs one output or two classes, not ${cols}; use accuracy`);
  const floats = samples * rows * (binary ? cols : 1);
  if (binary)
    return area(floats, (p, y, put) => {
      for (let i = 0; i < y.length; i++) put(p[i]!, y[i]!);
    });
  return area(floats, (p, y, put) => {
    // Of two logits, their difference ranks as the second probability does.
    for (let i = 0; i < p.length / 2; i++)
      put(p[2 * i + 1]! - (logits ? p[2 * i]! : 0), sparse ? y[i]! : y[2 * i + 1]!);
  });
}

/** Adds up [right, judged]. */
type Count = (p: Float32Array, y: Float32Array, sums: Float64Array) => void;

function shareOf(count: Count): Counter {
  const sums = new Float64Array(2);
  return {
    reset: () => void sums.fill(0),
    add: (p, y) => count(p, y, sums),
    value: () => sums[0]! / sums[1]!,
  };
}

function eachRight(threshold: number): Count {
  return (p, y, sums) => {
    for (let i = 0; i < y.length; i++) {
      const target = y[i]!;
      if (Number.isNaN(target)) continue;
      sums[1]! += 1;
      if (p[i]! > threshold === target > 0.5) sums[0]! += 1;
    }
  };
}

function classRight(cols: number): Count {
  return (p, y, sums) => {
    for (let i = 0; i < y.length; i++) {
      if (Number.isNaN(y[i]!)) continue;
      sums[1]! += 1;
      if (largest(p, i * cols, cols) === y[i]) sums[0]! += 1;
    }
  };
}

function rowRight(cols: number): Count {
  return (p, y, sums) => {
    for (let start = 0; start < y.length; start += cols) {
      const target = largest(y, start, cols);
      if (target < 0) continue;
      sums[1]! += 1;
      if (largest(p, start, cols) === target) sums[0]! += 1;
    }
  };
}

/** Where the largest of a row is, the first of equal ones; -1 where any is NaN. */
function largest(values: Float32Array, start: number, cols: number): number {
  let best = 0;
  for (let j = 0; j < cols; j++) {
    const value = values[start + j]!;
    if (Number.isNaN(value)) return -1;
    if (value > values[start + best]!) best = j;
  }
  return best;
}

function area(
  capacity: number,
  read: (p: Float32Array, y: Float32Array, put: (score: number, target: number) => void) => void,
): Counter {
  const scores = new Float32Array(capacity);
  const labels = new Uint8Array(capacity);
  let n = 0;
  const put = (score: number, target: number) => {
    if (Number.isNaN(target)) return;
    scores[n] = score;
    labels[n] = target > 0.5 ? 1 : 0;
    n += 1;
  };
  return {
    reset() {
      n = 0;
    },
    add: (p, y) => read(p, y, put),
    value: () => auroc(scores.subarray(0, n), labels.subarray(0, n)),
  };
}
