import type { Join } from "../protocol/join.ts";
import type { Clock } from "./clock.ts";
import type { Log } from "./log.ts";
import type { ReplayOptions } from "./replay.ts";
import type { WatchOptions } from "./score-watch.ts";
import type { StdinOptions } from "./stdin.ts";
import type { TrainerScript } from "./trainer.ts";

export interface AgentOptions {
  readonly join: Join;
  /** The agent's own folder; it is made where it is not there. */
  readonly stateDir: string;
  readonly source: SourceOptions;
  /** Rows of recent data that are kept in memory, to train on. Default 30,000. */
  readonly windowRows?: number | undefined;
  /** Bytes per second, up and down each, for updates and versions; 0 = no limit. */
  readonly bandwidth?: number | undefined;
  /** Every score is appended there: see scores-file.ts. */
  readonly scoresFile?: string | undefined;
  /** MQTT keepalive. Default 30 s. */
  readonly keepaliveS?: number | undefined;
  readonly log: Log;
  /** Of the training thread, where it is not beside this module (tests, the one-file agent). */
  readonly trainerScript?: TrainerScript | undefined;
  readonly clock?: Clock | undefined;
  readonly random?: (() => number) | undefined;
  /** Smaller ones than a device's, for tests. */
  readonly watchSizes?: WatchOptions["sizes"];
  /** Ends a start that still waits for its source. */
  readonly signal?: AbortSignal | undefined;
}

export type SourceOptions = ReplayOptions | StdinOptions;

export interface Agent {
  readonly device: string;
  /** The source has ended and all of it was sent and acknowledged. Rejects when the agent can't go on. */
  readonly ended: Promise<void>;
  /** Stops, keeps what is not done, says good-bye. Never rejects. */
  close(): Promise<void>;
}
