import { blueprintFor, type DetectorName, detectorNames, kindOf } from "../../../models/detectors/catalog.ts";
import type { Detector, Recent } from "../../../models/detectors/detector.ts";
import { openDetector } from "../../../models/detectors/open.ts";
import { createRandom } from "../../../models/engine/random.ts";
import { DetectorSpec, TrainingSpec } from "../../../protocol/task.ts";

export const channels = 3;

/** Three sine waves with noise; channel 1 carries a fault in `faulty` rows. */
export function waves(rows: number, seed: number, faulty: (row: number) => boolean = () => false): Recent {
  const random = createRandom(seed);
  const values = Float32Array.from({ length: rows * channels }, (_, i) => {
    const row = Math.floor(i / channels);
    const channel = i % channels;
    const fault = faulty(row) && channel === 1 ? 1.5 : 0;
    return 20 + 5 * (Math.sin(row / 6 + channel) + 0.05 * random.normal() + fault);
  });
  return { values, rows, channels };
}

/** The last wave is a picture of one pixel, for the kind that must have one. */
export const onePixel = (name: string | undefined) =>
  name === "multimodal-autoencoder" ? { height: 1, width: 1 } : {};

export function spec(more: Partial<DetectorSpec> = {}): DetectorSpec {
  const options = { ...onePixel(more.name), ...more.options };
  return DetectorSpec.parse({ window: 16, stride: 4, adaptRows: 200, ...more, options });
}

export async function open(detectorSpec: DetectorSpec, of = channels): Promise<Detector> {
  const topology = JSON.stringify(await blueprintFor(detectorSpec, of));
  return openDetector({ spec: detectorSpec, topology, channels: of, seed: 1, statistics: null });
}

export async function trained(detectorSpec = spec(), recent = waves(2000, 1)): Promise<Detector> {
  const detector = await open(detectorSpec, recent.channels);
  await detector.train(recent, { training: TrainingSpec.parse({ epochs: 8, learningRate: 0.01 }), seed: 2 });
  return detector;
}

/** Kinds that learn what is normal from rows of sensors alone. */
export const unsupervised: readonly DetectorName[] = (
  await Promise.all(
    detectorNames.map(async (name) => {
      const { input, supervised } = await kindOf(name);
      return input !== "images" && !supervised && name !== "layers-model" ? [name] : [];
    }),
  )
).flat();
