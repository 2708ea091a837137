// Trains the same network on the same images with the engine and with tfjs, from several seeds, and says each one's test accuracy.
//   node dist/examples/image-classifier/compare.js FOLDER [--epochs 3] [--seeds 3] [--images 10000] [--tfjs PATH]
// tfjs is @tensorflow/tfjs-node where it is installed, or the package at PATH.
import { createRequire } from "node:module";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { type CompileOptions, compile } from "starling/models";
import { loadImages } from "./data.ts";
import { network } from "./network.ts";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    epochs: { type: "string", default: "3" },
    seeds: { type: "string", default: "3" },
    images: { type: "string", default: "10000" },
    tfjs: { type: "string" },
  },
});
const [folder] = positionals;
if (folder === undefined) {
  console.error("usage: compare.js FOLDER [--epochs N] [--seeds N] [--images N] [--tfjs PATH]");
  process.exit(2);
}
const size = 28 * 28;
const { train, test } = await loadImages(join(folder, "images.npy"), join(folder, "labels.npy"));
const count = Math.min(train.count, Number(values.images));
const [x, y] = [train.x.subarray(0, count * size), train.y.subarray(0, count)];
const loss = "sparseCategoricalCrossentropy";
const tf = values.tfjs && createRequire(import.meta.url)(resolve(values.tfjs));
const engines = [{ engine: "starling" }, { engine: "tfjs", ...(tf && { tf }) }] as const;

const differences: number[] = [];
for (let seed = 1; seed <= Number(values.seeds); seed++) {
  const accuracies: number[] = [];
  for (const options of engines) {
    const model = await compile(network, { seed, ...options } as CompileOptions);
    const began = performance.now();
    await model.fit(x, y, {
      epochs: Number(values.epochs),
      batchSize: 32,
      seed,
      loss,
      optimizer: { name: "adam", learningRate: 0.001 },
    });
    const seconds = (performance.now() - began) / 1000;
    const { accuracy } = model.evaluate(test.x, test.y, { loss, metrics: ["accuracy"] });
    accuracies.push(100 * accuracy!);
    const speed = Math.round((count * Number(values.epochs)) / seconds);
    console.log(
      `seed ${seed}  ${options.engine.padEnd(8)}  ${(100 * accuracy!).toFixed(2)} %  ${speed} images/s`,
    );
    model.dispose();
  }
  differences.push(accuracies[0]! - accuracies[1]!);
}
const mean = differences.reduce((sum, difference) => sum + difference, 0) / differences.length;
console.log(`starling - tfjs: ${mean.toFixed(2)} points on average over ${differences.length} seeds`);
