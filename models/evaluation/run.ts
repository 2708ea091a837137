import { FleetError } from "../../protocol/errors.ts";
import type { PersonalModel } from "../../protocol/messages.ts";
import type { AlarmSpec, DetectorSpec, PretrainSpec, TrainingSpec } from "../../protocol/task.ts";
import type { DataSet, DeviceData } from "../data/device-set.ts";
import { fleetStatistics } from "../data/fleet-statistics.ts";
import { splitInTime } from "../data/windows.ts";
import { alarmRule } from "../detectors/alarm-rule.ts";
import { blueprintFor, kindOf } from "../detectors/catalog.ts";
import { checkLearning } from "../detectors/check-learning.ts";
import type { Calibration, Detector, Recent } from "../detectors/detector.ts";
import { enoughRows, openDetector } from "../detectors/open.ts";
import { type Arm, trainArms } from "./arms.ts";
import { type ClassMetrics, classMetrics, meanClassMetrics } from "./classes.ts";
import { type Evaluation, macroAverage } from "./evaluate.ts";
import { judgeDevice, judgePooled } from "./judge.ts";
import { type AlarmedSeries, type NabFigures, nabFigures, nabOfFile } from "./nab-alarms.ts";
import { type Scored, testScorer } from "./scored.ts";
import type { VusOptions } from "./vus.ts";

/** What is judged on one set: one detector from one seed. */
export interface RunOptions {
  readonly set: DataSet;
  readonly detector: DetectorSpec;
  readonly training: TrainingSpec;
  /** Kinds that learn by sums take neither it nor augmentation, as they take no epochs: they stand beside the others unchanged. */
  readonly pretrain?: PretrainSpec | undefined;
  readonly alarm: AlarmSpec;
  readonly rounds: number;
  readonly arms: readonly Arm[];
  readonly seed: number;
  readonly vus?: VusOptions;
  readonly signal?: AbortSignal;
  readonly onProgress?: (done: { readonly arm: Arm; readonly trained: number; readonly of: number }) => void;
  /** The scores behind a line, for plots; the buffers are the receiver's. */
  readonly onScores?: (scored: Scored) => void;
  /** A device that is too short for this detector, or that no threshold can be set for; without it, the first one ends the run with the error. */
  readonly onLeftOut?: (device: string, error: FleetError) => void;
}

/** One line of a table: a device, or `macro` for their mean, or `pooled` for all their rows together. */
export interface RunRow {
  readonly data: string;
  readonly detector: string;
  readonly arm: Arm | "none";
  readonly seed: number;
  readonly device: string;
  readonly evaluation: Evaluation;
  /** Of a device in the arm finetune: what it scores with. */
  readonly model: PersonalModel | null;
  /** The same of all devices behind a pooled line. */
  readonly models?: readonly PersonalModel[];
  /** Where the detector tells classes and the set knows them: of a device, or the mean over the devices. */
  readonly classes?: Pick<ClassMetrics, "accuracy" | "logLoss">;
  /** Where the set's labels are windows: of a device at its own threshold, of `macro` over the set as one corpus. */
  readonly nab?: Partial<NabFigures>;
}

interface LoadedDevice {
  readonly device: string;
  readonly judged: boolean;
  readonly data: DeviceData;
  readonly train: Recent;
}

/**
 * Trains every arm on the training parts, sets each device's threshold on its held-back normal rows, and only then reads the labels. Deterministic for a seed. A
 * device with too little data for a model of its own has no local line.
 */
