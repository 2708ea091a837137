import { createRandom } from "../engine/random.ts";
import type { Samples } from "../engine/samples.ts";
import type { Change } from "./augment/change.ts";
import type { TransformImage } from "./image-transforms.ts";
import type { ScaledPart } from "./kind.ts";
import { rowsOf } from "./row-samples.ts";

export interface TransformedOptions {
  readonly transforms: readonly TransformImage[];
  /** Transforms of an image in one pass over the samples. */
  readonly draws: number;
  readonly channels: number;
  /** Of the order in which each image has its transforms: a round of the fleet must not see the same few again. */
  readonly seed: number;
  /** Of the image's input, before it is transformed. */
  readonly change?: Change | undefined;
}

/**
 * x: transformed images, y: by which transform. `draws` samples an image; where they are read once an epoch, each epoch has the next transforms of every
 * image, and begins again after all of them.
 */
export function transformedSamples(
  parts: readonly ScaledPart[],
  { transforms, draws, channels, seed, change }: TransformedOptions,
): Samples {
  const { count: images, at } = rowsOf(parts);
  const random = createRandom(seed);
  const orders = Array.from({ length: images }, () => {
    const order = Uint32Array.from(transforms.keys());
    random.shuffle(order);
    return order;
  });
  const count = images * draws;
  let read = 0;
  const valuesAt = (index: number) => at(index).values;
  return {
    count,
    read(indexes, x, y) {
      for (let k = 0; k < indexes.length; k++) {
        const epoch = Math.floor(read++ / count);
        const image = Math.floor(indexes[k]! / draws);
        const values = change?.(image, images, valuesAt).seen ?? valuesAt(image);
        const order = orders[image]!;
        const t = order[((indexes[k]! % draws) + epoch * draws) % order.length]!;
        transforms[t]!(values, x.subarray(k * channels, (k + 1) * channels));
        y[k] = t;
      }
    },
  };
}
