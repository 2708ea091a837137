import { FleetError } from "../../protocol/errors.ts";
import { labelledEvents, type Span } from "./alarms.ts";
import { checkSameLength, ranked, type Scores } from "./ranking.ts";

/** The fixed window of our tables, so that sets and detectors compare; TSB-AD takes each series' own period. */
export const DEFAULT_VUS_WINDOW = 20;

/** TSB-AD's `thre`: so many thresholds, at equally spaced ranks of the scores. */
export const DEFAULT_VUS_THRESHOLDS = 250;

export interface VusOptions {
  /** The widest buffer, half of it on each side of an event, in rows; always stated beside the number. */
  readonly window?: number | undefined;
  /** Fewer make a coarser curve, which is lower: on SMD, 100 take 0.05 off a VUS-PR of 0.49. */
  readonly thresholds?: number | undefined;
}

export interface Vus {
  readonly vusRoc: number;
  readonly vusPr: number;
}

/**
 * The volumes under the ROC and the precision-recall surface: range-aware areas, averaged over buffers of 0..window rows
 * about each event, so that an alarm shortly before or after an event counts in part. Depends on the order of the
 * scores alone; a NaN score ranks lowest; NaN when one of the two kinds is missing.
 *
 * A row at a distance of d <= w/2 rows from an event has the weight sqrt(1 - d/w) in the buffer of window w (weights of
 * two events add, up to 1). At one threshold, with P anomalous rows, TP the weight of the alarmed rows and B the part of
 * it in the buffers: recall = min(TP / (P + B/2), 1) times the share of buffered events that are met, false-positive
 * rate = (alarms - TP) / (rows - P - B/2), precision = TP / alarms. Events whose buffers share a row are met as one.
 *
 * Source: Paparrizos et al. 2022, "Volume Under the Surface", PVLDB 15(11), with 250 thresholds and steps as in TSB-AD
 * 1.5 (`generate_curve`). There every threshold walks over every row; here a row is put once into the first threshold
 * that it reaches, so that one window costs its buffers and the thresholds. Throws BAD_INPUT for a window that can't be.
 */
export function volumeUnderSurface(scores: Scores, labels: Uint8Array, options: VusOptions = {}): Vus {
  checkSameLength(scores, labels);
  const { window = DEFAULT_VUS_WINDOW, thresholds = DEFAULT_VUS_THRESHOLDS } = options;
  if (!Number.isInteger(window) || window < 0) {
    throw new FleetError("BAD_INPUT", `a window of ${window} rows can't be; give a whole number, 0 or more`);
  }
  if (!Number.isInteger(thresholds) || thresholds < 2 || thresholds > MOST_THRESHOLDS) {
    throw new FleetError(
      "BAD_INPUT",
      `${thresholds} thresholds can't be; give a whole number of 2 to ${MOST_THRESHOLDS}`,
    );
  }
  const events = labelledEvents(labels);
  const positives = events.reduce((sum, { from, to }) => sum + to - from, 0);
  if (positives === 0 || positives === labels.length) return { vusRoc: Number.NaN, vusPr: Number.NaN };
  const reached = firstThresholds(scores, thresholds);
  const surface: Surface = {
    labels,
    events,
    reached,
    alarms: new Float64Array(thresholds),
    hits: new Float64Array(thresholds),
    earliest: events.map(({ from, to }) => reached.subarray(from, to).reduce((a, b) => Math.min(a, b))),
    weights: new Float64Array(labels.length),
  };
  for (let row = 0; row < labels.length; row++) {
    surface.alarms[reached[row]!]! += 1;
    if (labels[row] === 1) surface.hits[reached[row]!]! += 1;
  }
  let vusRoc = 0;
  let vusPr = 0;
  let area: Vus | undefined;
  for (let w = 0; w <= window; w++) {
    // Half a row is no row: a window of 1 has the buffers of 0.
    if (w !== 1 || !area) area = rangeAreas(surface, w);
    vusRoc += area.vusRoc;
    vusPr += area.vusPr;
  }
  return { vusRoc: vusRoc / (window + 1), vusPr: vusPr / (window + 1) };
}

/** What the numbers of thresholds fit in. */
const MOST_THRESHOLDS = 65_536;

