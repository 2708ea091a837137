import { setTimeout as pause } from "node:timers/promises";
import { Worker } from "node:worker_threads";
import { FleetError } from "../../../protocol/errors.ts";
import { kernelModule, type WasmModule } from "../../kernels/load.ts";
import type { Machine } from "../machine.ts";
import {
  createExchange,
  type Exchange,
  HELPER_ROLE,
  type HelperData,
  type Job,
  partStart,
} from "./exchange.ts";
import { ARRIVED, advance, after, BATCH, TURN, waitFor } from "./meeting.ts";

/** The threads that help a model to train: one fit at a time, batch by batch in two turns, forward and back. */
export interface Crew {
  /** With the one that calls. */
  readonly threads: number;
  readonly exchange: Exchange;
  begin(job: Omit<Job, "turn">): void;
  /** Lets the helpers go on with a batch of so many samples. Throws UNAVAILABLE when a thread has ended. */
  release(batch: number): void;
  /** Whether all have done that; blocks for a short while. */
  met(): boolean;
  /** Waits as long as it takes without blocking. Throws UNAVAILABLE when a thread ends. */
  meet(): Promise<void>;
  /** The batch is whole. */
  done(): void;
  /** The fit is over: the threads sleep until the next. */
  rest(): void;
}

/** The crew of one model: made when it is first asked for, and kept. */
export interface Crews {
  /** Throws UNAVAILABLE when the threads don't start. */
  open(threads: number): Promise<Crew>;
  /** Whether a batch is under way. Its values are in the machine, which nobody else may use until a thread that is late has come. */
  busy(): boolean;
  close(): void;
}

export interface CrewOptions {
  readonly topology: unknown;
  readonly module: WasmModule | undefined;
  /** The threads' script: one that calls `runEngineThread`. Left out, the one that stands in dist/. */
  readonly script: URL | undefined;
}

/** How long fit blocks for a helper that is late, for want of a free core, before it lets the event loop tell what became of it. */
const PATIENCE_MS = 1000;

/** A helper makes next to no garbage; with room for as much as Node gives a thread, it would hold 6 MB more. */
const LIMITS = { maxYoungGenerationSizeMb: 1 };

export function createCrews(machine: Machine, options: CrewOptions): Crews {
  let crew: (Crew & Closable) | undefined;
  let closed = false;
  const close = () => {
    crew?.close();
    crew = undefined;
  };
  return {
    async open(threads) {
      if (crew?.threads === threads && crew.usable()) {
        await crew.meet();
        return crew;
      }
      close();
      const opened = await openCrew(machine, threads, options);
      crew = opened;
      if (closed) close();
      return opened;
    },
    busy: () => crew?.busy() === true,
    close() {
      closed = true;
      close();
    },
  };
}

interface Closable {
  /** No thread has ended, and none is in the middle of a batch. */
  usable(): boolean;
  busy(): boolean;
  close(): void;
}

async function openCrew(
  machine: Machine,
  threads: number,
  { topology, module, script = new URL("../worker/thread.js", import.meta.url) }: CrewOptions,
): Promise<Crew & Closable> {
  const exchange = createExchange(machine, threads);
  const { words } = exchange;
  const common = {
    role: HELPER_ROLE,
    topology: JSON.stringify(topology),
    maxBatch: partStart(machine.maxBatch, 1, threads),
    module: module ?? (await kernelModule()),
    exchange,
    threads,
  } as const;
  let ended: FleetError | undefined;
  const end = (why: string, cause?: unknown) => {
    const message = `a thread that helps to train ${why}; the weights are as the last whole batch left them, fit again`;
    ended ??= new FleetError("UNAVAILABLE", message, { cause });
  };
  const workers = exchange.helpers.map((_, i) => {
    const workerData: HelperData = { ...common, thread: i + 1 };
    const worker = new Worker(script, { workerData, name: `engine-${i + 1}`, resourceLimits: LIMITS });
    worker.on("error", (cause: Error) => end(`failed: ${cause.message}`, cause));
    worker.on("exit", (code) => end(`ended with exit code ${code}`));
    return worker;
  });
  let busy = false;
  const close = () => {
    busy = false;
    ended ??= new FleetError("ABORTED", "training was aborted");
    for (const worker of workers) void worker.terminate();
  };
  try {
    await Promise.all(
      workers.map(
        (worker) =>
          new Promise<void>((resolve, reject) => {
            worker.once("message", () => resolve());
            worker.once("error", () => reject(ended));
            worker.once("exit", () => reject(ended));
          }),
      ),
    );
  } catch (error) {
    close();
    throw error;
  }
  for (const worker of workers) worker.unref(); // idle, they do not keep the process alive

  let turn = 0;
  let arrived = 0;
  let working = false; // on a job: they wait for their next turn
  const usable = () => ended === undefined && !busy;
  const hasMet = () => Atomics.load(words, ARRIVED) === arrived;
  return {
    threads,
    exchange,
    begin(job) {
      working = true;
      for (const worker of workers) worker.postMessage({ ...job, turn } satisfies Job);
    },
    release(batch) {
      if (ended) throw ended;
      busy = true;
      turn = after(turn);
      arrived = after(arrived, workers.length);
      Atomics.store(words, BATCH, batch);
      advance(words, TURN);
    },
    met: () => waitFor(words, ARRIVED, arrived, PATIENCE_MS),
    async meet() {
      while (!hasMet()) {
        if (ended) throw ended;
        await pause(1);
      }
    },
    done() {
      busy = false;
    },
    rest() {
      if (!working) return;
      working = false;
      if (!usable()) return close();
      turn = after(turn);
      arrived = after(arrived, workers.length);
      Atomics.store(words, BATCH, 0);
      advance(words, TURN);
    },
    usable,
    busy: () => busy,
    close,
  };
}
