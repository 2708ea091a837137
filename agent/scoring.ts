import { setImmediate } from "node:timers/promises";
import { alarmRule } from "../models/detectors/alarm-rule.ts";
import type { Calibration, Detector, StreamScorer } from "../models/detectors/detector.ts";
import { warmUpRows } from "../models/detectors/open.ts";
import { type ChannelRange, channelRange } from "../models/scoring/channel-range.ts";
import { type AlarmMachine, type AlarmState, alarmMachine } from "../models/scoring/events.ts";
import { type Alert, type Heartbeat, MOST_ODD_CHANNELS, type OddChannel } from "../protocol/messages.ts";
import { alertOf } from "./alert.ts";
import {
  type Checkpoint,
  type Chosen,
  floatsToText,
  type Installed,
  textToFloats,
  textToWatch,
  watchToText,
} from "./checkpoint.ts";
import type { Clock } from "./clock.ts";
import type { Log } from "./log.ts";
import type { RateMeter } from "./rate.ts";
import type { RecentData } from "./recent-data.ts";
import { type ScoreWatch, scoreWatch, type WatchOptions, type WatchState } from "./score-watch.ts";
import type { ScoresFile } from "./scores-file.ts";
import type { Batch } from "./source.ts";

/** Scores every live row as it comes, and knows at each moment where the agent stands. */
export interface Scoring {
  readonly installed: Installed | undefined;
  /** The next row to be read, and how many had a score. */
  readonly row: number;
  readonly scored: number;
  /** An alarm is open. */
  readonly alarmed: boolean;
  /** Pushes every row of the batch; gives way to other work every few milliseconds. The signal only ends waiting for a full disk. */
  process(batch: Batch, signal: AbortSignal): Promise<void>;
  /** From the next row on, this version scores. Durable when it resolves. The detector is the scorer's from now on. */
  install(installed: Installed, detector: Detector): Promise<void>;
  /** The version that is installed goes on scoring as it is, and this is remembered with it. Durable when it resolves. */
  settle(chosen: Chosen): Promise<void>;
  checkpoint(): Promise<void>;
  /** Score statistics since the last call. */
  takeScores(): Heartbeat["scores"];
  level(): NonNullable<Heartbeat["level"]> | null;
  drift(): NonNullable<Heartbeat["drift"]> | null;
  oddChannels(): OddChannel[];
  close(): void;
}

export interface ScoringOptions {
  readonly start: Checkpoint;
  /** Detector of `start.installed`, with its weights. */
  readonly detector: Detector | undefined;
  readonly recent: RecentData;
  readonly names: readonly string[] | undefined;
  /** What the counters of the rows to come go on from, as far as rows were read. */
  readonly prepared?: () => Checkpoint["prepared"];
  readonly save: (checkpoint: Checkpoint) => Promise<void>;
  readonly spool: { add(alert: Alert): Promise<void> };
  readonly scoresFile: ScoresFile | undefined;
  readonly watchSizes?: WatchOptions["sizes"];
  /** Told the time of every live row. */
  readonly rate: Pick<RateMeter, "see">;
  readonly clock: Clock;
  readonly log: Log;
}

/** Of a channel, as a message has room for. */
const NAME_LENGTH = 64;

/** The scoring loop holds the main thread no longer than this; MQTT, timers and installs run in between. */
const sliceMs = 8;
const checkpointMs = 1_000;
/** A full disk: the alert can't be spooled, so scoring waits, and tries again. */
const diskRetryMs = 2_000;

/** Of a score that is not made of one term a channel: none can be named. */
const noTerms = new Float32Array(0);

interface Active {
  readonly installed: Installed;
  readonly detector: Detector;
  readonly scorer: StreamScorer;
  readonly alarm: AlarmMachine;
  readonly watch: ScoreWatch;
  readonly range: ChannelRange;
}

