// What the training thread runs: a module in dist, bundled into the one-file agent.
import { config } from "zod";
import { runTrainerWorker } from "./trainer-jobs.ts";

// Compiled checks cost about a megabyte, and a thread checks a few small objects.
config({ jitless: true });

runTrainerWorker();
