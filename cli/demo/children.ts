import { type ChildProcess, spawn } from "node:child_process";
import { createWriteStream } from "node:fs";
import { createInterface } from "node:readline";
import { FleetError } from "../../protocol/errors.ts";
import { peakRssMb } from "./peak-rss.ts";

/** Exit code and last words of a command that was asked for wrongly: see program.ts. */
const badInput = 2;
const sentence = /^starling: (.+)$/;
/** Lines of a child's log that are shown when it dies. */
const tailLines = 12;
/** A child that has not ended so long after SIGTERM is killed. */
const defaultGraceMs = 5_000;
const peakPollMs = 1_000;

export interface Child {
  readonly name: string;
  readonly pid: number;
  /** The next line of its stdout; TIMEOUT after `timeoutMs`, ABORTED where it ends first. */
  firstLine(timeoutMs: number): Promise<string>;
  /** The most memory that was seen of it so far, MiB. */
  peakRssMb(): Promise<number | undefined>;
  stop(): Promise<void>;
}

export interface Children {
  start(options: StartOptions): Promise<Child>;
  /**
   * Rejects as soon as a child ends that nobody stopped: BAD_INPUT with its own sentence where it refused what it was given, else ABORTED
   * with the end of its log. Never resolves.
   */
  readonly failed: Promise<never>;
  /** SIGTERM to all, SIGKILL to those that stay; none is left when it resolves. */
  stopAll(): Promise<void>;
}

export interface StartOptions {
  readonly name: string;
  /** A JavaScript file, run by the Node that runs us. */
  readonly file: string;
  readonly args: readonly string[];
  /** For Node itself. */
  readonly nodeArgs?: readonly string[];
  /** Besides ours, of which the settings (STARLING_*) are left out: they are for us and not for our children. */
  readonly env?: Readonly<Record<string, string>>;
  /** Its stderr goes here. */
  readonly logFile: string;
}

/**
 * Child processes that never outlive us: each holds the other end of a pipe as its stdin and ends when that closes
 * (--exit-with-parent), which even kill -9 does.
 */
export function childGroup({ graceMs = defaultGraceMs }: { graceMs?: number } = {}): Children {
  const running = new Set<RunningChild>();
  let fail: (error: FleetError) => void = () => {};
  const failed = new Promise<never>((_, reject) => {
    fail = reject;
  });
  // Whoever waits for it hears of it; nobody waiting is no unhandled rejection.
  failed.catch(() => {});
  const killAll = () => {
    for (const child of running) child.process.kill("SIGKILL");
  };
  process.on("exit", killAll);
  let stopped = false;

  return {
    failed,
    async start(options) {
      // Whoever starts them may not have heard yet that all is over.
      if (stopped) throw new FleetError("ABORTED", `${options.name} is not started: all are being stopped`);
      const child = await startChild(options, graceMs);
      running.add(child);
      void child.ended.then((how) => {
        running.delete(child);
        if (!child.stopping()) fail(obituary(options, how, child.tail));
      });
      return child;
    },
    async stopAll() {
      stopped = true;
      await Promise.all([...running].map((child) => child.stop()));
      process.off("exit", killAll);
    },
  };
}

interface Ending {
  readonly code: number | null;
  /** `code 1` or `signal SIGKILL` */
  readonly how: string;
}

interface RunningChild extends Child {
  readonly process: ChildProcess;
  readonly tail: readonly string[];
  readonly ended: Promise<Ending>;
  stopping(): boolean;
}

async function startChild(
  { name, file, args, nodeArgs = [], env, logFile }: StartOptions,
  graceMs: number,
): Promise<RunningChild> {
  // Detached: Ctrl-C on the terminal goes to us alone, and we stop them in order.
  const child = spawn(process.execPath, [...nodeArgs, file, ...args], {
    stdio: ["pipe", "pipe", "pipe"],
    env: { ...withoutSettings(process.env), ...env },
    detached: true,
  });
  const log = createWriteStream(logFile, { flags: "a" });
  const tail: string[] = [];
  child.stderr.pipe(log);
  createInterface({ input: child.stderr }).on("line", (line) => {
    tail.push(line);
    if (tail.length > tailLines) tail.shift();
  });
  // A child that is gone closes its stdin: no fault of ours.
  child.stdin.on("error", () => {});
  const lines: string[] = [];
  const waiting: ((line: string) => void)[] = [];
  createInterface({ input: child.stdout }).on("line", (line) => {
    const next = waiting.shift();
    if (next === undefined) lines.push(line);
    else next(line);
  });
  const ended = new Promise<Ending>((resolve) => {
    child.on("close", (code, signal) =>
      resolve({ code, how: signal === null ? `code ${code}` : `signal ${signal}` }),
    );
    child.on("error", (error) => resolve({ code: null, how: `an error: ${error.message}` }));
  });
  await new Promise<void>((resolve, reject) => {
    child.once("spawn", resolve);
    child.once("error", (cause) =>
      reject(new FleetError("ABORTED", `${name} can't be started: ${cause.message}`, { cause })),
    );
  });

  let stopping = false;
  let peak: number | undefined;
  const readPeak = async () => {
    const now = await peakRssMb(child.pid!);
    if (now !== undefined && now > (peak ?? 0)) peak = now;
    return peak;
  };
  const polling = setInterval(() => void readPeak(), peakPollMs);
  void ended.then(() => clearInterval(polling));
  return {
    name,
    pid: child.pid!,
    process: child,
    tail,
    ended,
    stopping: () => stopping,
    peakRssMb: readPeak,
    async firstLine(timeoutMs) {
      const line = lines.shift();
      if (line !== undefined) return line;
      let timer: NodeJS.Timeout | undefined;
      try {
        return await Promise.race([
          new Promise<string>((resolve) => waiting.push(resolve)),
          ended.then((how): never => {
            throw obituary({ name }, how, tail);
          }),
          new Promise<never>((_, reject) => {
            timer = setTimeout(() => {
              reject(
                new FleetError("TIMEOUT", `${name} said nothing for ${timeoutMs / 1000} s: see ${logFile}`),
              );
            }, timeoutMs);
          }),
        ]);
      } finally {
        clearTimeout(timer);
      }
    },
    async stop() {
      stopping = true;
      child.kill("SIGTERM");
      const timer = setTimeout(() => child.kill("SIGKILL"), graceMs);
      await ended;
      clearTimeout(timer);
    },
  };
}

function obituary(
  { name }: Pick<StartOptions, "name">,
  { code, how }: Ending,
  tail: readonly string[],
): FleetError {
  const said = sentence.exec(tail.at(-1) ?? "")?.[1];
  if (code === badInput && said !== undefined) return new FleetError("BAD_INPUT", said);
  const last = tail.length === 0 ? "it logged nothing" : `its last log lines:\n  ${tail.join("\n  ")}`;
  return new FleetError("ABORTED", `${name} ended by itself with ${how}; ${last}`);
}

function withoutSettings(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(env).filter(([name]) => !name.startsWith("STARLING_")));
}
