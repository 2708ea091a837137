import { arms } from "../../models/evaluation/arms.ts";
import { command } from "../command.ts";
import { learningFlags } from "../config/learning-flags.ts";
import { topologyFlag } from "../config/topology-file.ts";
import { EvaluateOptions } from "../evaluate/options.ts";

export const evaluateCommand = command({
  name: "evaluate",
  description:
    "Trains detectors on a data set in several arms and judges them by labels that they never saw: local (each device from its own data), central (all data in one place), fedavg (rounds of averaging, as a fleet makes them) and finetune (the fleet's model, trained on by each device). Thresholds are fixed on held-back training rows; random and always-alarm rows stand beside every table. docs/evaluation.md tells how to read it. The exit code is 1 where a device or detector took no part.",
  options: EvaluateOptions,
  flags: [
    {
      path: "data",
      flag: "--data <dir>",
      description: "a data set: `starling datasets look DIR` says how it is read",
    },
    { path: "set", flag: "--set <name>", description: "read it as this known set, or as a .yaml file says" },
    { path: "setTask", flag: "--set-task <name>", description: "one task of a set that has several" },
    {
      path: "labelColumn",
      flag: "--label-column <name>",
      description: "of csv files: the column of 0/1 labels",
    },
    { path: "devices", flag: "--devices <names>", description: "only these devices, joined by commas" },
    {
      path: "detectors",
      flag: "--detector <names>",
      description:
        "joined by commas, or all (default cnn-forecaster, or task.detector of --config); `starling detectors` lists them",
    },
    {
      path: "options",
      flag: "--options <list>",
      description: "hyperparameters, as gru-forecaster.units=64,cnn-forecaster.filters=32",
    },
    topologyFlag,
    { path: "arms", flag: "--arms <names>", description: `of ${arms.join(",")}` },
    {
      path: "seeds",
      flag: "--seeds <n>",
      description: "how many seeds; means and standard deviations are over them",
    },
    { path: "task.seed", flag: "--seed <n>", description: "the first of them" },
    { path: "task.rounds", flag: "--rounds <n>", description: "rounds of averaging" },
    {
      path: "task.training.epochs",
      flag: "--epochs <n>",
      description: "epochs in one round; local and central train as many in all",
    },
    ...learningFlags,
    { path: "task.detector.window", flag: "--window <n>", description: "rows of a training window" },
    {
      path: "task.detector.scaling",
      flag: "--scaling <how>",
      description:
        "local; or merged over the fleet: federated (means and variances) or quantile (medians and ranges)",
    },
    {
      path: "vusWindow",
      flag: "--vus-window <n>",
      description: "widest buffer of VUS-PR, in rows",
    },
    {
      path: "vusThresholds",
      flag: "--vus-thresholds <n>",
      description: "thresholds of VUS-PR; TSB-AD takes 250, which gives higher numbers",
    },
    {
      path: "jobs",
      flag: "--jobs <n>",
      description: "detectors and seeds at the same time, each in a thread",
    },
    {
      path: "json",
      flag: "--json <file>",
      description:
        "write all rows and the summary there, - for stdout; FILE.partial keeps what is finished of a run that is stopped",
    },
    {
      path: "report",
      flag: "--report <file>",
      description: "write an HTML page with plots, one file that needs no network",
    },
  ],
  examples: [
    { command: "starling evaluate --data ./smd", what: "the default detector, four arms, five seeds" },
    {
      command: "starling evaluate --data ./smd --detector all --seeds 1 --jobs 2 --report smd.html",
      what: "everything that learns from series, with plots",
    },
    {
      command: "starling evaluate --data ./skab --window 16 --json skab.json",
      what: "for tables; stopped and started again, it goes on where it was",
    },
    {
      command: "starling evaluate --data ./mine --label-column fault --arms local,fedavg --seeds 3",
      what: "csv files of your own, one device each",
    },
  ],
  async run(options, terminal) {
    const { runEvaluate } = await import("../evaluate/run.ts");
    return runEvaluate(options, terminal);
  },
});
