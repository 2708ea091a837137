import { FleetError } from "../../../protocol/errors.ts";
import { type ClassWeights, classTable } from "../class-weights.ts";
import type { Loss } from "../loss-spec.ts";
import { checkLogits, type LossValue, lossPerOutput, targetsFor } from "../losses.ts";
import type { TfTensor } from "./api.ts";
import { isByRow, lossOfEach } from "./losses.ts";
import type { TfMachine } from "./machine.ts";

export interface TfLoss {
  /** Of the outputs, in `tidy`: the sum of each output's loss over its targets present. `sampleWeights`: (batch), or all 1. */
  sums(outputs: readonly TfTensor[], batch: number, sampleWeights: Float32Array | undefined): TfTensor[];
  /** Reads what `sums` gave into `value`. */
  read(sums: readonly TfTensor[]): void;
  readonly value: LossValue;
  /** By output, of the last `sums`. */
  readonly counts: Float64Array;
  readonly factors: readonly number[];
}

/** As `createLoss` in ../losses.ts, on tensors. */
export function createTfLoss(
  machine: TfMachine,
  losses: readonly Loss[],
  options: {
    readonly lossWeights?: readonly number[] | undefined;
    readonly classWeights?: ClassWeights | undefined;
  },
): TfLoss {
  const { tf, outputs } = machine;
  const { lossWeights, classWeights } = options;
  const each = lossPerOutput(outputs.length, losses);
  if (lossWeights !== undefined && lossWeights.length !== outputs.length)
    throw new FleetError(
      "BAD_INPUT",
      `there are ${lossWeights.length} lossWeights for ${outputs.length} outputs; give one each`,
    );
  each.forEach((loss, i) => void checkLogits(loss, machine.endings[i]));
  const targets = targetsFor(machine, losses);
  const table = classWeights && classTable(outputs, each, classWeights);
  const counts = new Float64Array(outputs.length);
  const sums = new Float64Array(outputs.length);
  const factors = outputs.map((_, i) => lossWeights?.[i] ?? 1);
  const value = { sum: 0, present: 0, loss: 0, sums, counts };

  return {
    counts,
    factors,
    sums: (tensors, batch, sampleWeights) =>
      tensors.map((tensor, i) => {
        const { size, shape } = outputs[i]!;
        const loss = each[i]!;
        const cols = shape.at(-1)!;
        const rows = (batch * size) / cols;
        const { y, weights, present } = prepare(targets[i]!.at(batch), {
          classes: targets[i]!.classes,
          cols,
          byRow: isByRow(loss),
          weightOf: (row, found) =>
            (sampleWeights?.[Math.floor((row * batch) / rows)] ?? 1) * (table?.[found()] ?? 1),
        });
        counts[i] = present;
        const p = tf.reshape(tensor, [rows, cols]);
        const lines = lossOfEach(tf, loss, p, tf.tensor(y, [rows, cols]));
        return tf.sum(tf.mul(lines, tf.tensor(weights, [rows, weights.length / rows])));
      }),
    value,
    read(tensors) {
      value.sum = 0;
      value.present = 0;
      value.loss = 0;
      tensors.forEach((tensor, i) => {
        sums[i] = tensor.dataSync()[0]!;
        value.sum += sums[i]!;
        value.present += counts[i]!;
        if (counts[i]! > 0) value.loss += (factors[i]! * sums[i]!) / counts[i]!;
      });
    },
  };
}

/**
 * Targets without NaN (classes one-hot), the weight of each target (0 for one that is missing), and how many are present. `weightOf` a row is given
 * a way to find the row's class.
 */
function prepare(
  given: Float32Array,
  options: {
    readonly classes: number | null;
    readonly cols: number;
    readonly byRow: boolean;
    weightOf(row: number, found: () => number): number;
  },
): { readonly y: Float32Array; readonly weights: Float32Array; readonly present: number } {
  const { classes, cols, byRow, weightOf } = options;
  const width = classes === null ? cols : 1; // of a row of `given`
  const rows = given.length / width;
  const y = new Float32Array(rows * cols);
  const weights = new Float32Array(rows * (byRow ? 1 : cols));
  let present = 0;
  for (let row = 0; row < rows; row++) {
    const line = given.subarray(row * width, (row + 1) * width);
    const weight = weightOf(row, () => classOf(line));
    const missing = line.some(Number.isNaN);
    if (classes === null)
      y.set(
        line.map((value) => (Number.isNaN(value) ? 0 : value)),
        row * cols,
      );
    else if (!missing) y[row * cols + line[0]!] = 1;
    if (byRow) {
      if (missing) continue;
      weights[row] = weight;
      present += 1;
    } else {
      line.forEach((value, j) => {
        if (Number.isNaN(value)) return;
        weights[row * cols + j] = weight;
        present += 1;
      });
    }
  }
  return { y, weights, present };
}

/** Its only number, or the place of the largest. */
function classOf(line: Float32Array): number {
  if (line.length > 1) return line.reduce((best, value, j) => (value > line[best]! ? j : best), 0);
  return Math.round(line[0]!);
}
