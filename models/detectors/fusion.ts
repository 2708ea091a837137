import { FleetError } from "../../protocol/errors.ts";
import { fitLevel } from "../scoring/alarm-level.ts";
import { alarmMachine } from "../scoring/events.ts";
import { fitTail, tailProbability } from "../scoring/tail.ts";
import { topChannels } from "../scoring/top-channels.ts";
import { type AnomalyDetector, loadDetector } from "./anomaly-detector.ts";
import type { DetectedEvent, NamedShare } from "./detect-events.ts";
import { damagedFusion, decodeFusion, encodeFusion, type FusionCalibration } from "./fusion-file.ts";
import { type FusionPass, openFusionPass, termPlaces } from "./fusion-pass.ts";
import {
  type ModalityRow,
  type ModalityRows,
  type Moments,
  moments,
  rowReader,
  sliceMoments,
} from "./fusion-rows.ts";
import { type FusionOptions, type FusionSettings, fusionSettings } from "./fusion-settings.ts";
import {
  describeShares,
  type FusedChannel,
  type ModalityShare,
  NOTHING,
  type Shares,
  watchFusion,
} from "./fusion-watch.ts";

/**
 * Several fitted detectors, each of another modality (sensors, camera, microphone), as one: late fusion. Every detector says by the tail of its own normal
 * scores how improbable its row is; `fusedSurprise` makes one number of these, and the fusion learns from normal rows of all what is usual of it, since
 * modalities of one device are seldom independent. A modality that is missing at a moment does not count in it.
 *
 * Refused rows and states throw BAD_INPUT, as those of `AnomalyDetector` do.
 */
export interface Fusion {
  readonly modalities: readonly string[];
  readonly settings: FusionSettings;
  readonly isCalibrated: boolean;
  /** A score above it is over the usual. */
  readonly threshold: number;
  /**
   * Learns from normal rows what the fused score usually is. Of rows that the detectors were fitted on, their last part alone, which they held back too, says so;
   * of rows that they have never seen, take all: `heldBack: 1`.
   */
  calibrate(x: ModalityRows, options?: CalibrateOptions): FusionReport;
  /** (rows): -ln of the fused probability, 0 and up; NaN where no modality says anything. */
  score(x: ModalityRows, options?: FusionScoreOptions): Float64Array;
  /** (rows), 0..1: how often a normal moment has a score as high or higher. */
  probability(x: ModalityRows, options?: FusionScoreOptions): Float64Array;
  /** The alarms over these rows. */
  detect(x: ModalityRows, options?: FusionScoreOptions): FusionDetection;
  /** The modalities that made the score of a row, or of an event's rows over the threshold, highest first, and of each the channels that did. */
  explain(
    x: ModalityRows,
    where: number | Pick<DetectedEvent, "onset" | "end">,
    options?: FusionScoreOptions,
  ): ExplainedModality[];
  /** Moments as they come, to the same numbers as `score` and `detect`. */
  stream(options?: FusionScoreOptions): FusionStream;
  /** The detectors, settings and calibration in one file's bytes. `loadFusion` reads it. */
  save(): Uint8Array;
  /** Disposes of the detectors. */
  dispose(): void;
}

export interface CalibrateOptions extends FusionScoreOptions {
  /** Part of the rows, the latest, that counts, 0.2 where nothing is said; the others come before. With `before`, all of them count. */
  readonly heldBack?: number;
}

export interface FusionScoreOptions {
  /** Moments that came just before: seen, and not scored. */
  readonly before?: ModalityRows;
}

export interface FusionReport {
  /** Fused scores that it is calibrated by. */
  readonly rows: number;
  /** Why the threshold is weaker than what was asked for, if it is. */
  readonly caution?: string;
}

export interface ExplainedModality extends ModalityShare {
  /** Shares of the modality's part; empty for kinds that judge a row as a whole. */
  readonly channels: readonly NamedShare[];
}

export interface FusedEvent extends Omit<DetectedEvent, "channels"> {
  readonly modalities: readonly ModalityShare[];
  readonly channels: readonly FusedChannel[];
}

export interface FusionDetection {
  readonly scores: Float64Array;
  /** (rows): 1 within an event. */
  readonly labels: Uint8Array;
  readonly events: readonly FusedEvent[];
}

export interface FusionStream {
  /** What there is at the next moment, by modality; null or left out where there is nothing. */
  push(rows: Readonly<Record<string, ModalityRow | undefined>>): FusedRow;
}

