import { performance } from "node:perf_hooks";
import { parentPort } from "node:worker_threads";
import { openDetector } from "../models/detectors/open.ts";
import { asFleetError } from "../protocol/errors.ts";
import { freeMemory } from "./free-memory.ts";
import type { Job, JobAnswer } from "./trainer-messages.ts";

/** The training thread: one job at a time, as they come. Being cancelled is being terminated, so nothing here listens for it. */
export function runTrainerWorker(): void {
  const port = parentPort;
  if (port === null) return;
  let last: Promise<void> = Promise.resolve();
  port.on("message", (job: Job) => {
    last = last.then(async () => {
      const answer = await work(job).catch((error: unknown): JobAnswer => {
        const { code, message } = asFleetError(error, "UNAVAILABLE");
        return { kind: "failed", id: job.id, code, message };
      });
      port.postMessage(answer, answer.kind === "trained" ? [answer.weights.buffer as ArrayBuffer] : []);
      freeMemory();
    });
  });
}

async function work(job: Job): Promise<JobAnswer> {
  const { id, recent, weights, topology, statistics, detector: spec } = job;
  const seed = job.kind === "train" ? job.seed : 0;
  const maxBatch = job.kind === "train" ? job.training.batchSize : 1;
  const detector = await openDetector({
    spec,
    topology,
    channels: recent.channels,
    seed,
    statistics,
    maxBatch,
  });
  try {
    detector.setWeights(weights);
    if (job.kind === "calibrate")
      return { kind: "calibrated", id, calibration: detector.calibrate(recent, job) };
    const began = performance.now();
    const { samples, loss, heldBackLoss } = await detector.train(recent, {
      training: job.training,
      // What was handed over is nobody else's any more; shared memory is read by the scorer, too.
      overwrite: !(recent.values.buffer instanceof SharedArrayBuffer),
      seed,
    });
    const trainMs = Math.round(performance.now() - began);
    return { kind: "trained", id, weights: detector.weights().slice(), samples, loss, heldBackLoss, trainMs };
  } finally {
    detector.dispose();
  }
}
