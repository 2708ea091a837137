import { randomBytes } from "node:crypto";
import type { TaskView, VersionView } from "../protocol/api.ts";
import { FleetError } from "../protocol/errors.ts";
import type { Chunk, Request } from "../protocol/messages.ts";
import type { TaskSpec } from "../protocol/task.ts";
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
import { chooseCohort, isOver, type Plan, unanswered } from "./round.ts";
import { openRoundRunner } from "./round-runner.ts";
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
 * Leads one task through its rounds: takes what devices ask, opens a round when enough of them are there, and tells them what they need. All that
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
  let queue: Promise<unknown> = Promise.resolve();
  let closed = false;
  /** When a device was last invited to the open round; Infinity once it has accepted. */
  const invitedMs = new Map<string, number>();

  const inOrder = <T>(work: () => Promise<T>): Promise<T> => {
    if (closed) return Promise.reject(new FleetError("ABORTED", "the coordinator is closing"));
    const result = queue.then(work);
    queue = result.catch(() => undefined);
    return result;
  };

  const messenger = createMessenger(task, options.send);
  const preparation = await openPreparation({
    task,
    journal,
    registry,
    fleet,
    messenger,
    log,
    now,
    barred(device) {
      sendWant(device);
      onChange({ kind: "device", device });
    },
  });

  const phase = (): TaskView["phase"] => {
    if (registry.latest() === undefined) return preparation.gathering ? "statistics" : "waiting";
    return roundsDone() >= task.rounds ? "serving" : "training";
  };
  /** Every round that closed has made one version, and version 1 was there before them. */
  const roundsDone = () => (registry.latest()?.number ?? 1) - 1;

  const tellAll = () => {
    for (const { device } of fleet.views()) sendWant(device);
    onChange({ kind: "version" });
  };
  const sendWant = (device: string) =>
    messenger.want(device, {
      version: registry.latest()?.signed ?? null,
      phase: phase(),
      problem: fleet.view(device)?.problem,
    });
  const runner = await openRoundRunner({ ...options, messenger, published: tellAll });
  const invite = (device: string) => {
    const { present } = runner;
    if (present?.phase !== "collecting") return;
    invitedMs.set(device, now());
    messenger.invite(device, present, now());
  };

  // ---- from one round to the next ----

  /** Does whatever can be done next; called whenever something may have changed. */
  const advance = async (): Promise<void> => {
    if (registry.latest() === undefined && !(await prepare())) return;
    const before = runner.present;
    if (before !== undefined && !isOver(before)) return;
    if (phase() === "serving" || now() < runner.nextMs) return;
    const ready = fleet.online(preparation.channels);
    if (ready.length < task.minDevices) return;
    const latest = registry.latest()!;
    const openedMs = now();
    const plan: Plan = {
      ...chooseCohort({ spec: task.round, ready, random: options.random }),
      task: task.id,
      number: (before?.number ?? 0) + 1,
      nonce: randomBytes(16).toString("hex"),
      base: { number: latest.number, sha256: latest.sha256 },
      floor: task.round.floor,
      graceMs: task.round.graceMs,
      openedMs,
      deadlineMs: openedMs + task.round.deadlineMs,
    };
    invitedMs.clear();
    await runner.open(plan);
    const { number, cohort } = plan;
    log.info({ task: task.id, round: number, invited: cohort.length, base: latest.number }, "round opened");
    onChange({ kind: "round" });
    for (const device of cohort) invite(device);
  };

  /** True once there is a version 1 to start from. */
  const prepare = async (): Promise<boolean> => {
    const before = phase();
    const made = await preparation.advance();
    if (made) {
      await options.checkpoint?.("first-version");
      tellAll();
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
      present: () => runner.present,
      layout: runner.layout,
      async accept(receipt, delta) {
        await runner.accept(receipt, delta);
        await advance();
      },
      late: (receipt) => runner.handle({ kind: "update", receipt }),
      async refused(device, offer, error, ofThisRound) {
        fleet.refused(device, error.code);
        onChange({ kind: "device", device });
        log.warn({ device, round: offer.round, code: error.code }, `update refused: ${error.message}`);
        if (!ofThisRound) return;
        await runner.handle({ kind: "decline", device, code: error.code });
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
        if (message.nonce === runner.present?.nonce) invitedMs.set(device, Number.POSITIVE_INFINITY);
        return;
      case "decline":
        return inOrder(async () => {
          if (message.nonce !== runner.present?.nonce) return;
          log.warn(
            { device, round: message.round, code: message.code },
            `device declined: ${message.message}`,
          );
          await runner.handle({ kind: "decline", device, code: message.code });
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
    resume: () => inOrder(runner.resume),
    born: (device) =>
      inOrder(async () => {
        preparation.born(device);
        sendWant(device);
        const { present } = runner;
        if (present !== undefined && unanswered(present).includes(device)) invite(device);
        await advance();
      }),
    request,
    async chunk(device, xfer, chunk) {
      const offer = await intake.chunk(device, xfer, chunk);
      if (offer !== undefined) await inOrder(() => intake.complete(device, offer));
    },
    tick: () =>
      inOrder(async () => {
        await runner.handle({ kind: "tick" });
        await advance();
        const { present } = runner;
        if (present?.phase !== "collecting") return;
        const online = new Set(fleet.online());
        for (const device of unanswered(present)) {
          if (online.has(device) && now() - (invitedMs.get(device) ?? 0) >= inviteAgainMs) invite(device);
        }
      }),
    task: () => {
      const latest = registry.latest();
      const version = latest === undefined ? null : { number: latest.number, sha256: latest.sha256 };
      const drifts = fleet.drifts();
      return { task, phase: phase(), version, roundsDone: roundsDone(), ...drifts };
    },
    ...openHistory(journal, task.id, () => runner.present),
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
