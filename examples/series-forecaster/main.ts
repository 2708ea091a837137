// Trains a forecaster of the next row on a real series, and says the loss on held-back rows after every epoch.
//   node dist/examples/series-forecaster/main.js SERIES.npy [--network gru|lstm|attention] [--epochs 5] [--seed 1]
// SERIES: (rows, channels), .npy, .npy.gz or .csv; the first 80 % of the rows are trained on.
import { parseArgs } from "node:util";
import { SingleBar } from "cli-progress";
import { compile } from "starling/models";
import { NETWORKS, type Network, networkOf, TRAINING } from "./networks.ts";
import { readTask } from "./task.ts";

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    network: { type: "string", default: "gru" },
    epochs: { type: "string", default: "5" },
    seed: { type: "string", default: "1" },
  },
});
const [file] = positionals;
if (file === undefined || !NETWORKS.includes(options.network as Network)) {
  console.error(`usage: main.js SERIES [--network ${NETWORKS.join("|")}] [--epochs N] [--seed N]`);
  process.exit(2);
}
const epochs = Number(options.epochs);
const seed = Number(options.seed);

const { window, channels, trained, heldBack, persistence } = await readTask(file);
const { batchSize } = TRAINING;
const model = await compile(networkOf(options.network as Network, window, channels), {
  seed,
  maxBatch: batchSize,
});
console.log(model.summary());
console.log(`persistence (the next row is this one): loss ${persistence.toFixed(4)}`);
const batches = Math.ceil(trained.count / batchSize) * epochs;
const bar = new SingleBar({ format: "{bar} {percentage} %  loss {loss}", clearOnComplete: true });
bar.start(batches, 0, { loss: "-" });
const began = performance.now();
await model.fit(trained, {
  ...TRAINING,
  epochs,
  seed,
  onBatch: ({ batch, loss }) => bar.update(batch + 1, { loss: loss.toFixed(4) }),
  onEpoch({ epoch, loss }) {
    if (process.stderr.isTTY) process.stderr.write("\r\x1b[K"); // the bar's line
    const held = model.evaluate(heldBack).loss;
    console.log(`epoch ${epoch + 1} of ${epochs}  loss ${loss.toFixed(4)}  held back ${held.toFixed(4)}`);
  },
});
bar.stop();
const seconds = (performance.now() - began) / 1000;
console.log(`${Math.round((trained.count * epochs) / seconds)} windows/s, ${seconds.toFixed(1)} s in all`);
model.dispose();
