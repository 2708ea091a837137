import { availableParallelism } from "node:os";
import { z } from "zod";
import { type Column, table } from "../cli/table.ts";
import { bench, spread } from "./bench.ts";
import { type Effort, measure, type Timed } from "./engine/measure.ts";
import { measureMemory } from "./engine/memory.ts";
import { PeerFailure, type PeerProcess, startPeer } from "./engine/peer-process.ts";
import { absence, type Peer, peers, starling } from "./engine/peers.ts";
import { type Comparison, type Row, rowsOf } from "./engine/rows.ts";
import { type Work, works } from "./engine/works.ts";
import { withScratch } from "./scratch.ts";

const efforts = {
  full: { repetitions: 7, repetitionMs: 300 },
  quick: { repetitions: 1, repetitionMs: 20 },
} as const satisfies Readonly<Record<string, Effort>>;
/** A fresh process trains so many repetitions' time before its memory is read: long enough for garbage to be collected. */
const memoryRepetitions = 10;

function names(all: readonly string[]) {
  return z
    .string()
    .transform((text) => text.split(","))
    .refine((list) => list.every((name) => all.includes(name)), `there is ${all.join(", ")}`);
}

const Options = z.strictObject({
  quick: z.boolean().default(false),
  work: names(works.map(({ name }) => name)).optional(),
  peer: names(peers.map(({ name }) => name)).optional(),
});

export const engineBench = bench({
  name: "engine",
  description:
    "Measures our engine against others at the same networks: training in batches of 32, scoring one window, one step of a stream, memory. Every engine is a process of its own, and they take turns; at one thread, then at as many as there are cores. `node bench/peers/install.mjs engine` installs the peers; one that is missing is left out.",
  options: Options,
  flags: [
    {
      key: "quick",
      flag: "--quick",
      description: "one short repetition at one thread: shows that it works, not how fast",
    },
    { key: "work", flag: "--work <names>", description: `of ${works.map(({ name }) => name).join(", ")}` },
    { key: "peer", flag: "--peer <names>", description: `of ${peers.map(({ name }) => name).join(", ")}` },
  ],
  examples: [
    { command: "npm run bench -- engine --json", what: "everything" },
    {
      command: "npm run bench -- engine --work gru-training,gru-scoring --peer pytorch",
      what: "two works, one peer",
    },
  ],
  run: ({ quick, work, peer }, { progress, signal }) =>
    withScratch(signal, async ({ folder }) => {
      const effort = quick ? efforts.quick : efforts.full;
      const asked = works.filter(({ name }) => work?.includes(name) ?? true);
      const present = new Map<string, string>();
      const chosen: Peer[] = [];
      for (const one of peers.filter(({ name }) => peer?.includes(name) ?? true)) {
        const missing = absence(one);
        if (missing === undefined) chosen.push(one);
        else present.set(one.name, `left out: ${missing}`);
      }
      const comparisons: Comparison[] = [];
      const strays: string[] = [];
      const shares: number[] = [];
      for (const threads of quick ? [1] : [...new Set([1, availableParallelism()])]) {
        const some = chosen.filter(({ threaded }) => threads === 1 || threaded);
        const timed = asked.filter((one) => one.kind !== "memory");
        const needed = some.filter(({ does }) => timed.some(({ kind }) => does.includes(kind)));
        const started = await startAll(timed.length === 0 ? [] : [starling, ...needed], {
          threads,
          present,
          progress,
          signal,
        });
        try {
          for (const one of timed) {
            // A step of ours has no counterpart and no more than one thread.
            if (one.kind === "stepping" && threads > 1) continue;
            const doing = started.filter(({ peer: { does } }) => does.includes(one.kind));
            const processes = doing.map(({ process }) => process);
            const show = (text: string) => progress(`${threads} threads: ${text}`);
            const all = await measure({ work: one, processes, effort, folder, progress: show, signal });
            comparisons.push(comparisonOf(one, threads, all));
            strays.push(...all.flatMap((result) => strayOf(one, threads, result)));
            if (threads === 1) shares.push(...all.map(({ cores }) => cores).filter(Number.isFinite));
          }
        } finally {
          await Promise.all(started.map(({ process }) => process.stop()));
        }
      }
      for (const one of asked.filter(({ kind }) => kind === "memory")) {
        comparisons.push(
          await measureMemory({
            work: { ...one, kind: "memory" },
            peers: chosen.filter(({ inNode, does }) => inNode && does.includes("training")),
            repetitions: effort.repetitions,
            trainMs: memoryRepetitions * effort.repetitionMs,
            folder,
            progress,
            signal,
          }),
        );
      }
      const rows = comparisons.flatMap(rowsOf);
      const share = spread(shares).median;
      const notes = { strays, share: Number.isFinite(share) ? share : null };
      const value = { effort, peers: Object.fromEntries(present), ...notes, rows };
      return { value, text: showResult(rows, present, notes) };
    }),
});

