// tfjs as a peer, on one of its backends. argv: number of threads, backend. tfjs-node takes its threads from the environment.
import { createRequire } from "node:module";
import type { LayersModel, Tensor } from "@tensorflow/tfjs";
import { type Job, type Prepare, readData, serve, split } from "./lines.ts";
import { root } from "./root.ts";
import { registerLayers, type Tf } from "./tfjs-layers.ts";

const backend = process.argv[3] as "cpu" | "wasm" | "node";
// What tfjs prints must not stand between the lines.
console.log = console.error;
console.info = console.error;
const tf = await load();
registerLayers(tf);
await serve({ hello: { version: tf.version_core }, prepare });

/** The plain backend is a development dependency; the others are in .peers/. */
async function load(): Promise<Tf> {
  if (backend === "cpu") {
    const plain = await import("@tensorflow/tfjs");
    await plain.setBackend("cpu");
    return plain;
  }
  const require = createRequire(new URL(".peers/npm/package.json", root));
  if (backend === "node") return require("@tensorflow/tfjs-node") as Tf;
  const withWasm = require("@tensorflow/tfjs") as Tf;
  require("@tensorflow/tfjs-backend-wasm");
  if (!(await withWasm.setBackend("wasm"))) throw new Error("the WASM backend does not start");
  return withWasm;
}

async function prepare(request: Prepare): Promise<Job> {
  const { topology, mode, batch, loss, learningRate } = request;
  // Models of the work before may have layers of the same names.
  tf.disposeVariables();
  const model = (await tf.models.modelFromJSON({
    modelTopology: topology,
  } as unknown as Parameters<typeof tf.models.modelFromJSON>[0])) as LayersModel;
  const data = await readData(request);
  const size = (shape: readonly number[]) => shape.reduce((a, b) => a * b, 1);
  const tensors = (values: Float32Array, shape: readonly number[]) =>
    split(values, size(shape), batch).map((part) => tf.tensor(part, [batch, ...shape]));
  const xs = tensors(data.x, request.inputShape);
  const dispose = () => {
    model.dispose();
    tf.dispose([xs, ys]);
  };
  const ys = mode === "training" ? tensors(data.y, request.targetShape) : [];
  const job = { parameters: model.countParams(), dispose };
  if (mode === "scoring") {
    // Not `predict`: it frees a tensor that a layer takes twice, as self-attention does, before the second use. "training" keeps it from
    // that, and changes nothing else: no layer here differs between the two.
    const once = (x: Tensor) => (model.apply(x, { training: true }) as Tensor).dataSync();
    const score = (units: number) => {
      for (let i = 0; i < units; i++) tf.tidy(() => once(xs[i % xs.length]!));
      return null;
    };
    return { ...job, run: async (units) => score(units) };
  }
  const losses = { mse: "meanSquaredError", sparseCategoricalCrossentropy: loss } as const;
  model.compile({ optimizer: tf.train.adam(learningRate), loss: losses[loss] });
  let step = 0;
  return {
    ...job,
    async run(units) {
      let last: number | number[] = Number.NaN;
      for (let i = 0; i < units; i++, step++)
        last = await model.trainOnBatch(xs[step % xs.length]!, ys[step % ys.length]!);
      return Array.isArray(last) ? last[0]! : last;
    },
  };
}
