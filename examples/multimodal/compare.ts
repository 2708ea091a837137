import {
  alarmMetrics,
  alarmSpans,
  aucPr,
  auroc,
  blueprintFor,
  type Detector,
  type FusionRule,
  fitLevel,
  fusedSurprise,
  fusionRules,
  kindOf,
  openDetector,
  type StreamScorer,
  surpriseOf,
  trainArms,
} from "starling/models";
import { AlarmSpec, DetectorSpec, TrainingSpec } from "starling/protocol";
import { faults, modality, picture, type Station, type Stretch, without } from "./stations.ts";

export const conditions = [
  "all there",
  "second half without pictures",
  "second half without sensors",
] as const;
export type Condition = (typeof conditions)[number];

export interface Line {
  readonly condition: Condition;
  readonly method: string;
  /** Means over the devices. */
  readonly auroc: number;
  readonly aucPr: number;
  /** Of all devices together: faults found of each kind, faults there were of each, false alarms. */
  readonly found: readonly number[];
  readonly events: readonly number[];
  readonly falseAlarms: number;
}

export interface CompareOptions {
  readonly stations: readonly Station[];
  readonly rounds: number;
  readonly seed: number;
}

const alarm = AlarmSpec.parse({});
/** What there is to compare: a detector of each modality, to be fused late, and one network of both. */
const specs = {
  sensors: DetectorSpec.parse({ name: "mahalanobis" }),
  picture: DetectorSpec.parse({ name: "pca" }),
  both: DetectorSpec.parse({
    name: "multimodal-autoencoder",
    window: 16,
    stride: 1,
    options: { ...picture },
  }),
};
type Part = keyof typeof specs;

/** Trains all three over the fleet, calibrates them on each device, and scores every device's test rows. */
export async function compare({ stations, rounds, seed }: CompareOptions): Promise<Line[]> {
  const judged = new Map<string, Judged[]>();
  const parts = {} as Record<Part, Detector>;
  const weights = {} as Record<Part, Float32Array>;
  const of = (stretch: Stretch, part: Part) => (part === "both" ? stretch : modality(stretch, part));
  for (const part of ["sensors", "picture", "both"] as const) {
    const spec = specs[part];
    const devices = stations.map(({ train }) => of(train, part));
    const { channels } = devices[0]!;
    const topology = JSON.stringify(await blueprintFor(spec, channels));
    parts[part] = await openDetector({ spec, topology, channels, seed, statistics: null });
    const training = TrainingSpec.parse({ epochs: 2 });
    const [fleet] = await trainArms({
      detector: parts[part],
      training,
      // What learns by sums has learned all in one round.
      rounds: (await kindOf(spec.name)).learns === "by sums" ? 1 : rounds,
      seed,
      devices,
      arms: ["fedavg"],
    });
    weights[part] = fleet!.weights[0]!;
  }
  for (const { train, quiet, test } of stations) {
    /** -ln p of the rows that follow the training rows; NaN where the modality is missing. */
    const surprises = (part: Part, rows: readonly Stretch[]) => {
      const detector = parts[part];
      detector.setWeights(weights[part]);
      const own = of(train, part);
      const scorer = detector.scorer(detector.calibrate(own, alarm), alarm.smooth);
      for (let i = own.rows - 400; i < own.rows; i++) scorer.push(rowOf(own, i));
      return rows.map((stretch) => surprisesOf(scorer, of(stretch, part)));
    };
    for (const condition of conditions) {
      const live = {
        "all there": test,
        "second half without pictures": without(test, "picture"),
        "second half without sensors": without(test, "sensors"),
      }[condition];
      const [calm, seen] = [{} as Record<Part, Float64Array>, {} as Record<Part, Float64Array>];
      for (const part of ["sensors", "picture", "both"] as const)
        [calm[part], seen[part]] = surprises(part, [quiet, live]) as [Float64Array, Float64Array];
      const fused = (from: Record<Part, Float64Array>, rule: FusionRule) =>
        from.sensors.map((s, i) => fusedSurprise([Math.exp(-s), Math.exp(-from.picture[i]!)], rule));
      const methods: [string, Float64Array, Float64Array][] = [
        ["sensors alone", calm.sensors, seen.sensors],
        ["picture alone", calm.picture, seen.picture],
        ...fusionRules.map((rule): [string, Float64Array, Float64Array] => [
          `late fusion, ${rule}`,
          fused(calm, rule),
          fused(seen, rule),
        ]),
        ["one network", calm.both, seen.both],
      ];
      for (const [method, normal, scores] of methods) {
        const key = `${condition}/${method}`;
        judged.set(key, [...(judged.get(key) ?? []), judge(normal, scores, test.kinds)]);
      }
    }
  }
  for (const detector of Object.values(parts)) detector.dispose();
  return [...judged].map(([key, each]) => {
    const [condition, method] = key.split("/") as [Condition, string];
    const mean = (of: (one: Judged) => number) => each.reduce((sum, one) => sum + of(one) / each.length, 0);
    const perKind = (of: (one: Judged) => readonly number[]) =>
      faults.map((_, k) => each.reduce((sum, one) => sum + of(one)[k]!, 0));
    return {
      condition,
      method,
      auroc: mean((one) => one.auroc),
      aucPr: mean((one) => one.aucPr),
      found: perKind(({ found }) => found),
      events: perKind(({ events }) => events),
      falseAlarms: each.reduce((sum, one) => sum + one.falseAlarms, 0),
    };
  });
}

type Judged = Omit<Line, "condition" | "method">;

/** The threshold is set on normal rows before any label is looked at; a row of which nothing is known does not alarm. */
function judge(normal: Float64Array, scores: Float64Array, kinds: Uint8Array): Judged {
  const { threshold } = fitLevel(normal, alarm);
  const known = scores.map((score) => (Number.isNaN(score) ? 0 : score));
  const labels = kinds.map((kind) => Number(kind > 0));
  const { k, n, gap, release } = alarm;
  const alarms = alarmSpans(scores, { threshold, k, n, gap, release });
  const each = faults.map((_, at) => {
    const { eventRecall, events } = alarmMetrics(
      alarms,
      kinds.map((kind) => Number(kind === at + 1)),
    );
    return { events, found: events === 0 ? 0 : Math.round(events * eventRecall) };
  });
  return {
    auroc: auroc(known, labels),
    aucPr: aucPr(known, labels),
    found: each.map(({ found }) => found),
    events: each.map(({ events }) => events),
    falseAlarms: alarmMetrics(alarms, labels).falseAlarms,
  };
}

/** A row of which the modality is missing is not shown to its detector. */
function surprisesOf(scorer: StreamScorer, stretch: Stretch): Float64Array {
  return Float64Array.from({ length: stretch.rows }, (_, i) => {
    const row = rowOf(stretch, i);
    if (row.every(Number.isNaN)) return Number.NaN;
    const p = scorer.probability(scorer.push(row));
    return Number.isNaN(p) ? p : surpriseOf(p);
  });
}

function rowOf({ values, channels }: Stretch, row: number): Float32Array {
  return values.subarray(row * channels, (row + 1) * channels);
}
