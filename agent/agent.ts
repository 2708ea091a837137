import { encodeStatistics, seriesStatistics } from "../models/data/statistics.ts";
import { splitInTime } from "../models/data/windows.ts";
import { openDetector } from "../models/detectors/open.ts";
import { encode } from "../protocol/codec.ts";
import { CHANNEL_NAMES_BYTES, type PreparedChannels } from "../protocol/device-channels.ts";
import { asFleetError, FleetError } from "../protocol/errors.ts";
import { limits } from "../protocol/limits.ts";
import { readManifest, readPublicKey } from "../protocol/manifest.ts";
import type { Birth, Command, Heartbeat, Request, Running, Want } from "../protocol/messages.ts";
import type { AlarmSpec } from "../protocol/task.ts";
import { topics } from "../protocol/topics.ts";
import { bell } from "./bell.ts";
import type { Checkpoint } from "./checkpoint.ts";
import { systemClock } from "./clock.ts";
import { freeMemory } from "./free-memory.ts";
import { vitals } from "./heartbeat.ts";
import { type InstallEvent, openInstaller } from "./installer.ts";
import { type Link, openLink } from "./link.ts";
import type { Agent, AgentOptions } from "./options.ts";
import { openOutbox } from "./outbox.ts";
import { openParticipant, type Participant } from "./participate.ts";
import { openPersonalizer } from "./personalizer.ts";
import { rateMeter } from "./rate.ts";
import { openReplay } from "./replay.ts";
import { openScoresFile } from "./scores-file.ts";
import { openScoring } from "./scoring.ts";
import type { Source } from "./source.ts";
import { openSpool } from "./spool.ts";
import { openRecent, restoreDetector, startingPoint } from "./starting.ts";
import { openState, type StateFolder } from "./state.ts";
import { openStdin } from "./stdin.ts";
import { throttle } from "./throttle.ts";
import { openTrainer } from "./trainer.ts";
import { openUpdates } from "./updates.ts";
import { openVersions } from "./versions.ts";

/** Version of the agent program, as its births say it. */
const agentVersion = "0.1.0";
const defaultWindowRows = 30_000;
const defaultKeepaliveS = 30;
const defaultHeartbeatMs = 10_000;
/** How often the recent data of a source that can't be read again goes to disk. */
const saveRecentMs = 60_000;

/**
 * Starts the device's agent: it connects, keeps recent data, trains when invited, installs what is published, scores every sample and
 * raises alerts, until `close`. Resolves before it is connected: a device scores without its coordinator. Throws BAD_INPUT, LOCKED.
 */
export async function startAgent(options: AgentOptions): Promise<Agent> {
  const { log, clock = systemClock } = options;
  const publicKey = readPublicKey(options.join.publicKey);
  const state = await openState(options.stateDir, { clock, log });
  try {
    return await assembleAgent({ ...options, clock }, state, publicKey);
  } catch (error) {
    await state.release();
    throw error;
  }
}

