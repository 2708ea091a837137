import type { z } from "zod";

/** One sub-command. `options` is the only description of what it takes: file, environment and flags are all held to it. */
export interface CommandSpec<S extends z.ZodObject = z.ZodObject> {
  readonly name: string;
  readonly description: string;
  readonly options: S;
  readonly flags: readonly Flag[];
  readonly operands?: readonly Operand[];
  readonly examples: readonly Example[];
  /** The exit code; nothing is 0. Throws FleetError: BAD_INPUT ends in 2, all else in 1. */
  run(options: z.output<S>, terminal: Terminal): Promise<number | undefined>;
}

export interface Flag {
  /** Where in `options`, with dots: `task.round.deadlineMs`. */
  readonly path: string;
  /** As commander writes it: `--mqtt-port <port>`. The environment variable is its name: STARLING_MQTT_PORT. */
  readonly flag: string;
  readonly description: string;
  /** Another form of the value for people, as `30s` for milliseconds; undefined where the text is none. */
  readonly parse?: {
    read(text: string): unknown | undefined;
    /** A value in that form, for --help. */
    show(value: unknown): string;
    readonly expected: string;
  };
  /** For scripts of the project's own: not in --help. */
  readonly hidden?: boolean;
}

export interface Operand {
  readonly path: string;
  readonly name: string;
  readonly description: string;
  readonly variadic?: boolean;
}

export interface Example {
  readonly command: string;
  readonly what: string;
}

/** Where a command writes, and whether people look at it. */
export interface Terminal {
  readonly stdout: NodeJS.WriteStream;
  readonly stderr: NodeJS.WriteStream;
  readonly colors: boolean;
}

export function command<S extends z.ZodObject>(spec: CommandSpec<S>): CommandSpec<S> {
  return spec;
}

/** `--mqtt-port <port>` -> `--mqtt-port` */
export function flagName({ flag }: Flag): string {
  return flag.split(/[ ,]/)[0]!;
}

/** `--mqtt-port <port>` -> `STARLING_MQTT_PORT` */
export function variableName(flag: Flag): string {
  return `STARLING_${flagName(flag).slice(2).replaceAll("-", "_").toUpperCase()}`;
}
