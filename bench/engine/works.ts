import type { NetworkName } from "./networks.ts";

export type Work =
  | {
      readonly name: string;
      readonly kind: "training" | "scoring" | "stepping";
      readonly network: NetworkName;
    }
  | { readonly name: string; readonly kind: "memory"; readonly network: NetworkName };
export type TimedWork = Exclude<Work, { kind: "memory" }>;

/** In the order of issue 3's table. */
export const works: readonly Work[] = [
  training("gru"),
  training("lstm"),
  training("conv1d-autoencoder"),
  training("image-network"),
  training("mini-transformer"),
  scoring("gru"),
  scoring("lstm"),
  scoring("conv1d-autoencoder"),
  scoring("image-network"),
  scoring("mini-transformer"),
  { name: "stateful-step", kind: "stepping", network: "gru" },
  { name: "rss", kind: "memory", network: "gru" },
];

function training(network: NetworkName): Work {
  return { name: `${network}-training`, kind: "training", network };
}

function scoring(network: NetworkName): Work {
  return { name: `${network}-scoring`, kind: "scoring", network };
}

/** Windows a batch when training. A scorer gets one window, a stepper one row. */
export const trainingBatch = 32;
export const learningRate = 1e-3;

/** Windows a second when training (more is better), microseconds a window or step (less is better), MiB (less is better). */
export const units = { training: "windows/s", scoring: "us", stepping: "us", memory: "MB" } as const;

/** The least ratio to reach against a peer; `thread` where the goal is for one thread alone. */
interface RatioGoal {
  readonly work: RegExp;
  readonly peer: string;
  readonly ratio: number;
  readonly threads?: 1;
}

/** Issue 3, "Speed". */
const ratioGoals: readonly RatioGoal[] = [
  { work: /^(gru|lstm)-training$/, peer: "tfjs-node", ratio: 8, threads: 1 },
  { work: /^(gru|lstm)-training$/, peer: "tfjs-wasm", ratio: 20, threads: 1 },
  { work: /^(gru|lstm)-training$/, peer: "pytorch", ratio: 1.5, threads: 1 },
  { work: /^conv1d-autoencoder-training$/, peer: "tfjs-node", ratio: 1.5 },
  { work: /^conv1d-autoencoder-training$/, peer: "pytorch", ratio: 1 },
  { work: /^image-network-training$/, peer: "tfjs-node", ratio: 1 },
  { work: /^image-network-training$/, peer: "tfjs-cpu", ratio: 50 },
  { work: /^mini-transformer-training$/, peer: "tfjs-node", ratio: 2 },
  { work: /^mini-transformer-training$/, peer: "pytorch", ratio: 1 },
  { work: /-scoring$/, peer: "onnxruntime-node", ratio: 1 },
];

/** The most that our own figure may be, in the unit of the work. */
const ownGoals: Readonly<Record<string, number>> = { "stateful-step": 5, rss: 75 };

/** Against a peer, the least ratio; for `peer` null, the most that our own figure may be. null where the issue sets none. */
export function goalOf(work: string, peer: string | null, threads: number): number | null {
  if (peer === null) return ownGoals[work] ?? null;
  const goal = ratioGoals.find((one) => one.work.test(work) && one.peer === peer);
  return goal === undefined || (goal.threads !== undefined && goal.threads !== threads) ? null : goal.ratio;
}