export interface FusedRow {
  readonly score: number;
  readonly probability: number;
  /** Each modality's own, with those that are held; NaN where it is missing. */
  readonly probabilities: Readonly<Record<string, number>>;
  readonly alarm: "none" | "onset" | "on" | "end";
  /** At an onset: what made it. At an end: what made all of it. */
  readonly modalities: readonly ModalityShare[];
  readonly channels: readonly FusedChannel[];
}

/** As much of a detector's rows is held back when nothing else is said. */
const HELD_BACK = 0.2;
/** Scores without which threshold and tail would be luck: as many as a detector needs. */
const FEWEST_SCORES = 32;

/** Fuses detectors that have been fitted; `calibrate` comes next. Throws BAD_INPUT for none, and for settings that can't be. */
export function createFusion(
  detectors: Readonly<Record<string, AnomalyDetector>>,
  options: FusionOptions = {},
): Fusion {
  const names = Object.keys(detectors);
  if (names.length === 0) throw bad("there is nothing to fuse; give at least one detector by its modality");
  for (const [name, { isFitted }] of Object.entries(detectors))
    if (!isFitted) throw bad(`the detector of ${name} has learned nothing yet; call its fit first`);
  return face(new Map(Object.entries(detectors)), fusionSettings(options, names));
}

/** A fusion from the bytes of its `save`. Throws BAD_INPUT for bytes of another kind or form, CORRUPT for damaged ones. */
export async function loadFusion(bytes: Uint8Array): Promise<Fusion> {
  const { settings, calibration, detectors: files } = decodeFusion(bytes);
  const detectors = new Map<string, AnomalyDetector>();
  try {
    for (const [name, file] of files) detectors.set(name, await loadDetector(file));
    fusionSettings(settings, [...detectors.keys()]);
    alarmMachine({ threshold: calibration.threshold, ...settings.alarm });
    const fusion = face(detectors, settings, calibration);
    void fusion.threshold; // refused where it is not of these detectors
    return fusion;
  } catch (cause) {
    for (const detector of detectors.values()) detector.dispose();
    throw damagedFusion(cause);
  }
}

