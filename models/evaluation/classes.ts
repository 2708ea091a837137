import { FleetError } from "../../protocol/errors.ts";
import type { Scores } from "./ranking.ts";

export interface ClassMetrics {
  /** How often the largest probability is that of the right class, the first of equal ones; NaN without rows. */
  readonly accuracy: number;
  /** Mean -ln of the right class' probability, which counts as 2^-52 at least, as in scikit-learn 1.9. */
  readonly logLoss: number;
  /** (classes, classes): rows of a class (first) that were taken for another (second). */
  readonly confusion: readonly (readonly number[])[];
}

/**
 * How a classifier did. `probabilities`: (rows, classes), row after row, normalised here; `targets`: (rows), the class of
 * each. Throws BAD_INPUT where they do not fit each other.
 */
export function classMetrics(
  probabilities: Scores,
  targets: ArrayLike<number>,
  classes: number,
): ClassMetrics {
  if (probabilities.length !== targets.length * classes) {
    throw new FleetError(
      "BAD_INPUT",
      `${probabilities.length} probabilities can't be judged by ${targets.length} rows of ${classes} classes; give one for each class of a row`,
    );
  }
  const confusion = Array.from({ length: classes }, () => new Array<number>(classes).fill(0));
  let right = 0;
  let loss = 0;
  for (let row = 0; row < targets.length; row++) {
    const target = targets[row]!;
    const counts = confusion[target];
    if (!counts)
      throw new FleetError(
        "BAD_INPUT",
        `row ${row + 1} has the class ${target}; classes are 0 to ${classes - 1}`,
      );
    const p = probabilities.subarray(row * classes, (row + 1) * classes);
    let best = 0;
    let sum = 0;
    for (let c = 0; c < classes; c++) {
      sum += p[c]!;
      if (p[c]! > p[best]!) best = c;
    }
    counts[best]! += 1;
    if (best === target) right++;
    loss -= Math.log(Math.max(Number.EPSILON, p[target]! / sum));
  }
  return { accuracy: right / targets.length, logLoss: loss / targets.length, confusion };
}

/** Of several devices the mean. `judged` has one or more. */
export function meanClassMetrics(
  judged: readonly Pick<ClassMetrics, "accuracy" | "logLoss">[],
): Pick<ClassMetrics, "accuracy" | "logLoss"> {
  const mean = (key: "accuracy" | "logLoss") =>
    judged.reduce((sum, one) => sum + one[key], 0) / judged.length;
  return { accuracy: mean("accuracy"), logLoss: mean("logLoss") };
}
