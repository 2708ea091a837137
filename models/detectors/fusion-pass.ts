import { type FusionRule, fusedSurprise, surpriseOf } from "../scoring/fusion.ts";
import type { AnomalyDetector, DetectorStream } from "./anomaly-detector.ts";
import type { CheckedRows } from "./detector-rows.ts";
import { isMissing, type ModalityRow, type Moments } from "./fusion-rows.ts";
import type { FusionSettings } from "./fusion-settings.ts";

/** One way through the moments of a fusion. */
export interface FusionPass {
  /** What each modality has at the next moment, undefined where nothing -> the fused surprise; NaN where no modality says anything. */
  push(rows: readonly (ModalityRow | undefined)[]): number;
  /** (modalities): the probabilities that were fused last, held ones too; NaN where missing. */
  readonly probabilities: Float64Array;
  /** (modalities): their parts of the last surprise. */
  readonly terms: Float32Array;
  /**
   * The same by channel: for each modality a place for what it judged as a whole, then its channels. A view, made when it is asked for.
   */
  channelTerms(): Float32Array;
}

/** Where the channels' terms of each modality begin, and how many there are in all. */
export function termPlaces(detectors: ReadonlyMap<string, AnomalyDetector>) {
  const starts: number[] = [];
  let size = 0;
  for (const { channels } of detectors.values()) {
    starts.push(size);
    size += 1 + channels.length;
  }
  return { starts, size };
}

export function openFusionPass(
  detectors: ReadonlyMap<string, AnomalyDetector>,
  { rule, hold }: Pick<FusionSettings, "rule" | "hold">,
  before?: Moments,
): FusionPass {
  const { starts, size } = termPlaces(detectors);
  const names = [...detectors.keys()];
  const probabilities = new Float64Array(names.length).fill(Number.NaN);
  const terms = new Float32Array(names.length);
  const byChannel = new Float32Array(size);
  /** Each detector's clock is its own rows: what is missing is not pushed. */
  const sources = [...detectors.values()].map((detector, i) =>
    openSource(detector, hold[names[i]!] ?? 0, before && { rows: before.of[i], of: before.rows }),
  );
  return {
    probabilities,
    terms,
    push(rows) {
      sources.forEach((source, i) => {
        probabilities[i] = source.next(rows[i] ?? undefined);
      });
      share(probabilities, rule, terms);
      return fusedSurprise(probabilities, rule);
    },
    channelTerms() {
      byChannel.fill(0);
      sources.forEach(({ stream }, i) => {
        if (!(terms[i]! > 0)) return;
        const shares = stream.explain();
        if (shares.length === 0) byChannel[starts[i]!] = terms[i]!;
        for (const { channel, share } of shares) byChannel[starts[i]! + 1 + channel] = terms[i]! * share;
      });
      return byChannel;
    },
  };
}

interface Source {
  readonly stream: DetectorStream;
  /** The probability that counts at the next moment. */
  next(row: ArrayLike<number | null> | undefined): number;
}

function openSource(
  detector: AnomalyDetector,
  hold: number,
  before: { readonly rows: CheckedRows | undefined; readonly of: number } | undefined,
): Source {
  const present = before?.rows && presentRows(before.rows);
  const stream = detector.stream(present && present.rows > 1 ? { before: withoutLast(present) } : {});
  let probability = Number.NaN;
  let age = 0;
  const take = (row: ArrayLike<number | null>) => {
    ({ probability } = stream.push(row));
    age = 0;
  };
  // What came last before may still be held.
  if (present && present.rows > 0) {
    take(present.values.subarray((present.rows - 1) * present.channels));
    age = before!.of - 1 - present.last;
  }
  return {
    stream,
    next(row) {
      if (row !== undefined && !isMissing(row)) take(row);
      else age++;
      return age > hold ? Number.NaN : probability;
    },
  };
}

/** The rows that have a value, and which was the last of them. */
function presentRows({ values, rows, channels, names }: CheckedRows) {
  const there = Array.from({ length: rows }, (_, i) => i).filter(
    (i) => !isMissing(values.subarray(i * channels, (i + 1) * channels)),
  );
  const kept = new Float32Array(there.length * channels);
  there.forEach((row, i) => {
    kept.set(values.subarray(row * channels, (row + 1) * channels), i * channels);
  });
  return { names, values: kept, rows: there.length, channels, last: there.at(-1) ?? -1 };
}

function withoutLast<R extends Pick<CheckedRows, "values" | "rows" | "channels">>(rows: R): R {
  return {
    ...rows,
    rows: rows.rows - 1,
    values: rows.values.subarray(0, (rows.rows - 1) * rows.channels),
  };
}

/** Fisher's sum has a term for each modality; of the smallest probability, that modality is all there is. */
function share(probabilities: Float64Array, rule: FusionRule, terms: Float32Array): void {
  let least = -1;
  for (let i = 0; i < terms.length; i++) {
    const p = probabilities[i]!;
    terms[i] = Number.isNaN(p) ? 0 : surpriseOf(p);
    if (!Number.isNaN(p) && (least < 0 || p < probabilities[least]!)) least = i;
  }
  if (rule === "max") for (let i = 0; i < terms.length; i++) if (i !== least) terms[i] = 0;
}
