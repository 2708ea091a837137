import { z } from "zod";
import { type Column, table } from "../cli/table.ts";
import { bench, type Spread } from "./bench.ts";
import { measureCoordinator } from "./round/coordinator-alone.ts";
import { type Costs, measureCosts } from "./round/costs.ts";
import { partNames } from "./round/parts.ts";
import { type Row, thousandths } from "./round/row.ts";
import { measureWithAgents } from "./round/with-agents.ts";
import { channels, roundTask, trainRows } from "./round/workload.ts";

/** Rounds without training are short, so more of them are measured. */
const coordinatorRounds = 4;
const most = 1024;

const counts = z
  .string()
  .regex(/^\d+(,\d+)*$/, "give whole numbers with commas between them, such as 8,64")
  .transform((text) => text.split(",").map(Number))
  .refine((list) => list.every((n) => n >= 1 && n <= most), `each must be from 1 to ${most}`);

const Options = z.strictObject({
  agents: counts.prefault("8,64"),
  coordinator: counts.optional(),
  rounds: z.coerce
    .number("give a whole number")
    .int("give a whole number")
    .min(1, "must be at least 1")
    .max(1000, "must be at most 1000")
    .default(5),
});

export const roundBench = bench({
  name: "round",
  description:
    "Measures federated rounds over MQTT on loopback, in two modes. `agents`: a coordinator and so many real agents, every one a process. `coordinator`: the coordinator against devices that answer at once, so that nothing but its own work and the wire is left.",
  options: Options,
  flags: [
    { key: "agents", flag: "--agents <list>", description: "numbers of agents (default 8,64)" },
    {
      key: "coordinator",
      flag: "--coordinator <list>",
      description: "numbers of devices for the coordinator alone (default: as --agents)",
    },
    {
      key: "rounds",
      flag: "--rounds <n>",
      description: `rounds to measure after a warm-up (default 5); ${coordinatorRounds} times as many for the coordinator alone`,
    },
  ],
  examples: [
    { command: "npm run bench -- round --json", what: "8 and 64 agents" },
    {
      command: "npm run bench -- round --agents 8 --coordinator 8,64,512",
      what: "a larger fleet for the coordinator alone",
    },
  ],
  async run({ agents, coordinator = agents, rounds }, { progress, signal }) {
    progress("costs of one update");
    const costs = await measureCosts();
    const rows: Row[] = [];
    for (const count of agents)
      rows.push(await measureWithAgents({ agents: count, rounds, costs, progress, signal }));
    for (const count of coordinator) {
      const many = rounds * coordinatorRounds;
      rows.push(await measureCoordinator({ agents: count, rounds: many, costs, progress, signal }));
    }
    const workload = describeWorkload(costs);
    return { value: { workload, rows }, text: showResult(workload, rows) };
  },
});

type Workload = ReturnType<typeof describeWorkload>;

function describeWorkload(costs: Costs) {
  const { detector, training } = roundTask(1, 1);
  return {
    data: "built-in plant",
    rows: trainRows,
    channels,
    detector: detector.name,
    options: detector.options,
    window: detector.window,
    epochs: training.epochs,
    batchSize: training.batchSize,
    parameters: costs.parameters,
    /** Windows a device and round. */
    samples: costs.samples,
    updateBytes: costs.updateBytes,
    /** One thing at a time, in a process that has a core for itself; milliseconds. */
    alone: {
      trainMs: thousandths(costs.trainMs),
      encodeMs: thousandths(costs.encodeMs),
      decodeMs: thousandths(costs.decodeMs),
      addMs: thousandths(costs.addMs),
    },
  };
}

function showResult(workload: Workload, rows: readonly Row[]): string {
  const { alone } = workload;
  const range = ({ median, min, max }: Spread) =>
    `${median.toFixed(0)} (${min.toFixed(0)}-${max.toFixed(0)})`;
  const kb = (bytes: number) => bytes / 1000;
  const columns: Column<Row>[] = [
    { title: "mode", value: ({ mode }) => mode },
    { title: "devices", value: ({ agents }) => agents, digits: 0 },
    { title: "rounds", value: ({ rounds }) => rounds, digits: 0 },
    { title: "round, ms", value: ({ durationMs }) => range(durationMs), align: "right" },
    { title: "updates/s", value: ({ updatesPerSecond }) => updatesPerSecond, digits: 0 },
    { title: "ms/update", value: ({ msPerUpdate }) => msPerUpdate, digits: 1 },
    { title: "kB up", value: ({ bytesUp }) => kb(bytesUp), digits: 0 },
    { title: "kB down", value: ({ bytesDown }) => kb(bytesDown), digits: 0 },
    { title: "CPU ms", value: ({ cpuMs }) => cpuMs.devices, digits: 0 },
    { title: "of coord.", value: ({ cpuMs }) => cpuMs.coordinator, digits: 0 },
  ];
  const parts: Column<Row>[] = [
    { title: "share, %", value: ({ mode }) => mode },
    { title: "devices", value: ({ agents }) => agents, digits: 0 },
    ...partNames.map((name) => ({ title: name, value: ({ share }: Row) => 100 * share[name], digits: 1 })),
  ];
  return [
    `Each device: ${workload.rows} rows of ${workload.channels} channels (${workload.data}); ${workload.detector},`,
    `${workload.parameters} parameters; ${workload.epochs} epochs over ${workload.samples} windows of ${workload.window} rows; an update of ${workload.updateBytes} bytes.`,
    `Alone on a core: training ${alone.trainMs.toFixed(1)} ms; per update: encoding ${alone.encodeMs.toFixed(3)} ms,`,
    `decoding and gate ${alone.decodeMs.toFixed(3)} ms, exact sum ${alone.addMs.toFixed(3)} ms.`,
    "",
    table(columns, rows),
    "",
    table(parts, rows),
    "",
    "Every moment of a round belongs in equal parts to the devices that are not done yet and counts for what each is doing;",
    "after the last update it is aggregation. docs/benchmarks.md says how each number is obtained.",
  ].join("\n");
}
