import { performance } from "node:perf_hooks";
import { parentPort } from "node:worker_threads";
import type { Detector } from "../models/detectors/detector.ts";
import { openDetector } from "../models/detectors/open.ts";
import { personalModel } from "../models/detectors/personal.ts";
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
      port.postMessage(answer, handedOver(answer));
      freeMemory();
    });
  });
}

function handedOver(answer: JobAnswer): ArrayBuffer[] {
  if (answer.kind === "trained") return [answer.weights.buffer as ArrayBuffer];
  if (answer.kind === "personalized" && answer.made) return [answer.made.weights.buffer as ArrayBuffer];
  return [];
}

async function work(job: Job): Promise<JobAnswer> {
  const { id, recent, weights, topology, statistics, detector: spec } = job;
  const seed = job.kind === "calibrate" ? 0 : job.seed;
  const maxBatch = batchOf(job);
  const detector = await openDetector({
    spec,
    topology,
    channels: recent.channels,
    seed,
    statistics,
    maxBatch,
  });
  try {
    if (job.kind === "personalize") return await personalize(job, detector);
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

function batchOf(job: Job): number {
  switch (job.kind) {
    case "train":
      return job.training.batchSize;
    case "personalize":
      return job.task.training.batchSize;
    case "calibrate":
      return 1;
  }
}

async function personalize(
  job: Extract<Job, { kind: "personalize" }>,
  detector: Detector,
): Promise<JobAnswer> {
  const { id, recent, weights: fleet, task, seed } = job;
  const first = detector.weights();
  const best = await personalModel({
    ...{ detector, fleet, first, data: recent, task, seed },
    onStep: freeMemory,
  });
  const { model, losses } = best;
  if (model === "fleet") return { kind: "personalized", id, model, losses, made: null };
  detector.setWeights(best.weights);
  const calibration = detector.calibrate(recent, job);
  return { kind: "personalized", id, model, losses, made: { weights: best.weights.slice(), calibration } };
}
