import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { enrollDevice } from "../../coordinator/index.ts";
import { formatJoin } from "../../protocol/join.ts";
import { DetectorSpec, TaskSpec } from "../../protocol/task.ts";
import { Ready } from "../commands/coordinator.ts";
import { withTopology } from "../config/topology-file.ts";
import type { Child, Children } from "./children.ts";
import type { DemoOptions } from "./options.ts";
import type { Plan } from "./plan.ts";

/** The demo is there to be watched: its devices speak more often than those of a plant would. */
const heartbeatMs = 1_000;
/**
 * As in the first line of dist/starling-agent.js: Node's defaults are for servers. Half spaces of 1 MB for young objects instead of 16
 * took about 20 MB off an agent's peak on SMD; optimizing for size without helper threads took 8 MB more, and one malloc arena for all
 * threads instead of one a thread (glibc) another 8 to 10 MB, and blocks of 64 KB that go back to the system 2 to 3 MB, at no cost in time beyond noise.
 */
const agentNodeArgs = ["--max-semi-space-size=1", "--optimize-for-size", "--v8-pool-size=0"];
const agentEnv = {
  MALLOC_ARENA_MAX: "1",
  MALLOC_TRIM_THRESHOLD_: "65536",
  MALLOC_MMAP_THRESHOLD_: "65536",
};
const readyTimeoutMs = 30_000;

/** What the processes of one demo share. */
export interface Site {
  readonly options: DemoOptions;
  /** Everything of this demo lies here. */
  readonly folder: string;
  readonly children: Children;
}

export interface AgentProcess {
  readonly device: string;
  readonly child: Child;
}

export function detectorOf({ detector: name, scaling, topology }: DemoOptions): Promise<DetectorSpec> {
  return withTopology(DetectorSpec.parse({ name, scaling }), topology);
}

/** Resolves once it takes devices. */
export async function startCoordinatorProcess(
  { options, folder, children }: Site,
  devices: number,
): Promise<{ coordinator: Child; ready: Ready }> {
  const task = TaskSpec.parse({
    rounds: options.rounds,
    minDevices: devices,
    seed: options.seed,
    ...(options.personal && { personal: true }),
    heartbeatMs,
    detector: await detectorOf(options),
    alarm: options.alarmBudget === undefined ? {} : { budget: options.alarmBudget },
  });
  // JSON is YAML: the file that --keep leaves behind starts the same coordinator again.
  const config = join(folder, "coordinator.yaml");
  await writeFile(config, `${JSON.stringify({ task }, undefined, 2)}\n`);
  const coordinator = await children.start({
    name: "coordinator",
    file: fileURLToPath(new URL("../main.js", import.meta.url)),
    args: [
      ...[
        "coordinator",
        "--json",
        "--exit-with-parent",
        "--config",
        config,
        "--state",
        stateOf(folder, "coordinator"),
      ],
      ...["--mqtt-port", String(options.mqttPort), "--http-port", String(options.httpPort)],
    ],
    logFile: join(folder, "coordinator.log"),
  });
  const line = await coordinator.firstLine(readyTimeoutMs);
  return { coordinator, ready: Ready.parse(JSON.parse(line)) };
}

/** Enrolls every device and starts its agent. */
export async function startAgentProcesses({ folder, children }: Site, plan: Plan): Promise<AgentProcess[]> {
  const file = fileURLToPath(new URL("../../starling-agent.js", import.meta.url));
  const agents: AgentProcess[] = [];
  for (const { device, train, test, rateHz } of plan.devices) {
    const joinFile = join(folder, `${device}.join`);
    const enrolled = await enrollDevice({ stateDir: stateOf(folder, "coordinator"), device });
    await writeFile(joinFile, `${formatJoin(enrolled)}\n`, { mode: 0o600 });
    const child = await children.start({
      name: `agent ${device}`,
      file,
      nodeArgs: agentNodeArgs,
      env: agentEnv,
      args: [
        ...["--exit-with-parent", "--join-file", joinFile, "--state", stateOf(folder, device)],
        ...["--history", train, "--source", test, "--speed", "0", "--hold"],
        ...["--scores", scoresFile(folder, device)],
        ...(rateHz === undefined ? [] : ["--rate-hz", String(rateHz)]),
      ],
      logFile: join(folder, `${device}.log`),
    });
    agents.push({ device, child });
  }
  return agents;
}

function stateOf(folder: string, name: string): string {
  return join(folder, "state", name);
}

export function scoresFile(folder: string, device: string): string {
  return join(folder, `${device}.scores`);
}
