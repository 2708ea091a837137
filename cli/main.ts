#!/usr/bin/env node
import { Command } from "commander";
import { nearest } from "../protocol/nearest.ts";
import type { CommandSpec } from "./command.ts";
import { exitCodes, runCommand } from "./program.ts";
import { realTerminal } from "./terminal.ts";
import { version } from "./version.ts";

interface Entry {
  readonly summary: string;
  /** Each command is loaded alone: an agent must not carry the coordinator in its memory. */
  load(): Promise<CommandSpec>;
}

const entries: Readonly<Record<string, Entry>> = {
  demo: {
    summary: "run a whole fleet on this machine and show what it finds",
    load: async () => (await import("./commands/demo.ts")).demoCommand,
  },
  coordinator: {
    summary: "run the coordinator with its own MQTT broker",
    load: async () => (await import("./commands/coordinator.ts")).coordinatorCommand,
  },
  enroll: {
    summary: "make join strings for new devices",
    load: async () => (await import("./commands/enroll.ts")).enrollCommand,
  },
  agent: {
    summary: "run the agent of one device",
    load: async () => (await import("./commands/agent.ts")).agentCommand(),
  },
  status: {
    summary: "show the fleet, the rounds and the alerts of a coordinator",
    load: async () => (await import("./commands/status.ts")).statusCommand,
  },
  evaluate: {
    summary: "train detectors on a data set in several arms and judge them",
    load: async () => (await import("./commands/evaluate.ts")).evaluateCommand,
  },
  score: {
    summary: "score a file with a trained detector and tell the alarms",
    load: async () => (await import("./commands/score.ts")).scoreCommand,
  },
  fuse: {
    summary: "fuse the scores of several modalities into one, and tell the alarms",
    load: async () => (await import("./commands/fuse.ts")).fuseCommand,
  },
  plot: {
    summary: "plot a file with its scores and alarms as an HTML page",
    load: async () => (await import("./commands/plot.ts")).plotCommand,
  },
  detectors: {
    summary: "list and explain the detectors that can be trained",
    load: async () => (await import("./commands/detectors.ts")).detectorsCommand,
  },
  tune: {
    summary: "search a detector's settings on training data",
    load: async () => (await import("./commands/tune.ts")).tuneCommand,
  },
  datasets: {
    summary: "list and install known data sets",
    load: async () => (await import("./commands/datasets.ts")).datasetsCommand,
  },
};

const terminal = realTerminal();
// `starling status | head -1` is no fault of ours.
terminal.stdout.on("error", (error: NodeJS.ErrnoException) => process.exit(error.code === "EPIPE" ? 0 : 1));
const code = await main(process.argv.slice(2));
// A pipe takes what it can: to exit at once would cut off what a slow reader has not taken yet.
await Promise.all(
  [terminal.stdout, terminal.stderr].map((out) => new Promise((done) => out.write("", done))),
);
process.exit(code);

async function main(args: readonly string[]): Promise<number> {
  const [first, ...rest] = args;
  if (first === "help" && rest[0] !== undefined) return main([rest[0], "--help"]);
  const entry = first === undefined || !Object.hasOwn(entries, first) ? undefined : entries[first];
  if (entry !== undefined) return runCommand(await entry.load(), { args: rest, env: process.env, terminal });
  if (first === "--version" || first === "-V") {
    terminal.stdout.write(`${version}\n`);
    return exitCodes.done;
  }
  if (first === "--help" || first === "-h" || first === "help") {
    terminal.stdout.write(overview());
    return exitCodes.done;
  }
  if (first === undefined) {
    terminal.stderr.write(overview());
    return exitCodes.badInput;
  }
  const near = nearest(first, Object.keys(entries));
  terminal.stderr.write(
    near === undefined
      ? `starling: there is no command "${first}": see \`starling --help\`\n`
      : `starling: there is no command "${first}": did you mean \`starling ${near}\`?\n`,
  );
  return exitCodes.badInput;
}

function overview(): string {
  const program = new Command("starling")
    .description("Federated anomaly detection for device fleets.")
    .version(version, "-V, --version", "print the version")
    .helpOption("-h, --help", "show this help, or a command's with `starling COMMAND --help`")
    .helpCommand(false);
  for (const [name, { summary }] of Object.entries(entries)) program.command(name).description(summary);
  return `${program.helpInformation()}
Examples:
  $ starling demo                                 # six pump stations with labelled faults
  $ starling coordinator --state ./coordinator    # a coordinator of your own
  $ starling enroll pump-1 --state ./coordinator  # a join string for a device
`;
}
