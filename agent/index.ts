export { startAgent } from "./agent.ts";
export type { Clock } from "./clock.ts";
export type { Log } from "./log.ts";
export type { Agent, AgentOptions, SourceOptions } from "./options.ts";
export { readScores, type Scores } from "./scores-file.ts";
export type { TrainerScript } from "./trainer.ts";
export { runTrainerWorker } from "./trainer-jobs.ts";
