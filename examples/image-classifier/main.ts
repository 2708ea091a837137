// Trains the classic image network, and says loss and accuracy after every epoch.
//   node dist/examples/image-classifier/main.js FOLDER [--epochs 5] [--seed 1]
// FOLDER holds images.npy and labels.npy: see prepare.ts.
import { join } from "node:path";
import { parseArgs } from "node:util";
import { SingleBar } from "cli-progress";
import { compile } from "starling/models";
import { loadImages } from "./data.ts";
import { network } from "./network.ts";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { epochs: { type: "string", default: "5" }, seed: { type: "string", default: "1" } },
});
const [folder] = positionals;
if (folder === undefined) {
  console.error("usage: main.js FOLDER [--epochs N] [--seed N]");
  process.exit(2);
}
const epochs = Number(values.epochs);
const batchSize = 32;
const seed = Number(values.seed);

const { train, test } = await loadImages(join(folder, "images.npy"), join(folder, "labels.npy"));
const model = await compile(network, { seed, maxBatch: batchSize });
console.log(model.summary());

const loss = "sparseCategoricalCrossentropy";
const batches = Math.ceil(train.count / batchSize);
const bar = new SingleBar({
  format: "{bar} {percentage} %  epoch {epoch} of {epochs}  loss {loss}",
  clearOnComplete: true,
});
bar.start(batches * epochs, 0, { epoch: 1, epochs, loss: "-" });
const began = performance.now();
await model.fit(train.x, train.y, {
  epochs,
  batchSize,
  seed,
  loss,
  optimizer: { name: "adam", learningRate: 0.001 },
  onBatch: ({ epoch, batch, loss: now }) => bar.update(batch + 1, { epoch: epoch + 1, loss: now.toFixed(4) }),
  onEpoch({ epoch, loss: mean }) {
    const { accuracy } = model.evaluate(test.x, test.y, { loss, metrics: ["accuracy"] });
    if (process.stderr.isTTY) process.stderr.write("\r\x1b[K"); // the bar's line
    console.log(
      `epoch ${epoch + 1} of ${epochs}  loss ${mean.toFixed(4)}  test accuracy ${(100 * accuracy!).toFixed(2)} %`,
    );
  },
});
bar.stop();
const seconds = (performance.now() - began) / 1000;
console.log(`${Math.round((train.count * epochs) / seconds)} images/s, ${seconds.toFixed(1)} s in all`);
model.dispose();