export function openScoring(options: ScoringOptions): Scoring {
  const { recent, names, spool, scoresFile, clock, log, start } = options;
  const rowValues = new Float32Array(recent.channels);
  let row = start.row;
  let scored = start.scored;
  // An alarm whose version can't be restored is not open any more: its state went with it.
  let onset = start.alarm?.open && options.detector !== undefined ? (start.onset ?? undefined) : undefined;
  let raised: readonly Alert[] = start.raised;
  let active: Active | undefined;
  let savedMs = clock.steadyMs();
  let saving: Promise<void> = Promise.resolve();
  let tally = emptyTally();

  const activate = (
    installed: Installed,
    detector: Detector,
    state: AlarmState | undefined,
    watched?: WatchState,
  ): Active => ({
    installed,
    detector,
    scorer: detector.scorer(installed.calibration, installed.alarm.smooth),
    alarm: machineOf(detector, installed, state),
    watch: scoreWatch({
      calibration: installed.calibration,
      alarm: installed.alarm,
      log,
      start: watched,
      ...(options.watchSizes === undefined ? {} : { sizes: options.watchSizes }),
    }),
    range: channelRange({
      mean: installed.calibration.scalerMean,
      sigma: installed.calibration.scalerSigma,
    }),
  });
  const warm = ({ detector, scorer, installed }: Active) => {
    recent.last(warmUpRows(detector, installed.alarm.smooth), (values) => scorer.push(values));
  };
  if (start.installed !== null && options.detector !== undefined) {
    const watched = start.watch === null ? undefined : textToWatch(start.watch);
    active = activate(start.installed, options.detector, start.alarm ?? undefined, watched);
    if (!restored(active.scorer, start.scorer, log)) warm(active);
  }

  /** One after the other; what is saved is the state of the moment of the call. */
  const checkpoint = (): Promise<void> => {
    scoresFile?.flush();
    savedMs = clock.steadyMs();
    const prepared = options.prepared?.();
    const now: Checkpoint = {
      ...start,
      row,
      scored,
      installed: active?.installed ?? null,
      scorer: active === undefined ? null : floatsToText(active.scorer.state()),
      alarm: active?.alarm.state() ?? null,
      watch: active === undefined ? null : watchToText(active.watch.state()),
      onset: onset ?? null,
      raised: [...raised],
      ...(prepared && { prepared }),
    };
    const saved = saving.then(() => options.save(now));
    saving = saved.catch(() => {}); // the caller sees it; the next one must still be written
    return saved;
  };

  /** On disk before the cursor moves on: first in the checkpoint, atomically with the row, then in the spool. */
  const raise = async (alert: Alert, signal: AbortSignal): Promise<void> => {
    log.info(
      { alert: alert.id, phase: alert.phase, row: alert.row, score: alert.score, threshold: alert.threshold },
      alert.phase === "onset" ? "an alarm began" : "an alarm ended",
    );
    raised = [...raised, alert];
    do {
      try {
        await checkpoint();
        await spool.add(alert);
        raised = raised.filter(({ id }) => id !== alert.id);
        return;
      } catch (error) {
        log.error(
          { alert: alert.id, error: String(error) },
          "an alert can't be written to disk; scoring waits",
        );
        await clock.sleep(diskRetryMs, signal);
      }
    } while (!signal.aborted);
  };

  /** A row that the detector can't take has no score; the next ones are scored as if the stream began anew. */
  const pushRow = (scorer: StreamScorer): number => {
    try {
      return scorer.push(rowValues);
    } catch (error) {
      log.warn({ row, error: String(error) }, "a row could not be scored");
      scorer.reset();
      return Number.NaN;
    }
  };

  /** A fault of the wiring or the configuration is told in words, beside the alarm that it may raise. */
  const tellOfChannels = (range: ChannelRange): void => {
    for (const { channel, state, what } of range.push(rowValues)) {
      const fields = { channel, state, row };
      const name = names?.[channel] ?? channel;
      if (state === "usual") log.info(fields, `channel ${name} ${what}`);
      else
        log.warn(
          fields,
          `channel ${name} ${what}: check its sensor, unit and wiring; where the change is meant, train again`,
        );
    }
  };

  const score = (atMs: number): Alert | undefined => {
    if (active === undefined) return undefined;
    const { scorer, alarm, installed, watch, range } = active;
    tellOfChannels(range);
    const value = pushRow(scorer);
    if (!Number.isFinite(value)) return undefined;
    scored += 1;
    count(tally, value);
    const event = alarm.push(
      row,
      value,
      scorer.contributions.length === recent.channels ? scorer.contributions : noTerms,
    );
    let alert: Alert | undefined;
    if (event !== undefined) {
      const { number, sha256, calibration, personal } = installed;
      const { threshold } = calibration;
      alert = alertOf({
        ...{ event, atMs, score: value, probability: scorer.probability, threshold },
        ...{ version: { number, sha256 }, onset, names },
        model: personal?.weights ? personal.model : undefined,
      });
      onset = event.kind === "onset" ? alert.id : undefined;
    }
    scoresFile?.append(row, value, onset !== undefined);
    const calibration = watch.push(value, onset !== undefined);
    if (calibration !== undefined) adopt(active, calibration);
    return alert;
  };

  /** The same version with a new threshold, from the next row on. No alarm is open. */
  const adopt = (before: Active, calibration: Calibration): void => {
    const installed = { ...before.installed, calibration };
    before.scorer.setTail(calibration.tail);
    active = { ...before, installed, alarm: machineOf(before.detector, installed, before.alarm.state()) };
  };

  return {
    get installed() {
      return active?.installed;
    },
    get row() {
      return row;
    },
    get scored() {
      return scored;
    },
    get alarmed() {
      return onset !== undefined;
    },
    async process({ values, rows, atMs }, signal) {
      const { channels } = recent;
      let sliceEndMs = clock.steadyMs() + sliceMs;
      for (let i = 0; i < rows; i++) {
        for (let c = 0; c < channels; c++) rowValues[c] = values[i * channels + c]!;
        recent.push(rowValues);
        const ms = atMs(i);
        options.rate.see(ms);
        const alert = score(ms);
        row += 1;
        if (alert !== undefined) await raise(alert, signal);
        const nowMs = clock.steadyMs();
        if (nowMs - savedMs >= checkpointMs) await checkpoint().catch((error) => diskFault(log, error));
        if (nowMs < sliceEndMs) continue;
        await setImmediate();
        sliceEndMs = clock.steadyMs() + sliceMs;
      }
    },
    async install(installed, detector) {
      // All of it in one go, between two rows. An open alarm stays open; the new threshold decides when it ends.
      const next = activate(installed, detector, active?.alarm.state());
      warm(next);
      const old = active;
      active = next;
      old?.detector.dispose();
      await checkpoint();
    },
    async settle(personal) {
      if (active !== undefined) active = { ...active, installed: { ...active.installed, personal } };
      await checkpoint();
    },
    checkpoint,
    level: () => active?.watch.level() ?? null,
    drift: () => active?.watch.drift() ?? null,
    oddChannels: () =>
      (active?.range.odd ?? []).slice(0, MOST_ODD_CHANNELS).map(({ channel, state, what }) => {
        const name = names?.[channel]?.slice(0, NAME_LENGTH);
        return { channel, ...(name !== undefined && { name }), state, what } as OddChannel;
      }),
    takeScores() {
      const { count: rows, sum, max } = tally;
      tally = emptyTally();
      if (rows === 0 || active === undefined) return null;
      return { count: rows, mean: sum / rows, max, threshold: active.installed.calibration.threshold };
    },
    close() {
      scoresFile?.close();
      active?.detector.dispose();
    },
  };
}

function machineOf(
  detector: Detector,
  { calibration, alarm }: Installed,
  state: AlarmState | undefined,
): AlarmMachine {
  return alarmMachine(alarmRule(detector, alarm, calibration), state);
}

interface Tally {
  count: number;
  sum: number;
  max: number;
}

function emptyTally(): Tally {
  return { count: 0, sum: 0, max: Number.NEGATIVE_INFINITY };
}

function count(tally: Tally, score: number): void {
  tally.count += 1;
  tally.sum += score;
  tally.max = Math.max(tally.max, score);
}

/** Goes on where the stream was; false where there is nothing to go on from, or an older agent wrote it in another form. */
function restored(scorer: StreamScorer, state: string | null, log: Log): boolean {
  if (state === null) return false;
  try {
    scorer.restore(textToFloats(state));
    return true;
  } catch (error) {
    log.warn({ error: String(error) }, "the scorer's state can't be used; it is made from the recent data");
    scorer.reset();
    return false;
  }
}

function diskFault(log: Log, error: unknown): void {
  log.error(
    { error: String(error) },
    "the checkpoint can't be written; a restart would read some rows again",
  );
}
