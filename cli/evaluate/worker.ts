/** The script of a thread that evaluates: a job comes, progress and one answer go. */
import { parentPort } from "node:worker_threads";
import { asFleetError } from "../../protocol/errors.ts";
import type { Answer } from "./crew.ts";
import type { Job } from "./job.ts";
import { openedSets, runJob } from "./job.ts";

const port = parentPort!;
const sets = openedSets();
const say = (answer: Answer) => port.postMessage(answer);

port.on("message", async (job: Job) => {
  try {
    const result = await runJob(job, sets, (progress) => say({ kind: "progress", ...progress }));
    say({ kind: "done", result });
  } catch (error) {
    const { message } = asFleetError(error, "CORRUPT");
    say({ kind: "failed", message });
  }
});
