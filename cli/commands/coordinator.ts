import { z } from "zod";
import { everyAddress } from "../../protocol/join.ts";
import { TaskSpec } from "../../protocol/task.ts";
import { command } from "../command.ts";
import { duration } from "../config/duration.ts";
import { learningFlags } from "../config/learning-flags.ts";
import { topologyFlag, withTopology } from "../config/topology-file.ts";
import { painter } from "../terminal.ts";
import {
  exitWithParent,
  exitWithParentFlag,
  json,
  jsonFlag,
  logLevel,
  logLevelFlag,
  port,
  stateDir,
} from "./common.ts";

const Options = z.strictObject({
  state: stateDir,
  host: z.string().min(1, "give an address to listen on").default("127.0.0.1"),
  mqttPort: port.default(1883),
  httpPort: port.default(8080),
  topology: z.string().min(1, "give the path of a file").optional(),
  task: TaskSpec.prefault({}),
  logLevel,
  json,
  exitWithParent,
});

/** What the coordinator says on stdout with --json, once it takes devices. */
export const Ready = z.object({ ready: z.literal(true), mqtt: z.string(), http: z.string(), pid: z.int() });
export type Ready = z.infer<typeof Ready>;

export const coordinatorCommand = command({
  name: "coordinator",
  description:
    "Runs the coordinator with its own MQTT broker, HTTP interface and live feed. Its state folder holds everything: stopped or killed at any moment, it goes on where it was.",
  options: Options,
  flags: [
    { path: "state", flag: "--state <dir>", description: "state folder, made where it is missing" },
    {
      path: "host",
      flag: "--host <address>",
      description: "address to listen on; 0.0.0.0 takes devices from the network",
    },
    {
      path: "mqttPort",
      flag: "--mqtt-port <port>",
      description: "port of the MQTT broker, 0 for a free one",
    },
    {
      path: "httpPort",
      flag: "--http-port <port>",
      description: "port of the HTTP interface, 0 for a free one",
    },
    { path: "task.rounds", flag: "--rounds <n>", description: "rounds to run" },
    {
      path: "task.detector.name",
      flag: "--detector <name>",
      description: "one of `starling detectors`, which explains them",
    },
    topologyFlag,
    {
      path: "task.detector.scaling",
      flag: "--scaling <how>",
      description:
        "local; or merged over the fleet: federated (means and variances) or quantile (medians and ranges)",
    },
    {
      path: "task.minDevices",
      flag: "--min-devices <n>",
      description: "devices that must be ready before the first round",
    },
    {
      path: "task.training.epochs",
      flag: "--epochs <n>",
      description: "epochs a device trains in one round",
    },
    {
      path: "task.training.learningRate",
      flag: "--learning-rate <rate>",
      description: "learning rate of a device's optimizer",
    },
    ...learningFlags,
    {
      path: "task.round.quorum",
      flag: "--quorum <part>",
      description: "part of the wanted updates that closes a round",
    },
    {
      path: "task.round.deadlineMs",
      flag: "--deadline <time>",
      description: "time after which a round closes with what it has (30s, 5m)",
      parse: duration,
    },
    {
      path: "task.alarm.budget",
      flag: "--alarm-budget <budget>",
      description: 'false alarms of one device to put up with, such as "1 per week": sets the thresholds',
    },
    {
      path: "task.alarm.rule",
      flag: "--alarm-rule <rule>",
      description: "auto, quantile, pot, mad or conformal: how thresholds are made without a budget",
    },
    {
      path: "task.personal",
      flag: "--personal",
      description:
        "after the last round, each device scores with the best on its held-back data of the fleet's model, that model tuned by it, and one of its own",
    },
    { path: "task.seed", flag: "--seed <n>", description: "seed of the first weights and of every shuffle" },
    logLevelFlag,
    jsonFlag,
    exitWithParentFlag,
  ],
  examples: [
    { command: "starling coordinator --state ./coordinator", what: "listen on this machine only" },
    {
      command: "starling coordinator --state ./coordinator --host 0.0.0.0 --min-devices 8 --rounds 20",
      what: "take devices from the network, begin once eight are ready",
    },
    {
      command: 'starling coordinator --state ./coordinator --alarm-budget "1 per week"',
      what: "thresholds that each device sets for one false alarm a week",
    },
    {
      command: "starling coordinator --state ./coordinator --config fleet.yaml",
      what: 'all settings, nested: "task: { detector: { window: 48 } }"',
    },
  ],
  async run(options, terminal) {
    const detector = await withTopology(options.task.detector, options.topology);
    const { pino } = await import("pino");
    const { startCoordinator } = await import("../../coordinator/index.ts");
    const { runUntilStopped } = await import("../lifecycle.ts");
    const { prettyLog } = await import("../pretty-log.ts");
    const pretty = terminal.stderr.isTTY ? prettyLog(terminal) : pino.destination({ fd: 2, sync: true });
    const log = pino({ level: options.logLevel, base: null }, pretty);

    const coordinator = await startCoordinator({
      stateDir: options.state,
      host: options.host,
      mqttPort: options.mqttPort,
      httpPort: options.httpPort,
      task: { ...options.task, detector },
      log,
    });
    const { mqttUrl: mqtt, httpUrl: http } = coordinator;
    log.info({ mqtt, http, state: options.state }, "the coordinator takes devices");
    if (options.json) {
      const ready: Ready = { ready: true, mqtt, http, pid: process.pid };
      terminal.stdout.write(`${JSON.stringify(ready)}\n`);
    } else {
      const address = everyAddress.test(mqtt)
        ? ` --url ${mqtt.replace(everyAddress, "//THIS-MACHINE:")}`
        : "";
      const paint = painter(terminal.colors && terminal.stdout.isTTY === true);
      terminal.stdout.write(
        [
          `${paint("green", "The coordinator is ready.")}`,
          `  devices connect to  ${paint("bold", mqtt)}`,
          `  HTTP interface at   ${paint("bold", http)}`,
          "",
          "Next, enroll a device and start its agent:",
          `  starling enroll pump-1 --state ${options.state} --out .${address}`,
          "  starling agent --join-file pump-1.join --state ./pump-1 --source pump-1.csv",
          `See the fleet with: starling status --url ${http.replace(everyAddress, "//127.0.0.1:")}`,
          "",
        ].join("\n"),
      );
    }
    return runUntilStopped({
      exitWithParent: options.exitWithParent,
      ended: coordinator.failed.then((error) => Promise.reject(error)),
      async close({ error, signal }) {
        if (error !== undefined) log.fatal({ err: error }, "the coordinator failed and stops");
        else log.info({ signal }, "the coordinator stops");
        await coordinator.close();
      },
    });
  },
});