interface Started {
  readonly peer: Peer;
  readonly process: PeerProcess;
}

/** One after the other; `present` gets the version of each, or why it did not start. */
async function startAll(
  all: readonly Peer[],
  {
    threads,
    present,
    progress,
    signal,
  }: {
    readonly threads: number;
    readonly present: Map<string, string>;
    progress(text: string): void;
    readonly signal: AbortSignal;
  },
): Promise<Started[]> {
  const started: Started[] = [];
  for (const peer of all) {
    progress(`${threads} threads: ${peer.name} starts`);
    try {
      const process = await startPeer(peer, { threads, signal });
      started.push({ peer, process });
      present.set(peer.name, process.version);
    } catch (error) {
      signal.throwIfAborted();
      if (!(error instanceof PeerFailure) || peer === starling) throw error;
      present.set(peer.name, `left out: ${error.message}`);
    }
  }
  return started;
}

/** Ours is the first. */
function comparisonOf(work: Work, threads: number, [ours, ...theirs]: readonly Timed[]): Comparison {
  return {
    work,
    threads,
    ours: ours!.figure,
    theirs: new Map(theirs.map(({ name, figure }) => [name, figure])),
  };
}

/** A quarter of a core more is more than what a collector of garbage or a compiler in the background takes. */
const strayCores = 0.25;

function strayOf({ name: work }: Work, threads: number, { name, cores }: Timed): string[] {
  return cores > threads + strayCores
    ? [`${name} used ${cores.toFixed(1)} cores at ${work}, ${threads} allowed`]
    : [];
}

/** What tells how far the figures can be relied on. */
interface Notes {
  readonly strays: readonly string[];
  /** Of a core, that an engine had at one thread; below 1 others were at work. null where unknown. */
  readonly share: number | null;
}

/** Below it, the figures are of a busy machine. */
const calmShare = 0.9;

function showResult(
  rows: readonly Row[],
  present: ReadonlyMap<string, string>,
  { strays, share }: Notes,
): string {
  const figure = (value: number | null) =>
    value === null ? null : value >= 100 ? value.toFixed(0) : value.toPrecision(3);
  const columns: Column<Row>[] = [
    { title: "work", value: ({ work }) => work },
    { title: "threads", value: ({ threads }) => threads, digits: 0 },
    { title: "peer", value: ({ peer }) => peer },
    { title: "ours", value: ({ ours }) => figure(ours), align: "right" },
    { title: "theirs", value: ({ theirs }) => figure(theirs), align: "right" },
    { title: "unit", value: ({ unit }) => unit },
    { title: "ratio", value: ({ ratio }) => ratio, digits: 2 },
    {
      title: "goal",
      value: ({ goal, peer }) => goal && `${peer === null ? "<=" : ">="} ${goal}`,
      align: "right",
    },
    { title: "met", value: ({ met }) => (met === null ? null : met ? "yes" : "NO") },
  ];
  const rules = rows.flatMap(({ work }, i) => (i > 0 && rows[i - 1]!.work !== work ? [i] : []));
  // One line a reason, with the works that it keeps from having a figure.
  const reasons = new Map<string, Set<string>>();
  for (const { work, reasons: all } of rows)
    for (const reason of all ?? []) reasons.set(reason, (reasons.get(reason) ?? new Set()).add(work));
  return [
    table(columns, rows, { rulesBefore: rules }),
    "",
    "Ratio above 1: ours is faster, or smaller. Medians; a goal without a peer is for our own figure.",
    ...section(
      "Engines",
      [...present].map(([name, version]) => `${name} ${version}`),
    ),
    ...section(
      "Figures that are missing",
      [...reasons].map(([reason, of]) => `${[...of].join(", ")}: ${reason}`),
    ),
    ...section("Not kept to their threads", strays),
    ...section(
      "The machine was busy",
      share !== null && share < calmShare
        ? [
            `engines had ${share.toFixed(2)} of a core at one thread, so the figures are rough; most so at many threads`,
          ]
        : [],
    ),
  ].join("\n");
}

function section(title: string, lines: readonly string[]): string[] {
  return lines.length === 0 ? [] : ["", `${title}:`, ...lines.map((line) => `  ${line}`)];
}