function face(
  detectors: ReadonlyMap<string, AnomalyDetector>,
  settings: FusionSettings,
  from?: FusionCalibration,
): Fusion {
  const names = [...detectors.keys()];
  let calibration = from;
  const thresholdsNow = () => [...detectors.values()].map(({ threshold }) => threshold);
  const ready = (): FusionCalibration => {
    if (!calibration) throw bad("this fusion knows no normal rows yet; call calibrate first");
    const now = thresholdsNow();
    const moved = calibration.thresholds.findIndex((threshold, i) => threshold !== now[i]);
    if (moved >= 0 || now.length !== calibration.thresholds.length)
      throw bad(`the detector of ${names[moved]} was fitted again; call calibrate again`);
    return calibration;
  };
  const checked = (x: ModalityRows) => moments(x, detectors);
  const begin = (before: ModalityRows | undefined): FusionPass =>
    openFusionPass(detectors, settings, before && checked(before));
  const scoreAll = (x: Moments, pass: FusionPass): Float64Array =>
    Float64Array.from({ length: x.rows }, (_, i) => pass.push(rowsAt(x, i)));
  const start = (before: ModalityRows | undefined) => watchFusion(begin(before), ready(), settings);
  const described = (shares: Shares) => describeShares(shares, detectors);

  return {
    modalities: names,
    settings,
    get isCalibrated() {
      return calibration !== undefined;
    },
    get threshold() {
      return ready().threshold;
    },
    calibrate(x, { before, heldBack = before ? 1 : HELD_BACK } = {}) {
      if (!(heldBack > 0 && heldBack <= 1))
        throw bad(`heldBack is ${heldBack}; give the part of the rows that counts, above 0 to 1`);
      const all = checked(x);
      const absent = all.of.indexOf(undefined);
      if (absent >= 0)
        throw bad(
          `there are no rows of ${names[absent]}; a fusion is calibrated by rows of all its modalities`,
        );
      if (heldBack < 1 && before !== undefined)
        throw bad("with rows before, all of the others count; leave heldBack at 1, or before out");
      const from = Math.floor(all.rows * (1 - heldBack));
      const pass = from > 0 ? openFusionPass(detectors, settings, sliceMoments(all, 0, from)) : begin(before);
      const scores = scoreAll(sliceMoments(all, from, all.rows), pass);
      const rows = scores.filter((score) => !Number.isNaN(score)).length;
      if (rows < FEWEST_SCORES)
        throw bad(
          `${rows} scores of normal rows are too few to set a threshold by; give at least ${FEWEST_SCORES}`,
        );
      const rateHz = settings.alarm.rateHz ?? all.of.find((one) => one?.rateHz !== undefined)?.rateHz;
      const level = fitLevel(scores, { ...settings.alarm, rateHz });
      calibration = { ...level, tail: fitTail(scores), rows, thresholds: thresholdsNow() };
      return { rows, ...(level.caution === undefined ? {} : { caution: level.caution }) };
    },
    score: (x, { before } = {}) => scoreAll(checked(x), begin(before)),
    probability(x, { before } = {}) {
      const { tail } = ready();
      return scoreAll(checked(x), begin(before)).map((score) => tailProbability(tail, score));
    },
    detect(x, { before } = {}) {
      const all = checked(x);
      const watched = start(before);
      const scores = new Float64Array(all.rows);
      const labels = new Uint8Array(all.rows);
      const events: FusedEvent[] = [];
      let raised = 0;
      const close = (onset: number, end: number, open: boolean, shares: Shares) => {
        labels.fill(1, onset, end);
        let row = onset;
        for (let i = onset; i < end; i++) if (scores[i]! > scores[row]!) row = i;
        events.push({ onset, end, raised, open, peak: { row, score: scores[row]! }, ...described(shares) });
      };
      for (let row = 0; row < all.rows; row++) {
        const { score, event } = watched.push(rowsAt(all, row));
        scores[row] = score;
        if (event?.kind === "onset") raised = row;
        if (event?.kind === "end") close(event.since, event.until + 1, false, event.shares);
      }
      const open = watched.open();
      if (open) close(open.since, open.until + 1, true, open.shares);
      return { scores, labels, events };
    },
    explain(x, where, { before } = {}) {
      const { threshold } = ready();
      const all = checked(x);
      const { onset, end } = typeof where === "number" ? { onset: where, end: where + 1 } : where;
      if (!(Number.isInteger(onset) && Number.isInteger(end) && 0 <= onset && onset < end && end <= all.rows))
        throw bad(`rows ${onset} to ${end} are not within the ${all.rows} rows that were given`);
      const pass = begin(before);
      const { starts, size } = termPlaces(detectors);
      const sum = new Float64Array(size);
      for (let i = 0; i < end; i++) {
        const score = pass.push(rowsAt(all, i));
        if (i < onset || (typeof where !== "number" && !(score > threshold))) continue;
        const terms = pass.channelTerms();
        for (let c = 0; c < size; c++) sum[c]! += terms[c]!;
      }
      const total = sum.reduce((a, b) => a + b, 0);
      return [...detectors]
        .map(([name, { channels }], i) => {
          const own = sum.subarray(starts[i]!, starts[i]! + 1 + channels.length);
          const made = own.reduce((a, b) => a + b, 0);
          const shares = topChannels(own.subarray(1), channels.length);
          return {
            name,
            share: total > 0 ? made / total : 0,
            channels: shares.map((share) => ({ ...share, name: channels[share.channel]! })),
          };
        })
        .filter(({ share }) => share > 0)
        .sort((a, b) => b.share - a.share);
    },
    stream({ before } = {}) {
      const own = ready();
      const watched = start(before);
      const read = rowReader(detectors);
      let on = false;
      return {
        push(given) {
          if (ready() !== own) throw bad("this fusion was calibrated again; begin another stream");
          const { score, event } = watched.push(read(given));
          if (event) on = event.kind === "onset";
          return {
            score,
            probability: tailProbability(own.tail, score),
            probabilities: Object.fromEntries(names.map((name, i) => [name, watched.probabilities[i]!])),
            alarm: event?.kind ?? (on ? "on" : "none"),
            ...described(event?.shares ?? NOTHING),
          };
        },
      };
    },
    save: () =>
      encodeFusion({
        settings,
        calibration: ready(),
        detectors: [...detectors].map(([name, detector]) => [name, detector.save()] as const),
      }),
    dispose() {
      for (const detector of detectors.values()) detector.dispose();
    },
  };
}

function rowsAt({ of }: Moments, row: number): (ModalityRow | undefined)[] {
  return of.map((one) => one?.values.subarray(row * one.channels, (row + 1) * one.channels));
}

function bad(sentence: string): FleetError {
  return new FleetError("BAD_INPUT", sentence);
}
