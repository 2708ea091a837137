#!/usr/bin/env node
import { Command, CommanderError } from "commander";
import { painter, realTerminal } from "../cli/terminal.ts";
import { firstIssue } from "../protocol/codec.ts";
import { FleetError } from "../protocol/errors.ts";
import { type Bench, describeMachine, type Stage } from "./bench.ts";

interface Entry {
  readonly summary: string;
  load(): Promise<Bench>;
}

/** Every benchmark is one file, loaded only when it is asked for. */
const entries: Readonly<Record<string, Entry>> = {
  ablation: {
    summary: "augmentation and pretraining, each alone, against neither, on real data",
    load: async () => (await import("./ablation.ts")).ablationBench,
  },
  detection: {
    summary: "our detectors against PyOD's, TSB-AD's and Merlion's on real data: quality and time",
    load: async () => (await import("./detection.ts")).detectionBench,
  },
  detectors: {
    summary: "every detector: a sample on the stream, training on one machine, size",
    load: async () => (await import("./detectors.ts")).detectorsBench,
  },
  engine: {
    summary: "our engine against tfjs, onnxruntime, PyTorch and Keras: training, scoring, memory",
    load: async () => (await import("./engine.ts")).engineBench,
  },
  round: {
    summary:
      "duration, bytes and parts of a federated round, with real agents and with the coordinator alone",
    load: async () => (await import("./round.ts")).roundBench,
  },
};

/** As the `starling` command: 0 done, 1 failed while running, 2 asked for wrongly. */
const exitCodes = { done: 0, failed: 1, badInput: 2 } as const;

const { stdout, stderr, colors } = realTerminal();
process.exitCode = await main(process.argv.slice(2));

async function main([first, ...rest]: readonly string[]): Promise<number> {
  if (first === undefined || first === "--help" || first === "-h" || first === "help") {
    (first === undefined ? stderr : stdout).write(overview());
    return first === undefined ? exitCodes.badInput : exitCodes.done;
  }
  const entry = Object.hasOwn(entries, first) ? entries[first] : undefined;
  if (entry === undefined) {
    stderr.write(`bench: there is no benchmark "${first}": there is ${Object.keys(entries).join(", ")}\n`);
    return exitCodes.badInput;
  }
  const interrupted = new AbortController();
  const forget = onInterrupt(interrupted);
  const line = progressLine();
  try {
    const bench = await entry.load();
    const { json, ...options } = readOptions(bench, rest);
    const machine = describeMachine();
    const stage: Stage = { progress: line.show, signal: interrupted.signal };
    const { value, text } = await bench.run(options, stage);
    line.clear();
    // With --json stdout is for the machine alone; people still see the table.
    (json ? stderr : stdout).write(`${text}\n`);
    if (json) stdout.write(`${JSON.stringify({ machine, ...value })}\n`);
    return exitCodes.done;
  } catch (error) {
    line.clear();
    if (error instanceof CommanderError) return error.exitCode === 0 ? exitCodes.done : exitCodes.badInput;
    stderr.write(`bench: ${error instanceof Error ? error.message : String(error)}\n`);
    if (process.env.STARLING_DEBUG && error instanceof Error) stderr.write(`${error.stack}\n`);
    return error instanceof FleetError && error.code === "BAD_INPUT" ? exitCodes.badInput : exitCodes.failed;
  } finally {
    forget();
  }
}

/** Throws CommanderError for --help and for flags that are not there, BAD_INPUT for values that are wrong. */
function readOptions({ name, description, options, flags, examples }: Bench, args: readonly string[]) {
  const program = new Command(`npm run bench -- ${name}`)
    .description(description)
    .helpOption("-h, --help", "show this help")
    .configureOutput({
      writeOut: (text) => stdout.write(text),
      writeErr: (text) => stderr.write(text),
      outputError: (text, write) => write(text.replace(/^error: /, "bench: ").replace(/\n(?=\(Did)/, " ")),
    })
    .allowExcessArguments(false)
    .exitOverride()
    .option("--json", "one JSON object on the last line of stdout");
  const keys = new Map<string, string>();
  for (const { key, flag, description: what } of flags) {
    program.option(flag, what);
    keys.set(key, flag.split(" ")[0]!);
  }
  const lines = examples.map(({ command, what }) => `  $ ${command}  # ${what}\n`);
  program.addHelpText("after", `\nExamples:\n${lines.join("")}`);
  program.parse([...args], { from: "user" });
  const { json = false, ...given } = program.opts<{ json?: boolean } & Record<string, unknown>>();
  const parsed = options.safeParse(given);
  if (!parsed.success) {
    const flag = keys.get(String(parsed.error.issues[0]?.path[0])) ?? "an option";
    throw new FleetError(
      "BAD_INPUT",
      `${flag} is refused: ${firstIssue(parsed.error).replace(/^\w+: /, "")}`,
    );
  }
  return { ...parsed.data, json };
}

function overview(): string {
  const width = Math.max(...Object.keys(entries).map((name) => name.length));
  const list = Object.entries(entries).map(([name, { summary }]) => `  ${name.padEnd(width)}  ${summary}\n`);
  return `Usage: npm run bench -- BENCHMARK [options]

Benchmarks (each has --help):
${list.join("")}
Examples:
  $ npm run bench -- round         # a table
  $ npm run bench -- round --json  # and one JSON object on the last line of stdout
`;
}

function progressLine() {
  const shown = stderr.isTTY === true;
  const paint = painter(colors);
  return {
    show: (text: string) => {
      if (shown) stderr.write(`\r\u001b[K${paint("dim", text)}`);
    },
    clear: () => {
      if (shown) stderr.write("\r\u001b[K");
    },
  };
}

/** The first signal ends the benchmark in order, the second at once. */
function onInterrupt(controller: AbortController): () => void {
  const names = ["SIGINT", "SIGTERM", "SIGHUP"] as const;
  const stop = () => {
    if (controller.signal.aborted) process.exit(exitCodes.failed);
    controller.abort(new FleetError("ABORTED", "interrupted; every process is stopped"));
  };
  for (const name of names) process.on(name, stop);
  return () => {
    for (const name of names) process.off(name, stop);
  };
}
