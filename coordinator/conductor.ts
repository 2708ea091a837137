import { randomBytes } from "node:crypto";
import type { TaskView, VersionView } from "../protocol/api.ts";
import { FleetError } from "../protocol/errors.ts";
import { decodeFrame, encodeFrame, type Frame, type VersionHeader } from "../protocol/frame.ts";
import type { Chunk, Request, Running } from "../protocol/messages.ts";
import type { TaskSpec } from "../protocol/task.ts";
import { type Average, openAverage } from "./average.ts";
import type { Blobs } from "./blobs.ts";
import type { Fleet } from "./fleet.ts";
import { type History, openHistory } from "./history.ts";
import type { Incoming } from "./incoming.ts";
import { createIntake } from "./intake.ts";
import type { Journal } from "./journal.ts";
import type { Log } from "./log.ts";
import { createMessenger, type Send } from "./messenger.ts";
import { openPreparation } from "./preparation.ts";
import type { Registry } from "./registry.ts";
import {
  chooseCohort,
  isOver,
  openRound,
  type Receipt,
  type Round,
  type RoundEffect,
  type RoundEvent,
  resume,
  step,
  unanswered,
} from "./round.ts";
import {
  declineWrite,
  lateWrite,
  loadRound,
  receiptWrite,
  saveWrites,
  streams,
  viewRound,
} from "./round-record.ts";
import type { Page } from "./view.ts";

export interface ConductorOptions {
  readonly task: TaskSpec;
  readonly journal: Journal;
  readonly blobs: Blobs;
  readonly registry: Registry;
  readonly fleet: Fleet;
  readonly incoming: Incoming;
  readonly send: Send;
  readonly log: Log;
  readonly now: () => number;
  readonly random: () => number;
  readonly onChange: (
    change:
      | { readonly kind: "task" | "round" | "version" }
      | { readonly kind: "device"; readonly device: string },
  ) => void;
  /** Told after every durable step, by name. Tests end the process here. */
  readonly checkpoint?: (name: string) => Promise<void>;
}

/**
 * Leads one task through its rounds: takes what devices ask, steps the round, and runs the effects, one thing after the other. Everything that
 * changes the round goes through `inOrder`, so no two steps ever see the same round.
 */
export interface Conductor extends History {
  /** Goes on where the journal ends, after a stop or a kill. Once, before anything else. */
  resume(): Promise<void>;
  /** The device has come online, again or for the first time. */
  born(device: string): Promise<void>;
  request(device: string, request: Request): Promise<void>;
  chunk(device: string, xfer: string, chunk: Chunk): Promise<void>;
  /** Looks at the clock: deadlines, invitations to repeat, the next round. */
  tick(): Promise<void>;
  task(): TaskView;
  versions(page: Page): Promise<readonly VersionView[]>;
  /** Lets what is under way end; nothing new is begun. */
  close(): Promise<void>;
}

/** A device that has not answered an invitation is invited again after this time: commands are not retained. */
const inviteAgainMs = 5_000;

