// The script of the training thread. The one-file agent is its own thread's script and calls this itself.
import { runTrainerWorker } from "./trainer-jobs.ts";

runTrainerWorker();
