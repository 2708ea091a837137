import { Worker } from "node:worker_threads";
import type { Calibration } from "../models/detectors/detector.ts";
import { type ErrorCode, FleetError } from "../protocol/errors.ts";
import { freeMemory } from "./free-memory.ts";
import type { Log } from "./log.ts";
import {
  type CalibrateWork,
  type Job,
  JobAnswer,
  type Personalized,
  type PersonalizeWork,
  type Trained,
  type TrainWork,
} from "./trainer-messages.ts";

/** Training and calibration in a thread of their own, one job after the other, so that scoring never waits for them. */
export interface Trainer {
  /** The data in `work` are handed over, and are empty afterwards, unless they are in shared memory. Rejects ABORTED on the signal, UNAVAILABLE when the thread dies. */
  train(work: TrainWork, signal: AbortSignal): Promise<Trained>;
  calibrate(work: CalibrateWork, signal: AbortSignal): Promise<Calibration>;
  personalize(work: PersonalizeWork, signal: AbortSignal): Promise<Personalized>;
  close(): Promise<void>;
}

/** What the thread runs, which calls runTrainerWorker: a module, or what gives the text of a CommonJS script each time that a thread is started. */
export type TrainerScript = URL | (() => string);

export interface TrainerOptions {
  readonly script: TrainerScript;
  readonly log: Log;
  /** The thread is ended after so long without a job, to give its memory back. */
  readonly idleMs?: number;
}

const defaultIdleMs = 30_000;
/** Of JavaScript objects only: data and weights lie outside of it. A runaway thread ends, the agent goes on. */
const threadLimits = { maxOldGenerationSizeMb: 48, maxYoungGenerationSizeMb: 1, stackSizeMb: 1 };

export function openTrainer({ script, log, idleMs = defaultIdleMs }: TrainerOptions): Trainer {
  const closed = new AbortController();
  let worker: Worker | undefined;
  let idle: NodeJS.Timeout | undefined;
  let queue: Promise<unknown> = Promise.resolve();
  let jobs = 0;

  const end = async () => {
    clearTimeout(idle);
    const ending = worker;
    worker = undefined;
    await ending?.terminate();
  };

  const start = (): Worker => {
    const limits = { resourceLimits: threadLimits, name: "trainer" };
    const started =
      typeof script === "function"
        ? new Worker(script(), { ...limits, eval: true })
        : new Worker(script, limits);
    // A thread that is being ended may still have an error to say when nobody waits for it any more.
    started.on("error", (error: Error) => log.warn({ error: error.message }, "the training thread failed"));
    started.on("exit", () => {
      if (worker === started) worker = undefined;
    });
    return started;
  };

  const run = async (job: Job, signal: AbortSignal): Promise<JobAnswer> => {
    if (signal.aborted) throw aborted();
    // A training takes the most that a device ever needs: what the last install has left goes first, in 10 to 20 ms.
    if (job.kind !== "calibrate") freeMemory();
    clearTimeout(idle);
    worker ??= start();
    const answer = await answerOf(worker, job, signal).catch(async (error) => {
      // Cancelled or broken: this thread's job does not end by itself, so the thread does.
      await end();
      throw error;
    });
    idle = setTimeout(() => void end(), idleMs);
    idle.unref();
    worker?.unref();
    return answer;
  };

  const enqueue = async (job: Job, signal: AbortSignal): Promise<JobAnswer> => {
    const either = AbortSignal.any([signal, closed.signal]);
    const done = queue.then(() => run(job, either));
    queue = done.catch(() => {}); // the caller sees it
    const answer = await done;
    if (answer.kind === "failed") {
      log.debug({ code: answer.code, job: job.kind }, answer.message);
      throw new FleetError(answer.code as ErrorCode, answer.message);
    }
    return answer;
  };

  return {
    async train(work, signal) {
      const answer = await enqueue({ ...work, kind: "train", id: jobs++ }, signal);
      if (answer.kind !== "trained") throw strayAnswer(answer.kind);
      return answer;
    },
    async calibrate(work, signal) {
      const answer = await enqueue({ ...work, kind: "calibrate", id: jobs++ }, signal);
      if (answer.kind !== "calibrated") throw strayAnswer(answer.kind);
      return answer.calibration;
    },
    async personalize(work, signal) {
      const answer = await enqueue({ ...work, kind: "personalize", id: jobs++ }, signal);
      if (answer.kind !== "personalized") throw strayAnswer(answer.kind);
      return answer;
    },
    async close() {
      closed.abort();
      await queue;
      await end();
    },
  };
}

function answerOf(worker: Worker, job: Job, signal: AbortSignal): Promise<JobAnswer> {
  return new Promise<JobAnswer>((resolve, reject) => {
    const settle = (then: () => void) => {
      worker.off("message", onMessage);
      worker.off("error", onError);
      worker.off("exit", onExit);
      signal.removeEventListener("abort", onAbort);
      then();
    };
    const onMessage = (message: unknown) => {
      const answer = JobAnswer.safeParse(message);
      if (answer.success && answer.data.id !== job.id) return; // of a job that was given up
      settle(() => (answer.success ? resolve(answer.data) : reject(strayAnswer("unreadable"))));
    };
    const onError = (cause: unknown) => settle(() => reject(died(cause)));
    const onExit = (code: number) => settle(() => reject(died(`exit code ${code}`)));
    const onAbort = () => settle(() => reject(aborted()));
    worker.on("message", onMessage);
    worker.on("error", onError);
    worker.on("exit", onExit);
    signal.addEventListener("abort", onAbort);
    worker.ref();
    const { buffer } = job.recent.values;
    worker.postMessage(job, buffer instanceof ArrayBuffer ? [buffer] : []); // shared memory is shared, not handed over
  });
}

function died(cause: unknown): FleetError {
  const reason = cause instanceof Error ? cause.message : String(cause);
  return new FleetError("UNAVAILABLE", `the training thread ended: ${reason}`, { cause });
}

function strayAnswer(kind: string): FleetError {
  return new FleetError("UNAVAILABLE", `the training thread gave an answer that was not asked for: ${kind}`);
}

function aborted(): FleetError {
  return new FleetError("ABORTED", "the job was cancelled");
}
