// Runs the built coordinator and kills it with SIGKILL right after a named durable step: argv is a JSON object
// { stateDir, mqttPort, httpPort, task, crashAt }. What is killed here is what `starling coordinator` runs.
import { startCoordinator } from "../../dist/coordinator/index.js";
import { TaskSpec } from "../../dist/protocol/index.js";

const { crashAt, task, ...options } = JSON.parse(process.argv[2]);
const say = (level) => (fields, message) =>
  process.stderr.write(`${level} ${message} ${JSON.stringify(fields)}\n`);
const log = { debug: () => undefined, info: say("info"), warn: say("warn"), error: say("error") };

const coordinator = await startCoordinator({
  ...options,
  host: "127.0.0.1",
  task: TaskSpec.parse(task),
  log,
  checkpoint: async (name) => {
    if (name === crashAt) process.kill(process.pid, "SIGKILL");
  },
});
process.stdout.write(
  `${JSON.stringify({ ready: true, mqtt: coordinator.mqttUrl, http: coordinator.httpUrl, pid: process.pid })}\n`,
);
coordinator.failed.then((error) => {
  process.stderr.write(`${error.stack}\n`);
  process.exit(1);
});
process.on("SIGTERM", () => coordinator.close().then(() => process.exit(0)));