export async function run(options: RunOptions): Promise<RunRow[]> {
  const { set, alarm, arms, rounds, training, seed, signal } = options;
  const kind = await kindOf(options.detector.name);
  const once = kind.learns === "by sums";
  const pretrain = once ? undefined : options.pretrain;
  if (!once) checkLearning(options.detector.name, kind, { training, pretext: pretrain?.objective });
  const devices: LoadedDevice[] = [];
  for (const { device, judged, load } of set.devices) {
    const data = await load();
    const { train, trainClasses } = data;
    if (
      options.onLeftOut &&
      !enoughRows(train.rows, kind.input === "series" ? options.detector : { ...options.detector, window: 1 })
    ) {
      const { name, window } = options.detector;
      const why = `${device}: ${train.rows} training rows are too few for ${name} with windows of ${window}; give more rows or a smaller window`;
      options.onLeftOut(device, new FleetError("UNAVAILABLE", why));
      continue;
    }
    const labelled = kind.supervised && trainClasses ? { ...train, labels: trainClasses } : train;
    devices.push({ device, judged, data, train: labelled });
  }
  if (!devices.some(({ judged }) => judged))
    throw new FleetError(
      "BAD_INPUT",
      `${set.name} has no device that ${options.detector.name} can be judged by`,
    );
  const detector = await openFor(devices, { ...options, pretrain });
  try {
    const results = await trainArms({
      detector,
      training,
      rounds: once ? 1 : rounds,
      pretrain,
      seed,
      devices: devices.map(({ train }) => train),
      arms,
      ...(signal && { signal }),
      ...(options.onProgress && { onProgress: options.onProgress }),
    });
    const rows: RunRow[] = [];
    for (const { arm, weights, models } of results) {
      const line = (device: string, evaluation: Evaluation, model: PersonalModel | null = null): RunRow => ({
        data: set.name,
        detector: options.detector.name,
        arm,
        seed,
        device,
        evaluation,
        model,
      });
      const scored: Scored[] = [];
      const windowed: AlarmedSeries[] = [];
      const score = testScorer({ detector, alarm, alone: kind.input !== "series" });
      for (const [d, { device, judged, data, train }] of devices.entries()) {
        const own = weights[d];
        if (!judged || !own) continue;
        detector.setWeights(own);
        const rateHz = data.test.rateHz ?? set.rateHz ?? alarm.rateHz;
        let calibration: Calibration;
        try {
          calibration = detector.calibrate(train, { ...alarm, rateHz });
        } catch (error) {
          // One device without usable held-back rows does not cost the others their lines.
          if (!options.onLeftOut || !(error instanceof FleetError)) throw error;
          options.onLeftOut(
            device,
            new FleetError(error.code, `${device}: ${error.message}`, { cause: error }),
          );
          continue;
        }
        const found = score({ weights: own, calibration, data });
        const one: Scored = {
          ...found,
          device,
          threshold: calibration.threshold,
          labels: data.labels ?? new Uint8Array(data.test.rows),
          rule: alarmRule(kind, alarm, calibration),
          tail: calibration.tail,
          detector: options.detector.name,
          arm,
          seed,
        };
        const file = data.windows && { ...one, windows: data.windows };
        if (file) windowed.push({ ...file, scores: one.scores.slice() });
        if (set.judging === "device")
          rows.push({
            ...line(device, judgeDevice(one, data, options), models?.[d]),
            ...classesOf(detector, data),
            ...(file && { nab: { nabScore: nabOfFile(file) } }),
          });
        else scored.push(one);
        options.onScores?.(one);
      }
      const nab = windowed.length > 0 ? { nab: nabFigures(windowed) } : {};
      if (set.judging === "pooled")
        rows.push({
          ...line("pooled", judgePooled(scored, { ...options, input: kind.input })),
          ...(models && { models: models.filter((_, d) => devices[d]!.judged) }),
          ...nab,
        });
      else {
        const own = rows.filter((row) => row.arm === arm);
        const mean = macroAverage(own.map((row) => row.evaluation));
        const judged = own.flatMap(({ classes }) => classes ?? []);
        rows.push({
          ...line("macro", mean),
          ...(judged.length > 0 && { classes: meanClassMetrics(judged) }),
          ...nab,
        });
      }
    }
    return rows;
  } finally {
    detector.dispose();
  }
}

async function openFor(devices: readonly LoadedDevice[], options: RunOptions): Promise<Detector> {
  const { detector: spec, training, pretrain, seed } = options;
  const channels = devices[0]?.train.channels;
  if (channels === undefined) throw new FleetError("BAD_INPUT", "the data set has no devices");
  const other = devices.find(({ train }) => train.channels !== channels);
  if (other) {
    throw new FleetError(
      "BAD_INPUT",
      `${other.device} has ${other.train.channels} channels, ${devices[0]!.device} has ${channels}; devices that learn together need the same ones`,
    );
  }
  const statistics = fleetStatistics(
    spec.scaling,
    devices.map(({ device, train }) => ({
      device,
      series: train,
      range: splitInTime(train.rows, spec.heldBack).train,
    })),
  );
  const topology = JSON.stringify(await blueprintFor(spec, channels, pretrain?.objective));
  return openDetector({ spec, topology, channels, seed, statistics, maxBatch: training.batchSize });
}

function classesOf({ probabilities }: Detector, { test, testClasses }: DeviceData): Pick<RunRow, "classes"> {
  if (!probabilities || !testClasses || test.rows === 0) return {};
  const found = probabilities(test.values);
  return { classes: classMetrics(found, testClasses, found.length / test.rows) };
}
