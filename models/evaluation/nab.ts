import { FleetError } from "../../protocol/errors.ts";
import type { Span } from "./alarms.ts";
import { ranked, type Scores } from "./ranking.ts";

/** What a detection is worth: A_TP, -A_FP and -A_FN of Lavin & Ahmad. */
export interface NabProfile {
  readonly tpWeight: number;
  readonly fpWeight: number;
  readonly fnWeight: number;
}

/** The three of the benchmark: its weight of a false positive makes up for windows taking a tenth of the rows. */
export const NAB_PROFILES = {
  standard: { tpWeight: 1, fpWeight: 0.11, fnWeight: 1 },
  rewardLowFalsePositives: { tpWeight: 1, fpWeight: 0.22, fnWeight: 1 },
  rewardLowFalseNegatives: { tpWeight: 1, fpWeight: 0.11, fnWeight: 2 },
} as const satisfies Record<string, NabProfile>;

/** One file of the corpus. */
export interface NabSeries {
  readonly scores: Scores;
  /** The labelled anomaly windows, ascending, without overlap. */
  readonly windows: readonly Span[];
}

export interface NabOptions {
  readonly profile?: NabProfile | undefined;
  /** The part of a file, from its start, in which nothing counts; at most that part of 5000 rows. */
  readonly probation?: number | undefined;
}

export interface NabScore {
  /** 100 for a detector that finds every window at its first row and alarms nowhere else, 0 for one that never alarms. */
  readonly score: number;
  /** Before that normalisation; of one series, what NAB's own tables have per file. */
  readonly raw: number;
  /** A row with a score of at least this is a detection. */
  readonly threshold: number;
  /** Whether the threshold was chosen on these very windows: then the score is no result. */
  readonly oracle: boolean;
  /** Detected and undetected rows, in windows and outside of them, after the probation. */
  readonly truePositives: number;
  readonly falsePositives: number;
  readonly trueNegatives: number;
  readonly falseNegatives: number;
}

export const NAB_PROBATION = 0.15;

/**
 * The NAB score of a corpus at a threshold that was fixed before the windows were seen, the same one for every series.
 * In a window the first detection counts, the more the earlier it is; a window without one costs fnWeight; every other
 * detection costs up to fpWeight, less when it closely follows a window. Throws BAD_INPUT for windows that are not
 * ascending within the series. Source: Lavin and Ahmad 2015, arXiv 1510.03336, section III, with the positions
 * counted as in the benchmark's code (release 1.0): a window's first row is at -1 and worth all of tpWeight.
 */
export function nabScore(
  corpus: readonly NabSeries[],
  options: NabOptions & { readonly threshold: number },
): NabScore {
  const { threshold } = options;
  const sweep = startSweep(corpus, options);
  for (const row of sweep.rows) if (row.score >= threshold) sweep.detect(row);
  return { ...sweep.result(threshold), oracle: false };
}

/**
 * The highest NAB score that any threshold gets on these windows: how NAB's published tables choose the threshold. An
 * ORACLE: it reads the labels that it is then judged by, so it may stand beside a fixed threshold's score, never for it.
 */
export function nabOracleScore(corpus: readonly NabSeries[], options: NabOptions = {}): NabScore {
  const sweep = startSweep(corpus, options);
  const rows = [...sweep.rows].sort((a, b) => (a.score < b.score ? 1 : a.score > b.score ? -1 : 0));
  let best = sweep.result(Number.POSITIVE_INFINITY);
  for (let i = 0; i < rows.length; ) {
    const { score } = rows[i]!;
    for (; i < rows.length && rows[i]!.score === score; i++) sweep.detect(rows[i]!);
    // Of equal ones the highest threshold, as there.
    if (sweep.raw() > best.raw) best = sweep.result(score);
  }
  return { ...best, oracle: true };
}

/** Rows in which nothing counts. */
export function probationRows(rows: number, probation: number = NAB_PROBATION): number {
  return Math.floor(Math.min(probation * rows, probation * PROBATION_CAP_ROWS));
}

const PROBATION_CAP_ROWS = 5000;

interface Row {
  readonly score: number;
  /** What a detection here adds: of a window only the highest counts. */
  readonly worth: number;
  readonly window: Window | undefined;
}

interface Window {
  /** Of the detections so far. */
  best: number | undefined;
}

function startSweep(corpus: readonly NabSeries[], options: NabOptions) {
  const { profile = NAB_PROFILES.standard, probation = NAB_PROBATION } = options;
  const { tpWeight, fnWeight } = profile;
  const rows: Row[] = [];
  let windows = 0;
  for (const series of corpus) windows += addRows(series, profile, probation, rows);
  const inWindows = rows.reduce((sum, row) => sum + (row.window ? 1 : 0), 0);
  let raw = 0 - fnWeight * windows;
  const counts = { truePositives: 0, falsePositives: 0 };
  return {
    rows,
    raw: () => raw,
    detect({ window, worth }: Row): void {
      if (!window) {
        counts.falsePositives++;
        raw += worth;
        return;
      }
      counts.truePositives++;
      raw += Math.max(worth, window.best ?? worth) - (window.best ?? -fnWeight);
      window.best = Math.max(worth, window.best ?? worth);
    },
    result: (threshold: number) => ({
      score: (100 * (raw + fnWeight * windows)) / (windows * (tpWeight + fnWeight)),
      raw,
      threshold,
      ...counts,
      trueNegatives: rows.length - inWindows - counts.falsePositives,
      falseNegatives: inWindows - counts.truePositives,
    }),
  };
}

/** The rows of one series after the probation; how many windows have such rows. */
function addRows(
  { scores, windows }: NabSeries,
  { tpWeight, fpWeight }: NabProfile,
  probation: number,
  rows: Row[],
): number {
  checkWindows(windows, scores.length);
  const values = ranked(scores);
  const start = probationRows(scores.length, probation);
  let [next, counted] = [0, 0];
  let state: Window | undefined;
  for (let i = 0; i < values.length; i++) {
    while (next < windows.length && windows[next]!.to <= i) {
      next++;
      state = undefined;
    }
    const current = windows[next];
    const inside = current !== undefined && current.from <= i;
    if (i < start) continue;
    if (inside) {
      if (!state) {
        state = { best: undefined };
        counted++;
      }
      const worth = (tpWeight * sigma((i - current.to) / (current.to - current.from))) / sigma(-1);
      rows.push({ score: values[i]!, worth, window: state });
      continue;
    }
    const last = windows[next - 1];
    const position = last ? (i - last.to + 1) / (last.to - last.from - 1) : Number.POSITIVE_INFINITY;
    rows.push({
      score: values[i]!,
      worth: fpWeight * (position < FAR ? sigma(position) : -1),
      window: undefined,
    });
  }
  return counted;
}

/** Window widths past which a detection has nothing to do with the window. */
const FAR = 3;

/** sigma(y) of the paper without its weights: 0.987 at a window's start (-1), 0 at its end, towards -1 after it. */
function sigma(y: number): number {
  return 2 / (1 + Math.exp(5 * y)) - 1;
}

function checkWindows(windows: readonly Span[], rows: number): void {
  let last = 0;
  for (const { from, to } of windows) {
    if (from < last || to <= from || to > rows) {
      throw new FleetError(
        "BAD_INPUT",
        `the window of rows ${from} to ${to - 1} is empty, out of order or outside of ${rows} rows; give ascending windows of this series`,
      );
    }
    last = to;
  }
}
