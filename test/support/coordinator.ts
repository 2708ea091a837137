import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { z } from "zod";
import {
  type Coordinator,
  type CoordinatorOptions,
  startCoordinator,
} from "../../coordinator/coordinator.ts";
import { TaskSpec } from "../../protocol/task.ts";
import { quietLog } from "./quiet-log.ts";

/** A real coordinator in this process, in a folder of its own, on free ports. */
export interface TestCoordinator {
  readonly coordinator: Coordinator;
  readonly stateDir: string;
  readonly log: ReturnType<typeof quietLog>;
  /** Stops it and starts it again on the same folder. */
  restart(options?: Partial<CoordinatorOptions>): Promise<Coordinator>;
  close(): Promise<void>;
}

/** Small on purpose: three channels and four units. */
export function smallTask(task: z.input<typeof TaskSpec>): TaskSpec {
  return TaskSpec.parse({
    ...task,
    detector: {
      name: "gru-forecaster",
      options: { units: 4 },
      window: 8,
      stride: 4,
      adaptRows: 50,
      ...task.detector,
    },
  });
}

export async function testCoordinator(
  task: TaskSpec,
  options: Partial<CoordinatorOptions> = {},
): Promise<TestCoordinator> {
  const stateDir = await mkdtemp(join(tmpdir(), "starling-test-"));
  const log = quietLog();
  const start = (more: Partial<CoordinatorOptions>) =>
    startCoordinator({ stateDir, host: "127.0.0.1", mqttPort: 0, httpPort: 0, task, log, ...more });
  let coordinator = await start(options);
  return {
    get coordinator() {
      return coordinator;
    },
    stateDir,
    log,
    async restart(more = {}) {
      await coordinator.close();
      coordinator = await start({ ...options, ...more });
      return coordinator;
    },
    async close() {
      await coordinator.close();
      await rm(stateDir, { recursive: true, force: true });
    },
  };
}
