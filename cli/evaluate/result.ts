import type { ResultRow, SummaryRow } from "../../models/evaluation/results.ts";
import type { AlarmSpec, DetectorSpec, PretrainSpec, TrainingSpec } from "../../protocol/task.ts";

/** What an evaluation gives, as `--json` writes it. The same command on the same data writes the same bytes. */
export interface EvaluationResult {
  readonly rows: readonly ResultRow[];
  readonly summary: readonly SummaryRow[];
  readonly command: string;
  readonly version: string;
  readonly settings: EvaluationSettings;
  readonly failures: readonly Failure[];
}

export interface EvaluationSettings {
  readonly vus: { readonly window: number; readonly thresholds: number };
  readonly seeds: readonly number[];
  readonly rounds: number;
  readonly training: TrainingSpec;
  readonly pretrain?: PretrainSpec;
  readonly sets: readonly {
    readonly data: string;
    readonly title: string;
    readonly kind: string;
    readonly judging: string;
    readonly devices: readonly string[];
    readonly alarm: AlarmSpec;
    readonly detectors: readonly DetectorSpec[];
  }[];
}

/** What took no part, and why: a device for all detectors or for one, or a detector with one seed. */
export interface Failure {
  readonly data: string;
  readonly detector: string | null;
  readonly seed: number | null;
  readonly device: string | null;
  readonly message: string;
}

export function failureText({ data, detector, seed, message }: Failure): string {
  const who = [data, detector, seed === null ? null : `seed ${seed}`].filter((part) => part !== null);
  return `${who.join(", ")}: ${message}`;
}
