import { join } from "node:path";
import { spread } from "../bench.ts";
import { writeData } from "./data.ts";
import type { Prepare } from "./lines.ts";
import { networks } from "./networks.ts";
import { PeerFailure, type PeerProcess } from "./peer-process.ts";
import { type Figure, figureOf } from "./rows.ts";
import { learningRate, type TimedWork, trainingBatch } from "./works.ts";

export interface Effort {
  readonly repetitions: number;
  /** How long one repetition is to last at least: so many units are run in it. */
  readonly repetitionMs: number;
}

export interface Timed {
  readonly name: string;
  readonly figure: Figure;
  /** Cores that were at work, over all repetitions: tells whether a peer kept to its threads. NaN where unknown, or too short to tell. */
  readonly cores: number;
}

/** Two biases of a GRU or LSTM in PyTorch are 2.4 %; more of a difference is another network. */
const weightsTolerance = 0.03;
/** Warm-up lasts this many repetitions: compilers have seen the code, and caches the data. */
const warmUpRepetitions = 2;
/** A first run that is too short to be timed says little about how many units a repetition needs. */
const mostGrowth = 100;
/** Processor time is counted in steps of 10 ms. */
const leastMs = 1000;

/**
 * One work by all peers that do it, in turns: each repetition asks every one of them, and each time another one first, so that whatever
 * else the machine does meets them alike. The others sleep meanwhile.
 */
export async function measure({
  work,
  processes,
  effort,
  folder,
  progress,
  signal,
}: {
  readonly work: TimedWork;
  readonly processes: readonly PeerProcess[];
  readonly effort: Effort;
  readonly folder: string;
  progress(text: string): void;
  readonly signal: AbortSignal;
}): Promise<Timed[]> {
  const request = await requestFor(work, folder);
  const runs = processes.map((process) => new Run(process, work));
  for (const run of runs) {
    progress(`${work.name}: ${run.process.name} prepares`);
    await run.prepare(request, effort, runs[0]!);
    signal.throwIfAborted();
  }
  for (let repetition = 0; repetition < effort.repetitions; repetition++) {
    for (let i = 0; i < runs.length; i++) {
      const run = runs[(i + repetition) % runs.length]!;
      progress(`${work.name}: ${run.process.name}, ${repetition + 1} of ${effort.repetitions}`);
      await run.repeat();
      signal.throwIfAborted();
    }
  }
  return runs.map((run) => run.result());
}

/** One peer at one work. After a failure it has no figure, and the others go on. */
class Run {
  readonly process: PeerProcess;
  readonly #work: TimedWork;
  readonly #msPerUnit: number[] = [];
  /** Milliseconds of all repetitions, on the clock and of processors. */
  readonly #spent = { ms: 0, cpuMs: 0 };
  #units = 1;
  #parameters: number | null = null;
  #missing: string | undefined;

  constructor(process: PeerProcess, work: TimedWork) {
    this.process = process;
    this.#work = work;
  }

  async prepare(request: Prepare, { repetitionMs }: Effort, ours: Run): Promise<void> {
    await this.#attempt(async () => {
      this.#parameters = (await this.process.prepare(request)).parameters;
      const wanted = ours.#parameters;
      const has = this.#parameters;
      if (wanted !== null && has !== null && Math.abs(has - wanted) > weightsTolerance * wanted)
        throw new PeerFailure(`its network has ${has} weights and ours ${wanted}: not the same work`);
      for (let spent = 0; spent < warmUpRepetitions * repetitionMs; ) {
        const { ms } = await this.#run();
        spent += ms;
        const enough = Math.ceil((repetitionMs * this.#units) / Math.max(ms, Number.EPSILON));
        this.#units = Math.max(1, Math.min(enough, mostGrowth * this.#units));
      }
    });
  }

  async repeat(): Promise<void> {
    if (this.#missing !== undefined) return;
    await this.#attempt(async () => {
      const { ms, cpuMs } = await this.#run();
      this.#msPerUnit.push(ms / this.#units);
      this.#spent.ms += ms;
      this.#spent.cpuMs += cpuMs;
    });
  }

  result(): Timed {
    const figure: Figure =
      this.#missing === undefined
        ? { value: figureOf(this.#work, spread(this.#msPerUnit).median) }
        : { missing: this.#missing };
    const { ms, cpuMs } = this.#spent;
    return { name: this.process.name, figure, cores: ms < leastMs ? Number.NaN : cpuMs / ms };
  }

  async #run() {
    const { loss, ...times } = await this.process.run(this.#units);
    if (this.#work.kind === "training" && !Number.isFinite(loss))
      throw new PeerFailure("its loss is not finite: it does not train");
    return times;
  }

  async #attempt(what: () => Promise<void>): Promise<void> {
    try {
      await what();
    } catch (error) {
      if (!(error instanceof PeerFailure)) throw error;
      this.#missing = error.message;
    }
  }
}

/** The same request, and the same data, for every peer. */
export async function requestFor(
  { name, kind, network }: Pick<TimedWork, "name" | "kind" | "network">,
  folder: string,
): Promise<Prepare> {
  const { topology, inputShape, targetShape, loss } = networks[network];
  return {
    do: "prepare",
    network,
    topology,
    mode: kind,
    batch: kind === "training" ? trainingBatch : 1,
    loss,
    learningRate,
    data: await writeData(networks[network], join(folder, name)),
    inputShape: [...inputShape],
    targetShape: [...targetShape],
  };
}
