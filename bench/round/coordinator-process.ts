// A coordinator in a process of its own that enrolls its devices itself and reports on stdout, one JSON object a line: first a
// Ready, then a Closed after every round. argv: CoordinatorProcessOptions as JSON. Ends on SIGTERM and with its parent.
import { writeFile } from "node:fs/promises";
import { jsonLog } from "../../cli/log.ts";
import { startCoordinator } from "../../coordinator/index.ts";
import { type Closed, CoordinatorProcessOptions, type Ready } from "./coordinator-report.ts";

const { stateDir, task, devices, joinsFile } = CoordinatorProcessOptions.parse(
  JSON.parse(process.argv[2] ?? "{}"),
);
const say = (line: Ready | Closed) => process.stdout.write(`${JSON.stringify(line)}\n`);
const coordinator = await startCoordinator({
  stateDir,
  host: "127.0.0.1",
  mqttPort: 0,
  httpPort: 0,
  task,
  log: jsonLog((line) => process.stderr.write(line), "warn"),
  checkpoint: async (name) => {
    if (name !== "closed" && name !== "aborted") return;
    const { user, system } = process.cpuUsage();
    say({ phase: name, ...coordinator.traffic(), cpuMs: (user + system) / 1000 });
  },
});
coordinator.failed.then(() => process.exit(1));
const joins = await Promise.all(devices.map(coordinator.enroll));
await writeFile(joinsFile, JSON.stringify(joins), { mode: 0o600 });
say({ ready: true, mqtt: coordinator.mqttUrl, http: coordinator.httpUrl });

const stop = () => coordinator.close().then(() => process.exit(0));
process.once("SIGTERM", stop);
process.stdin.once("end", stop).resume();
