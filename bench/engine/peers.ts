import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { root } from "./root.ts";

/** How a peer is started, and what it is compared in. */
export interface Peer {
  readonly name: string;
  readonly does: readonly ("training" | "scoring" | "stepping")[];
  /** Whether it can use more than one. */
  readonly threaded: boolean;
  /** Of the Node family: its memory is shown beside ours. */
  readonly inNode: boolean;
  /** Files and folders that it needs, from the root. */
  readonly needs: readonly string[];
  command(threads: number): readonly string[];
}

/** Ours, as a peer among the others: asked in the same way, in a process of its own. */
export const starling: Peer = {
  name: "starling",
  does: ["training", "scoring", "stepping"],
  threaded: true,
  inNode: true,
  needs: [],
  command: (threads) => node("starling-process", threads),
};

/** In the order of the table. */
export const peers: readonly Peer[] = [
  {
    name: "tfjs-wasm",
    does: ["training", "scoring"],
    // Its threads are for browsers alone: it looks for none under Node.
    threaded: false,
    inNode: true,
    needs: [".peers/npm/node_modules/@tensorflow/tfjs-backend-wasm"],
    command: (threads) => node("tfjs-process", threads, "wasm"),
  },
  {
    name: "tfjs-cpu",
    does: ["training", "scoring"],
    threaded: false,
    inNode: true,
    needs: ["node_modules/@tensorflow/tfjs"],
    command: (threads) => node("tfjs-process", threads, "cpu"),
  },
  {
    name: "tfjs-node",
    does: ["training", "scoring"],
    threaded: true,
    inNode: true,
    needs: [".peers/npm/node_modules/@tensorflow/tfjs-node/lib/napi-v8/tfjs_binding.node"],
    command: (threads) => node("tfjs-process", threads, "node"),
  },
  {
    name: "onnxruntime-node",
    does: ["scoring"],
    threaded: true,
    inNode: true,
    needs: [".peers/npm/node_modules/onnxruntime-node", ".peers/onnx"],
    command: (threads) => node("onnxruntime-process", threads),
  },
  {
    name: "pytorch",
    does: ["training", "scoring"],
    threaded: true,
    inNode: false,
    needs: [".peers/pytorch/bin/python"],
    command: (threads) => python("pytorch", "pytorch", threads),
  },
  {
    name: "keras",
    does: ["training", "scoring"],
    threaded: true,
    inNode: false,
    needs: [".peers/keras/bin/python"],
    command: (threads) => python("keras", "keras_tensorflow", threads),
  },
  {
    // Not what Keras does by itself on a processor, but what its users can ask for.
    name: "keras-xla",
    does: ["training", "scoring"],
    threaded: true,
    inNode: false,
    needs: [".peers/keras/bin/python"],
    command: (threads) => python("keras", "keras_tensorflow", threads, "xla"),
  },
];

/** Why a peer cannot be started, or undefined. */
export function absence({ needs }: Peer): string | undefined {
  const missing = needs.find((path) => !existsSync(new URL(path, root)));
  return missing === undefined
    ? undefined
    : `${missing} is not there; run \`node bench/peers/install.mjs engine\` to install the peers`;
}

/** The environment of a peer. Libraries make pools of threads before anybody can tell them otherwise. */
export function peerEnv(threads: number): NodeJS.ProcessEnv {
  const names = ["OMP_NUM_THREADS", "MKL_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"];
  const env: NodeJS.ProcessEnv = { ...process.env, PYTHONDONTWRITEBYTECODE: "1" };
  for (const name of names) env[name] = String(threads);
  // Set on some machines for old builds of OpenBLAS, and slow in new ones.
  delete env.OPENBLAS_CORETYPE;
  delete env.OPENBLAS_L2_SIZE;
  return env;
}

function node(file: string, threads: number, ...rest: readonly string[]): readonly string[] {
  return [process.execPath, fileURLToPath(new URL(`${file}.js`, import.meta.url)), String(threads), ...rest];
}

function python(venv: string, file: string, threads: number, ...rest: readonly string[]): readonly string[] {
  const path = (relative: string) => fileURLToPath(new URL(relative, root));
  return [path(`.peers/${venv}/bin/python`), path(`bench/peers/${file}.py`), String(threads), ...rest];
}
