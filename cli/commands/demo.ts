import { command } from "../command.ts";
import { duration } from "../config/duration.ts";
import { topologyFlag } from "../config/topology-file.ts";
import { DemoOptions, plantStations } from "../demo/options.ts";
import { jsonFlag } from "./common.ts";

export const demoCommand = command({
  name: "demo",
  description:
    "Starts a coordinator and a fleet of agents on this machine, each a process of its own, connected over real MQTT. They train a detector together, score their test data, and raise alerts; at the end their alarms are judged by labels that no agent has seen. Without --data it runs a built-in plant of pump stations with labelled faults.",
  options: DemoOptions,
  flags: [
    {
      path: "data",
      flag: "--data <dir>",
      description: "folder of NAME_train, NAME_test and NAME_label files (.npy, .npy.gz or .csv)",
    },
    {
      path: "devices",
      flag: "--devices <n>",
      description: `devices to run (default ${plantStations}, or all of --data)`,
    },
    { path: "rounds", flag: "--rounds <n>", description: "training rounds" },
    {
      path: "detector",
      flag: "--detector <name>",
      description: "one of `starling detectors`, which explains them",
    },
    topologyFlag,
    {
      path: "scaling",
      flag: "--scaling <how>",
      description:
        "local; or merged over the fleet: federated (means and variances) or quantile (medians and ranges)",
    },
    {
      path: "alarmBudget",
      flag: "--alarm-budget <budget>",
      description: 'false alarms of one device to put up with, such as "1 per week"',
    },
    {
      path: "personal",
      flag: "--personal",
      description: "after the last round, each device scores with a model of its own where that is better",
    },
    {
      path: "seed",
      flag: "--seed <n>",
      description: "seed of the plant, the first weights and every shuffle",
    },
    {
      path: "rate",
      flag: "--rate <hz>",
      description: "rows per second of --data, where its files do not say (once a minute: 0.016667)",
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
    {
      path: "timeoutMs",
      flag: "--timeout <time>",
      description: "give up after this time (30s, 5m)",
      parse: duration,
    },
    { path: "headless", flag: "--headless", description: "plain lines only: no bar, no colors" },
    { path: "keep", flag: "--keep", description: "keep the state folder with all logs and scores" },
    { ...jsonFlag, description: "one JSON object as the last line of stdout" },
  ],
  examples: [
    { command: "starling demo", what: "six pump stations with labelled faults" },
    { command: "starling demo --devices 3 --rounds 4 --keep", what: "a smaller one, and its folder kept" },
    {
      command: "starling demo --data ./smd --rounds 10 --headless --json > result.json",
      what: "your own data, for scripts",
    },
  ],
  async run(options, terminal) {
    const { runDemo } = await import("../demo/run.ts");
    return runDemo(
      { ...options, devices: options.devices ?? (options.data ? undefined : plantStations) },
      terminal,
    );
  },
});
