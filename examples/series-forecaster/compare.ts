// Trains the same forecasters on the same windows with the engine and with tfjs, from several seeds, and says each one's loss on held-back rows.
//   node dist/examples/series-forecaster/compare.js SERIES... [--network gru|lstm|attention] [--epochs 3] [--seeds 3] [--tfjs PATH]
// Both start from the same weights and see the batches in the same order, so that they differ by rounding alone. tfjs is @tensorflow/tfjs-node where it is
// installed, or the package at PATH. Without --network, all three.
import { createRequire } from "node:module";
import { basename, resolve } from "node:path";
import { parseArgs } from "node:util";
import { compile, type Model } from "starling/models";
import { NETWORKS, type Network, networkOf, TRAINING } from "./networks.ts";
import { readTask, type Task } from "./task.ts";
import { inTfjs, registerLayers, type Tf } from "./tfjs-layers.ts";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    network: { type: "string" },
    epochs: { type: "string", default: "3" },
    seeds: { type: "string", default: "3" },
    tfjs: { type: "string" },
  },
});
const networks = values.network === undefined ? NETWORKS : [values.network as Network];
if (positionals.length === 0 || !networks.every((kind) => NETWORKS.includes(kind))) {
  console.error(
    `usage: compare.js SERIES... [--network ${NETWORKS.join("|")}] [--epochs N] [--seeds N] [--tfjs PATH]`,
  );
  process.exit(2);
}
const epochs = Number(values.epochs);
const tfjs = values.tfjs === undefined ? "@tensorflow/tfjs-node" : resolve(values.tfjs);
const tf = createRequire(import.meta.url)(tfjs) as Tf;
registerLayers(tf);

for (const file of positionals) {
  const task = await readTask(file);
  const series = basename(file).replace(/\..*/, "");
  console.log(`${series}: ${task.trained.count} windows, persistence ${task.persistence.toFixed(5)}`);
  for (const kind of networks) {
    const differences: number[] = [];
    for (let seed = 1; seed <= Number(values.seeds); seed++) {
      const { ours, theirs } = await bothOf(kind, task, seed);
      const difference = (ours.loss - theirs.loss) / theirs.loss;
      differences.push(difference);
      console.log(
        `${series}  ${kind}  seed ${seed}  held back: starling ${ours.loss.toFixed(5)}  tfjs ${theirs.loss.toFixed(5)}  ` +
          `${percent(difference)}  windows/s: ${ours.speed} and ${theirs.speed}`,
      );
    }
    const mean = (of: readonly number[]) => of.reduce((sum, value) => sum + value, 0) / of.length;
    console.log(
      `${series}  ${kind}  starling - tfjs: ${percent(mean(differences))} on average over ${differences.length} seeds, ` +
        `${percent(mean(differences.map(Math.abs)))} without the sign`,
    );
  }
}

async function bothOf(kind: Network, task: Task, seed: number) {
  const topology = networkOf(kind, task.window, task.channels);
  const own = await compile(topology, { seed, maxBatch: TRAINING.batchSize });
  const other = await compile(inTfjs(topology), { seed, maxBatch: TRAINING.batchSize, engine: "tfjs", tf });
  if (JSON.stringify(other.layout) !== JSON.stringify(own.layout))
    throw new Error(`the ${kind} network of tfjs has other weights than the engine's`);
  other.setWeights(own.weights());
  return { ours: await trained(own, task, seed), theirs: await trained(other, task, seed) };
}

async function trained(model: Model, task: Task, seed: number) {
  const began = performance.now();
  await model.fit(task.trained, { ...TRAINING, epochs, seed });
  const seconds = (performance.now() - began) / 1000;
  const { loss } = model.evaluate(task.heldBack);
  model.dispose();
  return { loss, speed: Math.round((task.trained.count * epochs) / seconds) };
}

function percent(share: number): string {
  return `${share < 0 ? "" : "+"}${(100 * share).toFixed(4)} %`;
}
