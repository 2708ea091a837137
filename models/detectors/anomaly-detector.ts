import { FleetError } from "../../protocol/errors.ts";
import { sameLayout } from "../../protocol/frame.ts";
import { tailProbability } from "../scoring/tail.ts";
import { topChannels } from "../scoring/top-channels.ts";
import { type DetectorName, kindOf, tunedOptions } from "./catalog.ts";
import { checkLearning } from "./check-learning.ts";
import { type DetectedEvent, detectEvents, type NamedShare, namedShares } from "./detect-events.ts";
import { damaged, decodeDetector, encodeDetector } from "./detector-file.ts";
import {
  type CheckedRows,
  checkedRow,
  checkedRows,
  type Rows,
  refuseSilentChannels,
} from "./detector-rows.ts";
import {
  type DetectorOptions,
  type DetectorSettings,
  detectorSettings,
  knownDetector,
  specsOf,
} from "./detector-settings.ts";
import { type FitReport, type Fitted, openFitted, type Progress, trainedOn, trainFurther } from "./fitted.ts";
import { type DetectorPass, openPass } from "./pass.ts";

/**
 * One detector by itself, in the manner of PyOD and scikit-learn: fit, then score, detect, explain. It is the pipeline that an agent runs (`openDetector`), so the
 * same rows give the same numbers here, on a stream and in `starling evaluate`. Rows that cannot be used are refused with BAD_INPUT; so is
 * everything but `fit`, `partialFit` and `dispose` before the first fit.
 */
export interface AnomalyDetector {
  readonly name: DetectorName;
  readonly settings: DetectorSettings;
  readonly isFitted: boolean;
  /** Names of the channels that it was fitted on. */
  readonly channels: readonly string[];
  /** A score above it is over the usual: set on held-back rows of the last fit. */
  readonly threshold: number;
  /**
   * Learns from normal rows anew, whatever was learned before: trains on all but the last part of them and calibrates on that part. After an error or an abort
   * it is as before.
   */
  fit(x: Rows, options?: FitDetectorOptions): Promise<FitReport>;
  /**
   * Goes on from what was learned with more normal rows, and calibrates on their last part: the newest rows say what is usual now. Without an earlier fit, it is one.
   */
  partialFit(x: Rows, options?: FitDetectorOptions): Promise<FitReport>;
  /** (rows): the smoothed scores, about 1 on normal rows and without an upper end; NaN until enough has been seen. */
  score(x: Rows, options?: ScoreOptions): Float64Array;
  /** (rows), 0..1: how often a normal row has a score as high or higher. */
  probability(x: Rows, options?: ScoreOptions): Float64Array;
  /** The alarms that an agent would raise over these rows. */
  detect(x: Rows, options?: ScoreOptions): Detection;
  /**
   * The channels that made the score of a row, or of an event's rows over the threshold, highest first; those that made nothing are left out. Throws
   * UNSUPPORTED for kinds that judge a row as a whole.
   */
  explain(
    x: Rows,
    where: number | Pick<DetectedEvent, "onset" | "end">,
    options?: ScoreOptions,
  ): NamedShare[];
  /** Scores rows as they come, to the same numbers as `score` and `detect`. A fit ends it. */
  stream(options?: ScoreOptions): DetectorStream;
  /** All of it in one file's bytes: settings, network, weights, calibration, names. `loadDetector` reads it. */
  save(): Uint8Array;
  /** Returns the engine's memory. */
  dispose(): void;
}

export interface FitDetectorOptions {
  /** (rows): classes, for supervised kinds; 0 is normal. */
  readonly labels?: Uint8Array;
  /** Where the rows have none of their own. */
  readonly names?: readonly string[];
  readonly signal?: AbortSignal;
  readonly onProgress?: Progress;
}

export interface ScoreOptions {
  /** Rows that came just before `x`, such as those of fit: seen, and not scored. Without them the detector begins blind. */
  readonly before?: Rows;
}

export interface Detection {
  /** (rows), as `score` gives them. */
  readonly scores: Float64Array;
  /** (rows): 1 within an event. */
  readonly labels: Uint8Array;
  readonly events: readonly DetectedEvent[];
}

export interface DetectorStream {
  push(row: ArrayLike<number | null>): StreamedRow;
  /** The channels that made the last row's score, highest first; empty for kinds that judge a row as a whole. */
  explain(): NamedShare[];
}

export interface StreamedRow {
  readonly score: number;
  readonly probability: number;
  /** "onset" and "end" at the rows where an alarm is raised and declared over; between them, "on". */
  readonly alarm: "none" | "onset" | "on" | "end";
  /** At an onset: what made it. At an end: what made all of it. */
  readonly channels: readonly NamedShare[];
}

/** A detector of the catalog with its settings; nothing is learned yet. Throws BAD_INPUT for a name or setting that is not there. */
export async function createDetector(
  name: DetectorName,
  options: DetectorOptions = {},
): Promise<AnomalyDetector> {
  const known = knownDetector(name);
  const settings = detectorSettings(options);
  const kind = await kindOf(known);
  const { spec, training } = specsOf(known, settings);
  tunedOptions(kind, spec);
  checkLearning(known, kind, { training, pretext: settings.pretrain?.objective });
  return face(known, settings);
}

/** A detector from the bytes of its `save`. Throws BAD_INPUT for bytes of another kind or form, CORRUPT for damaged ones. */
export async function loadDetector(bytes: Uint8Array): Promise<AnomalyDetector> {
  const { name, settings, layout, weights, ...saved } = decodeDetector(bytes);
  const fitted = await openFitted({ name, settings, ...saved });
  try {
    const { detector, calibration, names } = fitted;
    if (!sameLayout(detector.layout, layout)) throw damaged();
    detector.setWeights(weights);
    if (calibration.scalerMean.length !== names.length || calibration.scalerSigma.length !== names.length)
      throw damaged();
    openPass(fitted, settings);
  } catch (cause) {
    fitted.detector.dispose();
    throw cause instanceof FleetError && cause.code === "CORRUPT" ? cause : damaged(cause);
  }
  return face(name, settings, fitted);
}