async function assembleAgent(
  options: AgentOptions & { readonly clock: NonNullable<AgentOptions["clock"]> },
  state: StateFolder,
  publicKey: ReturnType<typeof readPublicKey>,
): Promise<Agent> {
  const { join, log, clock, random = Math.random, windowRows = defaultWindowRows } = options;
  const { device } = join;
  const { bootSeq, paths } = state;
  const damagedDir = paths.damaged;
  const stop = new AbortController();
  const { signal } = stop;

  const source = await openSource(options, { keepRows: windowRows, checkpoint: state.checkpoint });
  const { channels, names, rateHz } = source;
  const prepared = preparedChannels(source);
  const start = startingPoint(state.checkpoint, { source, nowMs: clock.wallMs() });
  const recent = await openRecent({
    source,
    checkpoint: state.checkpoint,
    row: start.row,
    capacity: windowRows,
    state,
    log,
  });

  freeMemory(); // what reading the files has left

  const versions = await openVersions({ dir: paths.versions, damagedDir, log });
  const outbox = await openOutbox({ dir: paths.outbox, damagedDir, log });
  const running = await restoreDetector(start, { versions, channels, prepared, log });
  const scoresFile =
    options.scoresFile === undefined ? undefined : openScoresFile(options.scoresFile, start.row);
  let link: Link | undefined;
  const online = () => link?.online === true;
  const publish = async (topic: string, payload: Uint8Array, qos: 0 | 1 = 1) => {
    if (link === undefined) throw new FleetError("TIMEOUT", "the link is not open yet");
    await link.publish(topic, payload, qos);
  };
  const request = (message: Request) => publish(topics.up(device, "req"), encode(message));

  const spool = await openSpool({
    dir: paths.spool,
    damagedDir,
    send: (payload) => publish(topics.up(device, "event"), payload),
    online,
    clock,
    random,
    log,
  });
  // What a checkpoint names may have missed the spool, if the process ended between the two.
  for (const alert of start.raised) await spool.add(alert);

  const rate = rateMeter();
  const scoring = openScoring({
    start: { ...start, installed: running === undefined ? null : start.installed, raised: [] },
    detector: running,
    recent,
    names,
    prepared: () => source.prepared?.(),
    save: state.saveCheckpoint,
    spool,
    scoresFile,
    rate,
    ...(options.watchSizes === undefined ? {} : { watchSizes: options.watchSizes }),
    clock,
    log,
  });
  const trainer = openTrainer({
    script: options.trainerScript ?? new URL("./trainer-worker.js", import.meta.url),
    log,
  });
  const bandwidth = options.bandwidth ?? 0;
  const progress = bell(clock);
  const pace = bell(clock);
  let want: Want | undefined = state.want;
  let problem: string | undefined;

  const updates = openUpdates({
    outbox,
    sendOffer: (payload) => publish(topics.up(device, "req"), payload),
    sendChunk: (xfer, payload) => publish(topics.chunkUp(device, xfer), payload),
    online,
    throttle: throttle(bandwidth, clock),
    clock,
    log,
    ended: () => progress.ring(),
  });
  const participant: Participant = openParticipant({
    device,
    bootSeq,
    channels,
    installed: () => scoring.installed,
    chunkBytes: () => want?.task.chunkBytes ?? limits.chunkBytes,
    snapshot: recent.snapshot,
    versions,
    train: trainer.train,
    updates,
    request,
    clock,
    log,
  });
  const rateOf = (alarm: AlarmSpec) =>
    source.rateHz ?? alarm.rateHz ?? (source.timed ? rate.hz() : undefined);
  const personalizer = openPersonalizer({
    versions,
    channels,
    openDetector,
    snapshot: recent.snapshot,
    train: trainer.personalize,
    rateHz: rateOf,
    scoring,
    random,
    log,
  });
  const installer = openInstaller({
    publicKey,
    versions,
    channels,
    prepared,
    openDetector,
    snapshot: recent.snapshot,
    calibrate: trainer.calibrate,
    rateHz: rateOf,
    scoring,
    request,
    online,
    throttle: throttle(bandwidth, clock),
    async personalize(wanted, signal) {
      const again = await personalizer.personalize(wanted, signal);
      progress.ring();
      return again;
    },
    watch: (event: InstallEvent) => {
      void participant.install(event);
      progress.ring();
    },
    clock,
    random,
    log,
  });
  if (want !== undefined) installer.want(want);

  let sourceEnded = false;
  const runningVersion = (): Running | null => {
    const { installed } = scoring;
    return installed === undefined ? null : { number: installed.number, sha256: installed.sha256 };
  };
  const heartbeat = (): Heartbeat => ({
    kind: "heartbeat",
    bootSeq,
    ...vitals(),
    rows: scoring.row,
    scored: scoring.scored,
    running: runningVersion(),
    activity:
      participant.training || personalizer.busy
        ? "training"
        : installer.busy
          ? "installing"
          : updates.sending
            ? "sending"
            : "idle",
    sourceEnded,
    spooledAlerts: spool.size,
    scores: scoring.takeScores(),
    level: scoring.level(),
    drift: scoring.drift(),
    oddChannels: scoring.oddChannels(),
    ...personalState(),
  });
  const personalState = (): Pick<Heartbeat, "personal"> => {
    const personal = personalizer.state(want);
    return personal === undefined ? {} : { personal };
  };
  const beat = () =>
    online()
      ? publish(topics.up(device, "hb"), encode(heartbeat()), 0).catch(() => {}) // the next one says it all again
      : Promise.resolve();
  const channelNames = names?.join("\n");
  const birth = (): Birth => ({
    kind: "birth",
    bootSeq,
    agent: agentVersion,
    channels,
    ...(channelNames === undefined || Buffer.byteLength(channelNames) > CHANNEL_NAMES_BYTES
      ? {}
      : { channelNames }),
    ...(prepared && { channelKinds: prepared.kinds }),
    ...(rateHz === undefined || !(rateHz > 0) ? {} : { rateHz }),
    running: runningVersion(),
    chunkBytes: limits.chunkBytes,
  });

  const command = (message: Command): void => {
    switch (message.kind) {
      case "invite":
        void participant.invite(message);
        return;
      case "cancel":
        void participant.cancel(message.nonce);
        return;
      case "ask-statistics": {
        const { values, rows } = recent.snapshot();
        const heldBack = want?.task.detector.heldBack ?? defaultHeldBack;
        const to = rows < 2 ? rows : splitInTime(rows, heldBack).train.to;
        const data = { values, rows, channels };
        const { task, nonce, fleet } = message;
        const answer = async (): Promise<Uint8Array> => {
          if (!fleet) return encodeStatistics(seriesStatistics(data, { from: 0, to }));
          // Few tasks ask for one.
          const { sketchOf } = await import("../models/data/fleet-quantiles.ts");
          return sketchOf(data, { from: 0, to }, fleet);
        };
        void answer()
          .catch((error) => {
            log.warn({ task, error: String(error) }, "the data can't be sketched as the coordinator asks");
          })
          // Not sent: the coordinator asks again at the next birth.
          .then((values) => values && request({ kind: "statistics", task, nonce, values }).catch(() => {}));
      }
    }
  };

  link = openLink({
    join,
    keepaliveS: options.keepaliveS ?? defaultKeepaliveS,
    bootSeq,
    birth,
    clock,
    random,
    log,
    inbox: {
      want(wanted, payload) {
        if (want?.task.heartbeatMs !== wanted.task.heartbeatMs) pace.ring();
        want = wanted;
        if (wanted.problem !== undefined && wanted.problem !== problem)
          log.error({}, `this device can't take part: ${wanted.problem}`);
        problem = wanted.problem;
        installer.want(wanted);
        progress.ring();
        state
          .saveWant(payload)
          .catch((error: Error) => log.error({ error: error.message }, "the desired state can't be written"));
      },
      ack(ack) {
        const done = ack.kind === "alerts" ? spool.acknowledged(ack.ids) : updates.ack(ack);
        done
          .then(() => progress.ring())
          .catch((error: Error) => log.error({ error: error.message }, "an ack can't be written"));
      },
      chunk: installer.chunk,
      command,
      online() {
        installer.connected();
        updates.connected();
        spool.connected();
        void beat();
      },
    },
  });

  /** Evaluations score with the last version only, and with what the device has made of it. */
  const mayScore = () => {
    if (!source.hold || start.row > 0) return true;
    const installed = scoring.installed?.sha256;
    return (
      want?.phase === "serving" &&
      installed !== undefined &&
      installed === wantedSha(want) &&
      personalizer.settled(want)
    );
  };
  const score = async () => {
    while (!mayScore() && !signal.aborted) await progress.wait(holdMs, signal);
    for await (const batch of source.batches({ from: start.row, startedMs: start.startedMs, signal })) {
      await scoring.process(batch, signal);
      if (signal.aborted) return;
    }
    if (signal.aborted) return;
    sourceEnded = true;
    await scoring.checkpoint();
    log.info({ rows: scoring.row, scored: scoring.scored }, "the source has ended");
    void beat();
    while (!signal.aborted && (spool.size > 0 || updates.sending)) await progress.wait(holdMs, signal);
  };
  const beats = async () => {
    while (!signal.aborted) {
      await pace.wait(want?.task.heartbeatMs ?? defaultHeartbeatMs, signal);
      if (!signal.aborted) void beat();
    }
  };
  const keepRecent = async () => {
    while (!source.seekable && !signal.aborted) {
      await clock.sleep(saveRecentMs, signal);
      if (!signal.aborted) await state.saveRecent(recent.snapshot());
    }
  };

  const loops = [spool, updates, installer, participant].map((part) => part.run(signal));
  const scoringLoop = score();
  const background = Promise.all([...loops, beats(), keepRecent()]);
  const failed = background.then(() => new Promise<never>(() => {}));
  const ended = Promise.race([scoringLoop, failed]);
  ended.catch((error) => log.error(fieldsOf(error), "the agent can't go on; start it again"));

  let closing: Promise<void> | undefined;
  const close = async () => {
    stop.abort();
    await Promise.allSettled([scoringLoop]);
    await scoring
      .checkpoint()
      .catch((error) => log.error(fieldsOf(error), "the last checkpoint can't be written"));
    if (!source.seekable)
      await state
        .saveRecent(recent.snapshot())
        .catch((error) => log.error(fieldsOf(error), "the recent data can't be written"));
    await trainer.close();
    // From here on nothing can be under way to the coordinator that a loop would still wait for.
    await link?.close();
    await participant.close();
    await Promise.allSettled(loops);
    scoring.close();
    await state.release();
    log.info({ device }, "the agent has stopped");
  };
  return {
    device,
    ended,
    close() {
      closing ??= close();
      return closing;
    },
  };
}

