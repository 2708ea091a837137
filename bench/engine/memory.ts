import { emptyNodeRssMb, peakRssMb } from "../../cli/demo/peak-rss.ts";
import { spread } from "../bench.ts";
import { requestFor } from "./measure.ts";
import { PeerFailure, startPeer } from "./peer-process.ts";
import { type Peer, starling } from "./peers.ts";
import type { Comparison, Figure } from "./rows.ts";
import type { Work } from "./works.ts";

/** What is shown beside the engines: a Node process that does nothing. */
export const emptyNode = "empty Node";

/**
 * The most memory that a process ever held while training at one thread (VmHWM), each time a fresh one: Node, the engine, its data.
 * Medians.
 */
export async function measureMemory({
  work,
  peers,
  repetitions,
  trainMs,
  folder,
  progress,
  signal,
}: {
  readonly work: Extract<Work, { kind: "memory" }>;
  readonly peers: readonly Peer[];
  readonly repetitions: number;
  readonly trainMs: number;
  readonly folder: string;
  progress(text: string): void;
  readonly signal: AbortSignal;
}): Promise<Comparison> {
  const request = await requestFor({ ...work, kind: "training" }, folder);
  const seen = new Map<string, number[]>();
  const failed = new Map<string, string>();
  const note = (name: string, mb: number) => seen.set(name, [...(seen.get(name) ?? []), mb]);

  async function train(peer: Peer): Promise<void> {
    const child = await startPeer(peer, { threads: 1, signal });
    try {
      await child.prepare(request);
      // As long trainings as it takes, not many short ones: each of ours starts its optimizer afresh.
      let units = 1;
      for (let spent = 0; spent < trainMs; ) {
        const { ms } = await child.run(units);
        spent += ms;
        units = Math.max(1, Math.ceil(((trainMs - spent) * units) / ms));
      }
      note(peer.name, (await peakRssMb(child.pid)) ?? Number.NaN);
    } finally {
      await child.stop();
    }
  }

  for (let repetition = 0; repetition < repetitions; repetition++) {
    note(emptyNode, (await emptyNodeRssMb()) ?? Number.NaN);
    for (const peer of [starling, ...peers]) {
      if (failed.has(peer.name)) continue;
      progress(`${work.name}: ${peer.name}, ${repetition + 1} of ${repetitions}`);
      try {
        await train(peer);
      } catch (error) {
        signal.throwIfAborted();
        if (!(error instanceof PeerFailure)) throw error;
        failed.set(peer.name, error.message);
      }
    }
  }
  const figure = (name: string): Figure => {
    const missing = failed.get(name);
    if (missing !== undefined) return { missing };
    const { median } = spread(seen.get(name) ?? []);
    return Number.isFinite(median)
      ? { value: median }
      : { missing: "this system has no /proc to read it from" };
  };
  const names = [emptyNode, ...peers.map(({ name }) => name)];
  const theirs = new Map(names.map((name) => [name, figure(name)]));
  return { work, threads: 1, ours: figure(starling.name), theirs };
}