export async function openConductor(options: ConductorOptions): Promise<Conductor> {
  const { task, journal, blobs, registry, fleet, incoming, log, now, onChange } = options;
  let round: Round | undefined = await loadRound(journal, task.id);
  let base: Frame<VersionHeader> | undefined;
  let average: Average | undefined;
  let nextRoundMs = 0;
  let queue: Promise<unknown> = Promise.resolve();
  let closed = false;
  /** When a device was last invited to the open round; Infinity once it has accepted. */
  const invitedMs = new Map<string, number>();
  /** Weights of updates that have passed the gate and wait for their `add`. */
  const passed = new Map<string, Float32Array>();

  const inOrder = <T>(work: () => Promise<T>): Promise<T> => {
    if (closed) return Promise.reject(new FleetError("ABORTED", "the coordinator is closing"));
    const result = queue.then(work);
    queue = result.catch(() => undefined);
    return result;
  };

  const messenger = createMessenger(task, options.send);
  const preparation = await openPreparation({ task, journal, registry, fleet, messenger, log, now });

  const phase = (): TaskView["phase"] => {
    if (registry.latest() === undefined) return preparation.gathering ? "statistics" : "waiting";
    return roundsDone() >= task.rounds ? "serving" : "training";
  };
  /** Every round that closed has made one version, and version 1 was there before them. */
  const roundsDone = () => (registry.latest()?.number ?? 1) - 1;

  const sendWant = (device: string) => messenger.want(device, registry.latest()?.signed ?? null, phase());
  const invite = (device: string) => {
    if (round?.phase !== "collecting") return;
    invitedMs.set(device, now());
    messenger.invite(device, round, now());
  };

  // ---- the round ----

  const handle = async (event: RoundEvent): Promise<void> => {
    if (round === undefined) return;
    const next = step(round, event, now());
    const changed = next.effects.length > 0;
    round = next.round;
    await runAll(next.effects);
    if (changed) onChange({ kind: "round" });
  };

  /** The device has passed the gate by now: whatever fails here is our own fault, and the round in memory is ahead of the journal. */
  const runAll = async (effects: readonly RoundEffect[]): Promise<void> => {
    try {
      for (const effect of effects) await run(effect);
    } catch (cause) {
      throw new Error(`round ${round?.number} of task ${task.id} can't go on: ${(cause as Error).message}`, {
        cause,
      });
    }
  };

  const run = async (effect: RoundEffect): Promise<void> => {
    const present = round!;
    switch (effect.kind) {
      case "record":
        await journal.write([receiptWrite(present, effect.receipt)]);
        await options.checkpoint?.("receipt");
        return;
      case "record-decline":
        await journal.write([declineWrite(present, effect.device, effect.code)]);
        return;
      case "record-late":
        await journal.write([lateWrite(present, effect.device)]);
        return;
      case "save":
        await journal.write(saveWrites(present));
        await options.checkpoint?.(present.phase);
        if (isOver(present)) await finish(present);
        return;
      case "add":
        return addToAverage(effect.receipt);
      case "store":
        return messenger.stored(effect.device, effect.xfer);
      case "refuse":
        return messenger.refused(effect.device, effect.xfer, new FleetError("STALE_ROUND", effect.message));
      case "cancel":
        for (const device of effect.devices) messenger.cancel(device, present, effect.message);
        return;
      case "aggregate":
        return aggregate(present);
      case "publish":
        for (const { device } of fleet.views()) sendWant(device);
        onChange({ kind: "version" });
        return handle({ kind: "published" });
    }
  };

  const addToAverage = async ({ sha256, samples }: Receipt): Promise<void> => {
    average ??= await openAverage((await baseFrame()).weights.length);
    const delta = passed.get(sha256) ?? decodeFrame(await blobs.get(sha256)).weights;
    passed.delete(sha256);
    average.add(delta, samples);
  };

  const baseFrame = async (): Promise<Frame<VersionHeader>> => {
    base ??= await registry.frame(round!.base.sha256);
    return base;
  };

  const aggregate = async (present: Round): Promise<void> => {
    const startedMs = performance.now();
    const { header, weights } = await baseFrame();
    const { layout, topology, statistics } = header;
    const frame = encodeFrame<VersionHeader>(
      { kind: "version", layout, topology, statistics },
      average!.apply(weights),
    );
    const version = await registry.publish(frame, { base: present.base.sha256, round: present.number });
    await options.checkpoint?.("version");
    const running: Running = { number: version.number, sha256: version.sha256 };
    await handle({ kind: "aggregated", version: running, aggregateMs: performance.now() - startedMs });
  };

  /** Puts away what only an open round needs. */
  const finish = async (present: Round): Promise<void> => {
    average = undefined;
    base = undefined;
    passed.clear();
    invitedMs.clear();
    if (present.phase === "aborted") {
      nextRoundMs = now() + task.round.retryMs;
      log.warn({ task: task.id, round: present.number, reason: present.reason }, "round aborted");
    } else log.info({ ...summary(present) }, "round closed");
    const old = present.number - task.round.keepUpdates;
    for (const { value } of await journal.read(streams.receipts(task.id), { label: String(old) })) {
      await blobs.remove((value as Receipt).sha256);
    }
    onChange({ kind: "task" });
  };

  // ---- from one round to the next ----

  /** Does whatever can be done next; called whenever something may have changed. */
  const advance = async (): Promise<void> => {
    if (registry.latest() === undefined && !(await prepare())) return;
    if (round !== undefined && !isOver(round)) return;
    if (phase() === "serving" || now() < nextRoundMs) return;
    const ready = fleet.online(preparation.channels);
    if (ready.length < task.minDevices) return;
    const latest = registry.latest()!;
    const openedMs = now();
    const opened = openRound({
      ...chooseCohort({ spec: task.round, ready, random: options.random }),
      task: task.id,
      number: (round?.number ?? 0) + 1,
      nonce: randomBytes(16).toString("hex"),
      base: { number: latest.number, sha256: latest.sha256 },
      floor: task.round.floor,
      graceMs: task.round.graceMs,
      openedMs,
      deadlineMs: openedMs + task.round.deadlineMs,
    });
    round = opened.round;
    await runAll(opened.effects);
    log.info(
      { task: task.id, round: round.number, invited: round.cohort.length, base: latest.number },
      "round opened",
    );
    onChange({ kind: "round" });
    for (const device of round.cohort) invite(device);
  };

  /** True once there is a version 1 to start from. */
  const prepare = async (): Promise<boolean> => {
    const before = phase();
    const made = await preparation.advance();
    if (made) {
      await options.checkpoint?.("first-version");
      for (const { device } of fleet.views()) sendWant(device);
      onChange({ kind: "version" });
    }
    if (phase() !== before) onChange({ kind: "task" });
    return made;
  };

  // ---- updates ----

  const intake = createIntake({
    task,
    journal,
    blobs,
    incoming,
    messenger,
    now,
    round: {
      present: () => round,
      layout: async () => (await baseFrame()).header.layout,
      async accept(receipt, delta) {
        passed.set(receipt.sha256, delta);
        await handle({ kind: "update", receipt });
        await advance();
      },
      late: (receipt) => handle({ kind: "update", receipt }),
      async refused(device, offer, error, ofThisRound) {
        fleet.refused(device, error.code);
        onChange({ kind: "device", device });
        log.warn({ device, round: offer.round, code: error.code }, `update refused: ${error.message}`);
        if (!ofThisRound) return;
        await handle({ kind: "decline", device, code: error.code });
        await advance();
      },
    },
  });

  // ---- requests ----

  const request = async (device: string, message: Request): Promise<void> => {
    if (message.task !== task.id)
      throw new FleetError("FORBIDDEN", `the device does not belong to task "${message.task}"`);
    switch (message.kind) {
      case "offer":
        return inOrder(() => intake.offer(device, message));
      case "pull": {
        const { sha256 } = message;
        for (const index of message.indexes)
          messenger.chunk(device, { sha256, index, data: await registry.chunk(sha256, index) });
        return;
      }
      case "status":
        if (message.state === "installed") fleet.installed(device, message.version);
        else
          log.warn(
            { device, version: message.version.number, code: message.code },
            `install failed: ${message.message}`,
          );
        return onChange({ kind: "device", device });
      case "accept":
        if (message.nonce === round?.nonce) invitedMs.set(device, Number.POSITIVE_INFINITY);
        return;
      case "decline":
        return inOrder(async () => {
          if (message.nonce !== round?.nonce) return;
          log.warn(
            { device, round: message.round, code: message.code },
            `device declined: ${message.message}`,
          );
          await handle({ kind: "decline", device, code: message.code });
          await advance();
        });
      case "statistics":
        return inOrder(async () => {
          preparation.answer(device, message);
          await advance();
        });
    }
  };

  return {
    resume: () => inOrder(async () => (round === undefined ? undefined : runAll(resume(round)))),
    born: (device) =>
      inOrder(async () => {
        sendWant(device);
        preparation.born(device);
        if (round !== undefined && unanswered(round).includes(device)) invite(device);
        await advance();
      }),
    request,
    async chunk(device, xfer, chunk) {
      const offer = await intake.chunk(device, xfer, chunk);
      if (offer !== undefined) await inOrder(() => intake.complete(device, offer));
    },
    tick: () =>
      inOrder(async () => {
        await handle({ kind: "tick" });
        await advance();
        if (round?.phase !== "collecting") return;
        const online = new Set(fleet.online());
        for (const device of unanswered(round)) {
          if (online.has(device) && now() - (invitedMs.get(device) ?? 0) >= inviteAgainMs) invite(device);
        }
      }),
    task: () => {
      const latest = registry.latest();
      const version = latest === undefined ? null : { number: latest.number, sha256: latest.sha256 };
      return { task, phase: phase(), version, roundsDone: roundsDone() };
    },
    ...openHistory(journal, task.id, () => round),
    async versions(page) {
      const devices = fleet.views();
      return (await registry.list(page)).map((version) => ({
        ...version,
        installed: devices
          .filter(({ running }) => running?.sha256 === version.sha256)
          .map(({ device }) => device),
      }));
    },
    async close() {
      closed = true;
      await queue;
    },
  };
}

function summary(round: Round) {
  const {
    task,
    round: number,
    invited,
    accepted,
    declined,
    late,
    loss,
    openedMs,
    closedMs,
  } = viewRound(round);
  return {
    task,
    round: number,
    invited: invited.length,
    accepted: accepted.length,
    declined: declined.length,
    late: late.length,
    loss,
    durationMs: (closedMs ?? openedMs) - openedMs,
  };
}
