import { FleetError } from "../../protocol/errors.ts";
import { overlap, type Span } from "./alarms.ts";
import { harmonicMean } from "./fixed.ts";

/** Which rows of a range count most: delta(i) of Tatbul et al., figure 2. */
export type PositionalBias = "flat" | "front" | "middle" | "back";

/** What a range gets that several others overlap: gamma. "one" takes nothing off, "reciprocal" divides by how many. */
export type Cardinality = "one" | "reciprocal";

export interface RangeOptions {
  /** 0..1: how much of the recall of an event is for finding it at all; the rest is for how much of it. */
  readonly alpha?: number | undefined;
  readonly cardinality?: Cardinality | undefined;
  /** For recall; precision stays flat, as an alarm has no row that should count more. */
  readonly bias?: PositionalBias | undefined;
}

export interface RangeMetrics {
  /** 0 when there is no alarm. */
  readonly rangePrecision: number;
  /** NaN when there is no event. */
  readonly rangeRecall: number;
  readonly rangeF1: number;
}

/**
 * Range-based precision and recall: every event, and every alarm, gets a part of 1 for how much of it the other side
 * covers. Ranges of one side must not overlap each other. Throws BAD_INPUT for an alpha outside 0..1.
 * Source: Tatbul et al. 2018, "Precision and Recall for Time Series", NeurIPS, equations 2 to 8.
 */
export function rangeMetrics(
  alarms: readonly Span[],
  events: readonly Span[],
  options: RangeOptions = {},
): RangeMetrics {
  const { alpha = 0, cardinality = "one", bias = "flat" } = options;
  if (!(alpha >= 0 && alpha <= 1))
    throw new FleetError("BAD_INPUT", `alpha ${alpha} must be within 0..1; 0 leaves out mere existence`);
  const recalls = events.map((event) => {
    const { met, covered } = coverage(event, alarms, { cardinality, bias });
    return alpha * (met ? 1 : 0) + (1 - alpha) * covered;
  });
  const precisions = alarms.map((alarm) => coverage(alarm, events, { cardinality, bias: "flat" }).covered);
  const rangeRecall = recalls.length === 0 ? Number.NaN : mean(recalls);
  const rangePrecision = precisions.length === 0 ? 0 : mean(precisions);
  return {
    rangePrecision,
    rangeRecall,
    rangeF1: harmonicMean(rangePrecision, Number.isNaN(rangeRecall) ? 0 : rangeRecall),
  };
}

/** gamma times the sum of omega over the others: the part of a range's weight that they cover. */
function coverage(
  range: Span,
  others: readonly Span[],
  { cardinality, bias }: { readonly cardinality: Cardinality; readonly bias: PositionalBias },
): { met: boolean; covered: number } {
  const length = range.to - range.from;
  const overlapping = others.filter((other) => overlap(range, other));
  let covered = 0;
  for (const other of overlapping) {
    for (let row = Math.max(range.from, other.from); row < Math.min(range.to, other.to); row++) {
      covered += positional(bias, row - range.from + 1, length);
    }
  }
  let whole = 0;
  for (let i = 1; i <= length; i++) whole += positional(bias, i, length);
  const gamma = cardinality === "reciprocal" && overlapping.length > 1 ? 1 / overlapping.length : 1;
  return { met: overlapping.length > 0, covered: (gamma * covered) / whole };
}

/** delta: the weight of the i-th row of a range, from 1. */
function positional(bias: PositionalBias, i: number, length: number): number {
  if (bias === "flat") return 1;
  if (bias === "front") return length - i + 1;
  if (bias === "back") return i;
  return i <= length / 2 ? i : length - i + 1;
}

function mean(values: readonly number[]): number {
  return values.reduce((a, b) => a + b, 0) / values.length;
}
