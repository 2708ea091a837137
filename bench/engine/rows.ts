import { goalOf, trainingBatch, units, type Work } from "./works.ts";

/** What one engine reached: a median in the unit of the work, or why there is none. */
export type Figure = { readonly value: number } | { readonly missing: string };

export interface Row {
  readonly work: string;
  /** null: a goal that is for our own figure alone. */
  readonly peer: string | null;
  readonly threads: number;
  readonly ours: number | null;
  readonly theirs: number | null;
  readonly unit: string;
  /** Above 1 we are faster, or smaller. */
  readonly ratio: number | null;
  /** The least ratio; where `peer` is null, the most that `ours` may be. */
  readonly goal: number | null;
  /** null where there is no goal, or no figure of the peer to hold against it. */
  readonly met: boolean | null;
  /** Why figures are missing, each with whose. */
  readonly reasons?: readonly string[];
}

export interface Comparison {
  readonly work: Work;
  readonly threads: number;
  readonly ours: Figure;
  /** By peer, in the order of the table. */
  readonly theirs: ReadonlyMap<string, Figure>;
}

/** One row for our own goal where there is one, then one for each peer. */
export function rowsOf({ work, threads, ours, theirs }: Comparison): Row[] {
  const rows: Row[] = [];
  const own = numberOf(ours);
  const base = { work: work.name, threads, ours: own, unit: units[work.kind] };
  const ownGoal = goalOf(work.name, null, threads);
  if (ownGoal !== null || theirs.size === 0) {
    const met = ownGoal === null ? null : own !== null && own <= ownGoal;
    rows.push({ ...base, peer: null, theirs: null, ratio: null, goal: ownGoal, met, ...reasons({ ours }) });
  }
  for (const [peer, figure] of theirs) {
    const their = numberOf(figure);
    const moreIsBetter = work.kind === "training";
    const ratio = own === null || their === null ? null : moreIsBetter ? own / their : their / own;
    const goal = goalOf(work.name, peer, threads);
    // A peer that lacks the work leaves the goal open; that we lack it does not.
    const met = goal === null || their === null ? null : ratio !== null && ratio >= goal;
    rows.push({ ...base, peer, theirs: their, ratio, goal, met, ...reasons({ ours, [peer]: figure }) });
  }
  return rows;
}

/** A unit is a batch when training, and one window or step otherwise. */
export function figureOf(work: Work, msPerUnit: number): number {
  return work.kind === "training" ? (1000 * trainingBatch) / msPerUnit : 1000 * msPerUnit;
}

function numberOf(figure: Figure): number | null {
  return "value" in figure ? figure.value : null;
}

function reasons(figures: Readonly<Record<string, Figure>>): Pick<Row, "reasons"> {
  const all = Object.entries(figures).flatMap(([who, figure]) =>
    "missing" in figure ? [`${who}: ${figure.missing}`] : [],
  );
  return all.length === 0 ? {} : { reasons: all };
}