interface Surface {
  readonly labels: Uint8Array;
  readonly events: readonly Span[];
  /** (rows): the first threshold, from the highest down, that the row's score reaches. */
  readonly reached: Uint16Array;
  /** (thresholds): rows, and anomalous rows, that reach this threshold and none above it. */
  readonly alarms: Float64Array;
  readonly hits: Float64Array;
  /** (events): the first threshold that one of the event's rows reaches. */
  readonly earliest: readonly number[];
  /** (rows): zeros, between two windows. */
  readonly weights: Float64Array;
}

/** The areas under the two curves with the buffers of one window. */
function rangeAreas(surface: Surface, window: number): Vus {
  const { labels, alarms, hits } = surface;
  const { buffered, met, ranges } = buffers(surface, window);
  const positives = hits.reduce((a, b) => a + b, 0);
  let vusRoc = 0;
  let vusPr = 0;
  let [alarmed, hit, inBuffer, found] = [0, 0, 0, 0];
  let [lastRecall, lastFpr] = [0, 0];
  for (let k = 0; k < alarms.length; k++) {
    alarmed += alarms[k]!;
    hit += hits[k]!;
    inBuffer += buffered[k]!;
    found += met[k]!;
    const truePositives = hit + inBuffer;
    const expected = positives + inBuffer / 2;
    const recall = Math.min(truePositives / expected, 1) * (found / ranges);
    const fpr = (alarmed - truePositives) / (labels.length - expected);
    vusPr += (recall - lastRecall) * (truePositives / alarmed);
    vusRoc += (fpr - lastFpr) * ((recall + lastRecall) / 2);
    [lastRecall, lastFpr] = [recall, fpr];
  }
  vusRoc += (1 - lastFpr) * ((1 + lastRecall) / 2);
  return { vusRoc, vusPr };
}

/** Per threshold, the weight that buffers add, and the ranges (events whose buffers share a row are one) that are met first. */
function buffers(surface: Surface, window: number) {
  const { labels, events, reached, earliest, weights } = surface;
  const lowest = surface.alarms.length - 1;
  const half = Math.floor(window / 2);
  const buffered = new Float64Array(surface.alarms.length);
  const met = new Float64Array(surface.alarms.length);
  const add = (row: number, distance: number) => {
    if (labels[row] === 0) weights[row] = Math.min(1, weights[row]! + Math.sqrt(1 - distance / window));
  };
  for (const { from, to } of events) {
    for (let d = 1; d <= half && to - 1 + d < labels.length; d++) add(to - 1 + d, d);
    for (let d = 1; d <= half && from - d >= 0; d++) add(from - d, d);
  }
  let ranges = 0;
  let first = lowest;
  /** Moves the weight of a buffer's rows into the thresholds; a row of two buffers is taken once. */
  const take = (from: number, to: number) => {
    for (let row = Math.max(from, 0); row < Math.min(to, labels.length); row++) {
      const k = reached[row]!;
      first = Math.min(first, k);
      buffered[k]! += weights[row]!;
      weights[row] = 0;
    }
  };
  for (let i = 0; i < events.length; i++) {
    const { from, to } = events[i]!;
    first = Math.min(first, earliest[i]!);
    take(from - half, from);
    take(to, to + half);
    const next = events[i + 1];
    if (next && to - 1 + half >= next.from - half) continue;
    ranges++;
    met[first]! += 1;
    first = lowest;
  }
  return { buffered, met, ranges };
}

/** The thresholds are the scores at equally spaced ranks, highest first; the last is the lowest score, so every row reaches one. */
function firstThresholds(scores: Scores, count: number): Uint16Array {
  const values = ranked(scores);
  const ascending = values.slice().sort();
  const last = values.length - 1;
  const step = last / (count - 1);
  const thresholds = Float64Array.from({ length: count }, (_, k) => {
    const rank = k === count - 1 ? last : Math.floor(k * step);
    return ascending[last - rank]!;
  });
  const reached = new Uint16Array(values.length);
  for (let row = 0; row < values.length; row++) {
    let low = 0;
    let high = count - 1;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (values[row]! >= thresholds[middle]!) high = middle;
      else low = middle + 1;
    }
    reached[row] = low;
  }
  return reached;
}
