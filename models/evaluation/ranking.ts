import { FleetError } from "../../protocol/errors.ts";

export type Scores = Float32Array | Float64Array;

/**
 * The area under the ROC curve: how often an anomalous row scores above a normal one, ties counting half (midranks).
 * NaN when one of the two kinds is missing. Source: Hanley and McNeil 1982.
 */
export function auroc(scores: Scores, labels: Uint8Array): number {
  let positivesAbove = 0;
  let normals = 0;
  let pairs = 0;
  for (const { positives, negatives } of tieGroups(scores, labels)) {
    // Groups come from the highest score down: every positive so far outranks these normals.
    pairs += negatives * (positivesAbove + positives / 2);
    positivesAbove += positives;
    normals += negatives;
  }
  return pairs / (positivesAbove * normals);
}

/**
 * The area under the precision-recall curve as average precision, sum of (R_k - R_k-1) P_k over the distinct scores.
 * NaN when no row is anomalous. The value of a random score is the share of anomalous rows.
 */
export function aucPr(scores: Scores, labels: Uint8Array): number {
  let hits = 0;
  let alarms = 0;
  let area = 0;
  for (const { positives, negatives } of tieGroups(scores, labels)) {
    hits += positives;
    alarms += positives + negatives;
    area += positives * (hits / alarms);
  }
  return hits === 0 ? Number.NaN : area / hits;
}

export function checkSameLength(scores: { readonly length: number }, labels: Uint8Array): void {
  if (scores.length !== labels.length) {
    throw new FleetError(
      "BAD_INPUT",
      `${scores.length} scores can't be judged by ${labels.length} labels; give one each`,
    );
  }
}

/** A copy in which a NaN score (nothing was seen) ranks lowest. */
export function ranked(scores: Scores): Float64Array {
  return Float64Array.from(scores, (s) => (Number.isNaN(s) ? Number.NEGATIVE_INFINITY : s));
}

/** Rows with one score, highest first. */
function* tieGroups(scores: Scores, labels: Uint8Array): Generator<{ positives: number; negatives: number }> {
  checkSameLength(scores, labels);
  const values = ranked(scores);
  const order = Uint32Array.from(values, (_, i) => i).sort((a, b) =>
    values[a]! < values[b]! ? 1 : values[a]! > values[b]! ? -1 : 0,
  );
  for (let i = 0; i < order.length; ) {
    const score = values[order[i]!]!;
    let positives = 0;
    let negatives = 0;
    for (; i < order.length && values[order[i]!] === score; i++) {
      if (labels[order[i]!] === 1) positives++;
      else negatives++;
    }
    yield { positives, negatives };
  }
}
