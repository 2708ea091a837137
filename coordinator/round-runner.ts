import { type Average, openAverage } from "../models/federation/average.ts";
import { FleetError } from "../protocol/errors.ts";
import { decodeFrame, encodeFrame, type Frame, type Layout, type VersionHeader } from "../protocol/frame.ts";
import type { Running } from "../protocol/messages.ts";
import type { TaskSpec } from "../protocol/task.ts";
import type { Blobs } from "./blobs.ts";
import type { Journal } from "./journal.ts";
import type { Log } from "./log.ts";
import type { Messenger } from "./messenger.ts";
import type { Registry } from "./registry.ts";
import {
  isOver,
  openRound,
  type Plan,
  type Receipt,
  type Round,
  type RoundEffect,
  type RoundEvent,
  resume,
  step,
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

/** Holds a task's present round and runs the effects of round.ts. One call after the other: see `inOrder` of the conductor. */
export interface RoundRunner {
  /** As far as it came; the last one where none is open. */
  readonly present: Round | undefined;
  /** After an aborted round, the next one opens no earlier than this. */
  readonly nextMs: number;
  /** Goes on where the journal ends. */
  resume(): Promise<void>;
  open(plan: Plan): Promise<void>;
  handle(event: RoundEvent): Promise<void>;
  /** Takes an update that has passed the gate. */
  accept(receipt: Receipt, delta: Float32Array): Promise<void>;
  /** Of the weights that the round started from. */
  layout(): Promise<Layout>;
}

export interface RoundRunnerOptions {
  readonly task: TaskSpec;
  readonly journal: Journal;
  readonly blobs: Blobs;
  readonly registry: Registry;
  readonly messenger: Messenger;
  readonly log: Log;
  readonly now: () => number;
  /** The registry has a new version: everybody is to be told. */
  readonly published: () => void;
  readonly onChange: (change: { readonly kind: "task" | "round" }) => void;
  /** Told after every durable step, by name. */
  readonly checkpoint?: ((name: string) => Promise<void>) | undefined;
}

/** A fleet that has no data yet can be like that for hours, and every round of that time is in the journal for ever. */
const mostRetries = 16;

export async function openRoundRunner(options: RoundRunnerOptions): Promise<RoundRunner> {
  const { task, journal, blobs, registry, messenger, log, now, onChange } = options;
  let round: Round | undefined = await loadRound(journal, task.id);
  let base: Frame<VersionHeader> | undefined;
  let average: Average | undefined;
  let nextMs = 0;
  let abortedInARow = 0;
  /** Weights of updates that have passed the gate and wait for their `add`. */
  const passed = new Map<string, Float32Array>();

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
        options.published();
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
    const { layout, topology, statistics, prepared } = header;
    const frame = encodeFrame<VersionHeader>(
      { kind: "version", layout, topology, statistics, ...(prepared && { prepared }) },
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
    if (present.phase === "aborted") {
      nextMs = now() + task.round.retryMs * Math.min(2 ** abortedInARow, mostRetries);
      abortedInARow += 1;
      log.warn({ task: task.id, round: present.number, reason: present.reason }, "round aborted");
    } else {
      abortedInARow = 0;
      log.info({ ...summary(present) }, "round closed");
    }
    await removeOld(present);
    onChange({ kind: "task" });
  };

  const removeOld = async ({ number }: Round): Promise<void> => {
    const old = String(number - task.round.keepUpdates);
    for (const { value } of await journal.read(streams.receipts(task.id), { label: old }))
      await blobs.remove((value as Receipt).sha256);
  };

  return {
    get present() {
      return round;
    },
    get nextMs() {
      return nextMs;
    },
    async resume() {
      if (round === undefined) return;
      // Where it was over, its end may have been cut off after the journal knew of it.
      if (isOver(round)) await removeOld(round);
      await runAll(resume(round));
    },
    open(plan) {
      const opened = openRound(plan);
      round = opened.round;
      return runAll(opened.effects);
    },
    handle,
    accept(receipt, delta) {
      passed.set(receipt.sha256, delta);
      return handle({ kind: "update", receipt });
    },
    layout: async () => (await baseFrame()).header.layout,
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