function face(name: DetectorName, settings: DetectorSettings, from?: Fitted): AnomalyDetector {
  let fitted = from;
  let state: "open" | "training" | "disposed" = "open";

  const idle = () => {
    if (state === "disposed") throw bad(`this ${name} was disposed; make or load another`);
    if (state === "training") throw bad(`this ${name} is being trained; await its fit first`);
  };
  const ready = (): Fitted => {
    idle();
    if (!fitted) throw bad(`this ${name} has learned nothing yet; call fit with normal rows first`);
    return fitted;
  };
  const training = async (
    x: Rows,
    { labels, names, signal, onProgress }: FitDetectorOptions,
    from: Fitted | undefined,
  ): Promise<FitReport> => {
    idle();
    const rows = checkedRows(x, from?.names, names);
    refuseSilentChannels(rows);
    if (labels && labels.length !== rows.rows)
      throw bad(`there are ${labels.length} labels for ${rows.rows} rows; give one each`);
    state = "training";
    try {
      const recent = { ...rows, ...(labels && { labels }) };
      const options = { name, settings, rows: recent, signal, onProgress };
      const { report, ...next } = from ? await trainFurther(from, options) : await trainedOn(options);
      if (fitted && fitted.detector !== next.detector) fitted.detector.dispose();
      fitted = next;
      return report;
    } finally {
      state = "open";
    }
  };
  /** A pass that has seen what came before. */
  const begin = (fitted: Fitted, before: Rows | undefined): DetectorPass => {
    const pass = openPass(fitted, settings);
    if (before) pass.warmUp(checkedRows(before, fitted.names));
    return pass;
  };
  const rowAt = ({ values, channels }: CheckedRows, row: number) =>
    values.subarray(row * channels, (row + 1) * channels);

  const scoreAll = (x: Rows, { before }: ScoreOptions, finish: (score: number, fitted: Fitted) => number) => {
    const fitted = ready();
    const rows = checkedRows(x, fitted.names);
    const { scorer } = begin(fitted, before);
    return Float64Array.from({ length: rows.rows }, (_, i) => finish(scorer.push(rowAt(rows, i)), fitted));
  };

  return {
    name,
    settings,
    get isFitted() {
      return fitted !== undefined;
    },
    get channels() {
      return ready().names;
    },
    get threshold() {
      return ready().calibration.threshold;
    },
    fit: (x, options = {}) => training(x, options, undefined),
    partialFit: (x, options = {}) => training(x, options, fitted),
    score: (x, options = {}) => scoreAll(x, options, (score) => score),
    probability: (x, options = {}) =>
      scoreAll(x, options, (score, { calibration }) => tailProbability(calibration.tail, score)),
    detect(x, { before } = {}) {
      const fitted = ready();
      const rows = checkedRows(x, fitted.names);
      return detectEvents(begin(fitted, before), rows);
    },
    explain(x, where, { before } = {}) {
      const fitted = ready();
      const rows = checkedRows(x, fitted.names);
      const { onset, end } = typeof where === "number" ? { onset: where, end: where + 1 } : where;
      if (
        !(Number.isInteger(onset) && Number.isInteger(end) && 0 <= onset && onset < end && end <= rows.rows)
      )
        throw bad(`rows ${onset} to ${end} are not within the ${rows.rows} rows that were given`);
      const pass = begin(fitted, before);
      if (!pass.byChannel)
        throw new FleetError(
          "UNSUPPORTED",
          `${name} judges a row as a whole and can't say which channels made its score; take a forecaster for that`,
        );
      const sum = new Float64Array(rows.channels);
      for (let i = 0; i < end; i++) {
        const score = pass.scorer.push(rowAt(rows, i));
        if (i < onset || (typeof where !== "number" && !(score > fitted.calibration.threshold))) continue;
        for (let c = 0; c < sum.length; c++) sum[c]! += pass.scorer.contributions[c]!;
      }
      return namedShares(topChannels(sum, sum.length), fitted.names);
    },
    stream({ before } = {}) {
      const own = ready();
      const pass = begin(own, before);
      const values = new Float32Array(own.names.length);
      let row = 0;
      let on = false;
      return {
        push(raw) {
          if (ready() !== own) throw bad(`this ${name} was fitted again; begin another stream`);
          checkedRow(raw, values, own.names);
          const score = pass.scorer.push(values);
          const event = pass.alarm.push(row++, score, pass.scorer.contributions);
          if (event) on = event.kind === "onset";
          return {
            score,
            probability: tailProbability(own.calibration.tail, score),
            alarm: event?.kind ?? (on ? "on" : "none"),
            channels: event && pass.byChannel ? namedShares(event.topChannels, own.names) : [],
          };
        },
        explain: () =>
          pass.byChannel
            ? namedShares(topChannels(pass.scorer.contributions, own.names.length), own.names)
            : [],
      };
    },
    save() {
      const { detector, ...rest } = ready();
      const { layout } = detector;
      return encodeDetector({ ...rest, name, settings, layout, weights: detector.weights() });
    },
    dispose() {
      if (state === "training") throw bad(`this ${name} is being trained; abort or await its fit first`);
      if (state === "open") fitted?.detector.dispose();
      fitted = undefined;
      state = "disposed";
    },
  };
}

function bad(sentence: string): FleetError {
  return new FleetError("BAD_INPUT", sentence);
}
