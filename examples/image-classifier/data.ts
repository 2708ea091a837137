import { readNpy } from "starling/models";

export interface Images {
  /** (count, 28, 28, 1), 0..1 */
  readonly x: Float32Array;
  /** (count, 1): the class of each. */
  readonly y: Float32Array;
  readonly count: number;
}

const size = 28 * 28;

/** Reads images (n, 28, 28) or (n, 784), of 0..255 or 0..1, and labels (n), and cuts them 80/20 into what is trained on and what is tested on. */
export async function loadImages(
  imagesFile: string,
  labelsFile: string,
): Promise<{ train: Images; test: Images }> {
  const images = await readNpy(imagesFile);
  const labels = await readNpy(labelsFile);
  const count = labels.values.length;
  if (images.values.length !== count * size)
    throw new Error(
      `${imagesFile} holds ${images.values.length / size} images of 28 x 28, ${labelsFile} holds ${count} labels; they must be as many`,
    );
  const scale = images.dtype === "u1" ? 1 / 255 : 1;
  const x = images.values.map((pixel) => pixel * scale);
  const cut = Math.floor(count * 0.8);
  const part = (from: number, to: number): Images => ({
    x: x.subarray(from * size, to * size),
    y: labels.values.subarray(from, to),
    count: to - from,
  });
  return { train: part(0, cut), test: part(cut, count) };
}
