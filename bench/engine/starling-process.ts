// Our engine as a peer. argv: number of threads.
import { readFileSync } from "node:fs";
import { compile, type Model } from "../../models/engine/index.ts";
import { type Job, type Prepare, readData, serve, split } from "./lines.ts";
import { root } from "./root.ts";

const { version } = JSON.parse(readFileSync(new URL("package.json", root), "utf8")) as { version: string };
const threads = Number(process.argv[2] ?? 1);
await serve({ hello: { version }, prepare });

async function prepare(request: Prepare): Promise<Job> {
  const { topology, batch, mode, inputShape } = request;
  const model = await compile(topology, { seed: 1, maxBatch: batch });
  const data = await readData(request);
  const job = { parameters: model.parameters, dispose: () => model.dispose() };
  if (mode === "training") return { ...job, run: trainer(model, request, data) };
  if (mode === "scoring") {
    const windows = split(
      data.x,
      inputShape.reduce((a, b) => a * b, 1),
      batch,
    );
    return { ...job, run: async (units) => repeat(units, windows, model.predict) };
  }
  const rows = split(data.x, inputShape.at(-1)!, 1);
  const stepper = model.stepper();
  return { ...job, run: async (units) => repeat(units, rows, stepper.step) };
}

function trainer(
  model: Model,
  { batch: batchSize, loss, learningRate }: Prepare,
  { x, y }: { readonly x: Float32Array; readonly y: Float32Array },
) {
  const samples = x.length / model.inputShape.reduce((a, b) => a * b, 1);
  // A loss that this engine lacks is refused by `fit`, in words, whatever the types say.
  const options = {
    batchSize,
    threads,
    loss: loss as "mse",
    optimizer: { name: "adam", learningRate } as const,
  };
  return async (units: number) => {
    const epochs = Math.ceil((units * batchSize) / samples);
    const { losses } = await model.fit(x, y, {
      ...options,
      epochs,
      maxBatches: units,
      seed: 1,
      shuffle: false,
    });
    return losses.at(-1)!;
  };
}

function repeat(units: number, inputs: readonly Float32Array[], once: (x: Float32Array) => unknown): null {
  for (let i = 0; i < units; i++) once(inputs[i % inputs.length]!);
  return null;
}
