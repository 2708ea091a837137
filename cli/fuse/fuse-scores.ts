import { basename } from "node:path";
import { fitLevel } from "../../models/scoring/alarm-level.ts";
import { type FusionRule, fusedSurprise, surpriseOf } from "../../models/scoring/fusion.ts";
import { fitTail, tailProbability } from "../../models/scoring/tail.ts";
import { FleetError } from "../../protocol/errors.ts";
import type { AlarmSpec } from "../../protocol/task.ts";
import { findAlarms, type ScoredSeries } from "../score/score-series.ts";
import type { Aligned } from "./align.ts";
import type { ScoreFile } from "./read-scores.ts";

export interface Fused extends ScoredSeries {
  /** Why the threshold is weaker than what was asked for, if it is. */
  readonly caution?: string;
}

/** Normal scores fewer than this say nothing of what is usual. */
const FEWEST_SCORES = 32;

/**
 * Fuses aligned probabilities, and finds the alarms. With `normal`, scores of normal rows of the same files, threshold and probability come from these; without,
 * the modalities are taken as independent and the threshold is the rule's own at the alarm's quantile. Terms are the files.
 */
export function fuseScores(
  files: readonly ScoreFile[],
  aligned: Aligned,
  o: {
    readonly rule: FusionRule;
    readonly alarm: AlarmSpec;
    readonly normal: { readonly files: readonly ScoreFile[]; readonly aligned: Aligned } | undefined;
  },
): Fused {
  const { rule, alarm, normal } = o;
  const { scores, contributions } = surprises(files, aligned, rule);
  const terms = files.length;
  const learned =
    normal && learn(surprises(normal.files, normal.aligned, rule).scores, normal.aligned, alarm);
  const threshold = learned?.threshold ?? -Math.log(1 - alarm.quantile);
  const probabilities = scores.map((score) =>
    learned ? tailProbability(learned.tail, score) : Math.exp(-score),
  );
  const { k, n, gap, release } = alarm;
  const found = { scores, probabilities, contributions, terms };
  return {
    detector: rule,
    ...found,
    threshold,
    alarms: findAlarms(found, { threshold, k, n, gap, release }),
    ...(learned?.caution === undefined ? {} : { caution: learned.caution }),
  };
}

/** What the files are called in an answer: by their names, or by their paths where names are the same. */
export function labelsOf(files: readonly ScoreFile[]): string[] {
  const names = files.map(({ path }) => basename(path).replace(/(?:\.(?:csv|jsonl|ndjson|json|gz))+$/, ""));
  return new Set(names).size === names.length ? names : files.map(({ path }) => path);
}

function learn(scores: Float64Array, { timesMs }: Aligned, alarm: AlarmSpec) {
  const known = scores.filter((score) => !Number.isNaN(score)).length;
  if (known < FEWEST_SCORES)
    throw new FleetError(
      "BAD_INPUT",
      `--calibrate gives ${known} scores of normal rows; give at least ${FEWEST_SCORES}`,
    );
  const spanMs = timesMs ? timesMs.at(-1)! - timesMs[0]! : 0;
  const rateHz = alarm.rateHz ?? (spanMs > 0 ? (1000 * (scores.length - 1)) / spanMs : undefined);
  return { ...fitLevel(scores, { ...alarm, rateHz }), tail: fitTail(scores) };
}

function surprises(files: readonly ScoreFile[], { moments, lines }: Aligned, rule: FusionRule) {
  const scores = new Float64Array(moments);
  const contributions = new Float32Array(moments * files.length);
  const at = new Float64Array(files.length);
  for (let i = 0; i < moments; i++) {
    let least = -1;
    for (let f = 0; f < files.length; f++) {
      const line = lines[f]![i]!;
      at[f] = line < 0 ? Number.NaN : files[f]!.probabilities[line]!;
      if (!Number.isNaN(at[f]!) && (least < 0 || at[f]! < at[least]!)) least = f;
    }
    scores[i] = fusedSurprise(at, rule);
    for (let f = 0; f < files.length; f++)
      if (!Number.isNaN(at[f]!) && (rule === "fisher" || f === least))
        contributions[i * files.length + f] = surpriseOf(at[f]!);
  }
  return { scores, contributions };
}
