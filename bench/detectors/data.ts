import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { readFolder } from "../../models/data/folder.ts";
import { readSeries } from "../../models/data/read.ts";
import type { Recent } from "../../models/detectors/detector.ts";
import { createRandom } from "../../models/engine/random.ts";
import { root } from "../engine/root.ts";

export interface BenchData {
  /** For people. */
  readonly from: string;
  readonly train: Recent;
  readonly test: Recent;
}

/** As a machine of SMD has. */
const made = { channels: 38, trainRows: 23_694, testRows: 12_000 };
/** The images of one device of Fashion-MNIST: a tenth of a class's 6,000. */
const images = { side: 28, train: 600, test: 1_000 };

/** One machine of SMD where it is at hand, else waves of the same size: detectors take the same time for both. */
export async function seriesData(): Promise<BenchData> {
  const folder = fileURLToPath(new URL("../shared/data/smd/", root));
  if (!existsSync(folder))
    return { from: "waves of SMD's size", train: waves(made.trainRows), test: waves(made.testRows) };
  const [files] = await readFolder(folder);
  const train = await readSeries(files!.train);
  const test = await readSeries(files!.test);
  return { from: `SMD, ${files!.device}`, train: withLabels(train), test };
}

function waves(rows: number): Recent {
  const { channels } = made;
  const random = createRandom(rows);
  const values = Float32Array.from({ length: rows * channels }, (_, i) => {
    const c = i % channels;
    return Math.sin(Math.floor(i / channels) / (5 + c)) + 0.1 * random.normal();
  });
  return withLabels({ values, rows, channels });
}

/** Every row with a picture of noise after its channels, so that there are `channels` of them. */
export function seriesWithPictures(series: BenchData, channels: number): BenchData {
  const random = createRandom(2);
  const wide = (data: Recent): Recent => {
    const values = new Float32Array(data.rows * channels);
    for (let row = 0; row < data.rows; row++) {
      const at = row * channels;
      for (let c = data.channels; c < channels; c++) values[at + c] = random.uniform();
      values.set(data.values.subarray(row * data.channels, (row + 1) * data.channels), at);
    }
    return { ...data, values, channels };
  };
  return { from: series.from, train: wide(series.train), test: wide(series.test) };
}

export function imageData(): BenchData {
  const channels = images.side ** 2;
  const random = createRandom(1);
  const some = (rows: number): Recent => ({
    values: Float32Array.from({ length: rows * channels }, () => random.uniform()),
    rows,
    channels,
  });
  return {
    from: `${images.train} images of noise`,
    train: withLabels(some(images.train)),
    test: some(images.test),
  };
}

/** For kinds that learn from them: one row in ten is of another class. */
function withLabels(data: Recent): Recent {
  return { ...data, labels: Uint8Array.from({ length: data.rows }, (_, row) => Number(row % 10 === 0)) };
}