/** How often a waiting loop looks again, beside being rung. */
const holdMs = 1_000;
const defaultHeldBack = 0.2;

function openSource(
  { source, log, signal, clock = systemClock }: AgentOptions,
  { keepRows, checkpoint }: { readonly keepRows: number; readonly checkpoint: Checkpoint | undefined },
): Promise<Source> {
  switch (source.kind) {
    case "replay":
      return openReplay(source, { clock, keepRows, signal, log });
    case "stdin": {
      const resume = (key: string) => (checkpoint?.source === key ? checkpoint.prepared : undefined);
      return openStdin(source, { clock, log, signal, resume });
    }
  }
}

/** Throws BAD_INPUT where the names, by which the fleet compares devices, are too long for a birth. */
function preparedChannels({ names = [], kinds }: Source): PreparedChannels | undefined {
  if (kinds === undefined) return undefined;
  const joined = names.join("\n");
  const bytes = Buffer.byteLength(joined);
  if (bytes > CHANNEL_NAMES_BYTES)
    throw new FleetError(
      "BAD_INPUT",
      `the names of the ${names.length} channels take ${bytes} bytes and may take ${CHANNEL_NAMES_BYTES}: give shorter names, or categorical columns fewer words`,
    );
  return { names: joined, kinds };
}

function wantedSha({ version }: Want): string | undefined {
  return version === null ? undefined : readManifest(version).transfer.sha256;
}

function fieldsOf(error: unknown): { readonly code: string; readonly error: string } {
  const { code, message } = asFleetError(error, "CORRUPT");
  return { code, error: message };
}
