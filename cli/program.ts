import { Command, CommanderError, Option } from "commander";
import { FleetError } from "../protocol/errors.ts";
import { type CommandSpec, type Flag, flagName, type Terminal, variableName } from "./command.ts";
import { type Given, resolveOptions } from "./config/resolve.ts";
import { defaultAt } from "./config/schema.ts";
import { version } from "./version.ts";

export interface Invocation {
  /** What stands after the command's name. */
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly terminal: Terminal;
}

/** Exit codes of every command: 0 done, 1 failed while running, 2 asked for wrongly. */
export const exitCodes = { done: 0, failed: 1, badInput: 2 } as const;

/** Parses, validates and runs one command. Never throws: the exit code is the answer, the reason is on stderr. */
export async function runCommand(spec: CommandSpec, { args, env, terminal }: Invocation): Promise<number> {
  try {
    const given = parseArguments(spec, { args, env, terminal });
    return (await spec.run(await resolveOptions(spec, given), terminal)) ?? exitCodes.done;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? exitCodes.done : exitCodes.badInput;
    return reportError(error, { env, terminal });
  }
}

/** One sentence for people; the stack only where STARLING_DEBUG asks for it. */
export function reportError(error: unknown, { env, terminal }: Omit<Invocation, "args">): number {
  const message = error instanceof Error ? error.message : String(error);
  terminal.stderr.write(`starling: ${message}\n`);
  if (env.STARLING_DEBUG && error instanceof Error) terminal.stderr.write(`${error.stack}\n`);
  return error instanceof FleetError && error.code === "BAD_INPUT" ? exitCodes.badInput : exitCodes.failed;
}

/** Commander reads and explains the flags; what they mean and whether they are right is the schema's to say. */
export function buildCommander(spec: CommandSpec, { stdout, stderr }: Terminal): Command {
  const program = new Command(`starling ${spec.name}`)
    .description(spec.description)
    .version(version, "-V, --version", "print the version")
    .helpOption("-h, --help", "show this help")
    .configureOutput({
      writeOut: (text) => stdout.write(text),
      writeErr: (text) => stderr.write(text),
      outputError: (text, write) => write(text.replace(/^error: /, "starling: ").replace(/\n(?=\(Did)/, " ")),
    })
    .allowExcessArguments(false)
    .exitOverride();
  for (const { name, description, variadic } of spec.operands ?? [])
    program.argument(`[${name}${variadic ? "..." : ""}]`, description);
  for (const flag of spec.flags) program.addOption(toOption(spec, flag));
  program.addOption(
    new Option("--config <file>", "read settings from a YAML file (environment and flags win over it)").env(
      "STARLING_CONFIG",
    ),
  );
  program.addHelpText("after", examples(spec));
  return program;
}

function parseArguments(spec: CommandSpec, { args, env, terminal }: Invocation): Given {
  const program = buildCommander(spec, terminal);
  program.parse([...args], { from: "user" });
  const values = program.opts<Record<string, string | true>>();
  const flags = new Map<string, string | true>();
  for (const flag of spec.flags) {
    const value = values[new Option(flag.flag).attributeName()];
    if (value !== undefined) flags.set(flag.path, value);
  }
  const operands = new Map<string, string | readonly string[]>();
  for (const [index, { path }] of (spec.operands ?? []).entries()) {
    const value = program.processedArgs[index] as string | string[] | undefined;
    if (value !== undefined) operands.set(path, value);
  }
  const configFile = values.config ?? env.STARLING_CONFIG;
  return { flags, operands, env, configFile: typeof configFile === "string" ? configFile : undefined };
}

function toOption(spec: CommandSpec, flag: Flag): Option {
  const initial = defaultAt(spec.options, flag.path.split("."));
  const shown =
    initial === undefined
      ? ""
      : ` (default ${flag.parse === undefined ? initial : flag.parse.show(initial)})`;
  // Commander's own .env() and .default() stay unused: only what was really given may win over the file.
  return new Option(flag.flag, `${flag.description}${shown}`).hideHelp(flag.hidden === true);
}

function examples({ examples: list, flags }: CommandSpec): string {
  const width = Math.max(...list.map(({ command }) => command.length));
  const lines = list.map(({ command, what }) =>
    width > 58 ? `  # ${what}\n  $ ${command}` : `  $ ${command.padEnd(width)}  # ${what}`,
  );
  const one = flags.find(({ flag }) => flag.includes("<")) ?? flags[0]!;
  return [
    "",
    "Examples:",
    ...lines,
    "",
    `Every flag is also an environment variable (${flagName(one)} is ${variableName(one)}) and a key of the --config file;`,
    "flags win over the environment, the environment over the file.",
  ].join("\n");
}
