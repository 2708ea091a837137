import { Worker } from "node:worker_threads";
import type { Job, JobResult } from "./job.ts";

export type Answer =
  | { readonly kind: "progress"; readonly part: number; readonly text: string }
  | { readonly kind: "done"; readonly result: JobResult }
  | { readonly kind: "failed"; readonly message: string };

export interface CrewOptions {
  readonly threads: number;
  readonly signal: AbortSignal;
  readonly onProgress: (job: Job, done: { readonly part: number; readonly text: string }) => void;
  readonly onDone: (job: Job, outcome: JobResult | { readonly failed: string }) => void;
}

/**
 * Works the jobs off in threads, in their order, so that this one stays free for the screen and for signals. A job that fails, or that ends its
 * thread, is answered with a sentence and the others go on. Resolves when all are answered, or at once when aborted.
 */
export async function workOff(jobs: readonly Job[], options: CrewOptions): Promise<void> {
  const { threads, signal, onDone, onProgress } = options;
  const queue = [...jobs];
  const one = async () => {
    let worker: Worker | undefined;
    const stop = () => void worker?.terminate();
    signal.addEventListener("abort", stop);
    try {
      for (let job = queue.shift(); job && !signal.aborted; job = queue.shift()) {
        const current = job;
        worker ??= startWorker();
        const answer = await answerOf(worker, current, (progress) => onProgress(current, progress));
        if (signal.aborted) return;
        if (answer.kind === "ended") worker = undefined;
        onDone(current, answer.kind === "done" ? answer.result : { failed: answer.message });
      }
    } finally {
      signal.removeEventListener("abort", stop);
      await worker?.terminate();
    }
  };
  await Promise.all(Array.from({ length: Math.min(threads, jobs.length) }, one));
}

function startWorker(): Worker {
  const worker = new Worker(new URL("./worker.js", import.meta.url), { name: "evaluate" });
  // A thread that is being ended may still have an error to say.
  worker.on("error", () => {});
  return worker;
}

type Last = Exclude<Answer, { kind: "progress" }> | { readonly kind: "ended"; readonly message: string };

function answerOf(
  worker: Worker,
  job: Job,
  onProgress: (done: { readonly part: number; readonly text: string }) => void,
): Promise<Last> {
  return new Promise((resolve) => {
    const done = (last: Last) => {
      worker.off("message", onMessage).off("error", onError).off("exit", onExit);
      resolve(last);
    };
    const onMessage = (answer: Answer) => {
      if (answer.kind === "progress") onProgress(answer);
      else done(answer);
    };
    const onError = (error: Error) => done({ kind: "ended", message: `its thread failed: ${error.message}` });
    const onExit = (code: number) =>
      done({ kind: "ended", message: `its thread ended with exit code ${code}` });
    worker.on("message", onMessage).on("error", onError).on("exit", onExit);
    worker.postMessage(job);
  });
}
