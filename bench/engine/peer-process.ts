import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import type { z } from "zod";
import { cpuMs } from "../cpu-time.ts";
import { Hello, type Prepare, Prepared, Ran, type Request } from "./lines.ts";
import { type Peer, peerEnv } from "./peers.ts";

/** TensorFlow and PyTorch take seconds to load, Keras many more to compile a graph, and a plain loop its time for a batch. */
const answerTimeoutMs = 300_000;
const graceMs = 3_000;
/** Lines of its stderr that are shown when it dies. */
const tailLines = 3;

export interface PeerProcess {
  readonly name: string;
  readonly pid: number;
  readonly version: string;
  /** Throws PeerFailure with the peer's own reason. */
  prepare(request: Prepare): Promise<{ readonly parameters: number | null }>;
  /** For so many units: milliseconds by the peer's own clock, processor time of all its threads, the last loss. Throws PeerFailure. */
  run(units: number): Promise<{ readonly ms: number; readonly cpuMs: number; readonly loss: number | null }>;
  stop(): Promise<void>;
}

/** Why a peer has no figure: no fault of the benchmark, which goes on without it. */
export class PeerFailure extends Error {}

/** Throws PeerFailure where the peer ends, or says why it cannot. */
export async function startPeer(
  peer: Peer,
  { threads, signal }: { readonly threads: number; readonly signal: AbortSignal },
): Promise<PeerProcess> {
  const [command, ...args] = peer.command(threads);
  const env = peerEnv(threads);
  // Its stdin closes with us, whatever happens, and it ends. Detached: Ctrl-C on the terminal goes to us alone.
  const child = spawn(command!, args, { stdio: ["pipe", "pipe", "pipe"], env, detached: true, signal });
  child.stdin.on("error", () => {});
  const tail: string[] = [];
  createInterface({ input: child.stderr }).on("line", (line) => {
    tail.push(line);
    if (tail.length > tailLines) tail.shift();
  });
  const waiting: ((line: string) => void)[] = [];
  const lines: string[] = [];
  createInterface({ input: child.stdout }).on("line", (line) => {
    const next = waiting.shift();
    if (next === undefined) lines.push(line);
    else next(line);
  });
  const ended = new Promise<string>((resolve) => {
    child.on("close", (code, signal) =>
      resolve(`ended with ${signal ?? `code ${code}`}: ${tail.join(" | ") || "it said nothing"}`),
    );
    child.on("error", (error) => resolve(`can't be started: ${error.message}`));
  });

  async function reply<T>(schema: z.ZodType<T>): Promise<Exclude<T, { missing: string }>> {
    const line = lines.shift() ?? (await nextLine());
    const parsed = schema.parse(JSON.parse(line));
    if (isMissing(parsed)) throw new PeerFailure(parsed.missing);
    return parsed as Exclude<T, { missing: string }>;
  }

  async function nextLine(): Promise<string> {
    let timer: NodeJS.Timeout | undefined;
    try {
      return await Promise.race([
        new Promise<string>((resolve) => waiting.push(resolve)),
        ended.then((how): never => {
          throw new PeerFailure(how);
        }),
        new Promise<never>((_, reject) => {
          const late = () => {
            // An answer that came later would be taken for that to the next question.
            child.kill("SIGKILL");
            reject(new PeerFailure(`no answer within ${answerTimeoutMs / 1000} s`));
          };
          timer = setTimeout(late, answerTimeoutMs);
        }),
      ]);
    } finally {
      clearTimeout(timer);
    }
  }

  function ask<T>(request: Request, schema: z.ZodType<T>) {
    child.stdin.write(`${JSON.stringify(request)}\n`);
    return reply(schema);
  }

  async function stop() {
    child.stdin.end();
    child.kill("SIGTERM");
    const timer = setTimeout(() => child.kill("SIGKILL"), graceMs);
    await ended;
    clearTimeout(timer);
  }

  try {
    const { version } = await reply(Hello);
    const pid = child.pid!;
    return {
      name: peer.name,
      pid,
      version,
      prepare: (request) => ask(request, Prepared),
      async run(units) {
        const before = await cpuMs(pid);
        const { ms, loss } = await ask({ do: "run", units }, Ran);
        const after = await cpuMs(pid);
        return { ms, cpuMs: (after ?? Number.NaN) - (before ?? Number.NaN), loss };
      },
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

function isMissing(reply: unknown): reply is { missing: string } {
  return typeof reply === "object" && reply !== null && "missing" in reply;
}
