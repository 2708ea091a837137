// onnxruntime-node as a peer: scoring alone. argv: number of threads.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import { type Job, type Prepare, readData, serve, split } from "./lines.ts";
import { root } from "./root.ts";

/** The part of onnxruntime-node that is used here: it is not a dependency of ours, so neither are its types. */
interface Onnxruntime {
  readonly Tensor: new (type: "float32", data: Float32Array, dims: readonly number[]) => object;
  readonly InferenceSession: {
    create(
      file: string,
      options: Readonly<Record<string, unknown>>,
    ): Promise<{
      readonly inputMetadata: readonly { readonly shape: readonly number[] }[];
      run(feeds: { x: object }): Promise<{ readonly y: { readonly data: Float32Array } }>;
      release(): Promise<void>;
    }>;
  };
}

const threads = Number(process.argv[2]);
const file = new URL(".peers/npm/package.json", root);
const require = createRequire(file);
const ort = require("onnxruntime-node") as Onnxruntime;
const { version } = JSON.parse(
  readFileSync(new URL("node_modules/onnxruntime-node/package.json", file), "utf8"),
) as { version: string };
await serve({ hello: { version }, prepare });

async function prepare(request: Prepare): Promise<Job> {
  if (request.mode !== "scoring") throw new Error("onnxruntime-node scores and does not train");
  const model = fileURLToPath(new URL(`.peers/onnx/${request.network}.onnx`, root));
  const session = await ort.InferenceSession.create(model, {
    intraOpNumThreads: threads,
    interOpNumThreads: 1,
    executionMode: "sequential",
    graphOptimizationLevel: "all",
  });
  const { x } = await readData(request);
  // The model's own shape: PyTorch's, with the channels first. The values are noise, so they serve in either.
  const { shape } = session.inputMetadata[0]!;
  const size = shape.reduce((a, b) => a * b, 1);
  const windows = split(x, size, 1).map((part) => ({ x: new ort.Tensor("float32", part, shape) }));
  return {
    // The weights of a session cannot be counted; they are those of the PyTorch model that it was exported from.
    parameters: null,
    async run(units) {
      for (let i = 0; i < units; i++) (await session.run(windows[i % windows.length]!)).y.data;
      return null;
    },
    dispose: () => void session.release(),
  };
}
