import { FleetError } from "../../protocol/errors.ts";
import { createRandom } from "../engine/random.ts";
import type { ReadLimits } from "./bytes.ts";
import type { DeviceSet } from "./device-set.ts";
import { type IdxArray, readIdx } from "./idx.ts";
import { channelNames, type Series } from "./series.ts";
import type { ImagesDescription } from "./set-description.ts";
import { findFile } from "./set-files.ts";

/** Images, and the class of each. */
interface Images {
  /** (count, height, width), 0..255. */
  readonly images: IdxArray;
  readonly classes: Uint8Array;
}

/** What the tasks of one folder share, so that its files are read once. */
export interface ImageFolder {
  /** (height, width, 1) */
  readonly shape: readonly number[];
  /** Devices of the task in which `normal` is the normal class; without it, of the task to tell all classes apart. */
  devices(normal?: number): DeviceSet[];
}

/** Reads the training images, whose shape is the set's; the test images are read when the first device is loaded. */
export async function openImages(folder: string, options: ImagesDescription): Promise<ImageFolder> {
  const train = await readImages(folder, options.train, options.classes.length);
  const [, height, width] = train.images.shape as [number, number, number];
  let reading: Promise<{ series: Series; classes: Uint8Array }> | undefined;
  const readTest = (limits: ReadLimits) => {
    reading ??= readTestPart(folder, { options, train, limits }).catch((error) => {
      reading = undefined; // A stopped reading can be tried again.
      throw error;
    });
    return reading;
  };
  return {
    shape: [height, width, 1],
    devices(normal) {
      const dealt = deal(train.classes, normal, options);
      return dealt.map(
        (indexes, d): DeviceSet => ({
          device: `device-${String(d + 1).padStart(String(options.devices).length, "0")}`,
          judged: true,
          async load(limits = {}) {
            const { series, classes } = await readTest(limits);
            return {
              train: seriesOf(train.images, indexes),
              trainClasses: Uint8Array.from(indexes, (i) => train.classes[i]!),
              test: series,
              ...(normal === undefined
                ? {}
                : { labels: Uint8Array.from(classes, (c) => Number(c !== normal)) }),
              testClasses: classes,
              notes: [],
            };
          },
        }),
      );
    },
  };
}

async function readTestPart(
  folder: string,
  { options, train, limits }: { options: ImagesDescription; train: Images; limits: ReadLimits },
): Promise<{ series: Series; classes: Uint8Array }> {
  const { images, classes } = await readImages(folder, options.test, options.classes.length, limits);
  const size = (shape: readonly number[]) => shape.slice(1).join(" x ");
  if (size(images.shape) !== size(train.images.shape))
    throw new FleetError(
      "BAD_INPUT",
      `${folder}: training images are ${size(train.images.shape)} and test images ${size(images.shape)}; give both one size`,
    );
  return { series: seriesOf(images, classes.keys()), classes };
}

async function readImages(
  folder: string,
  files: { readonly images: string; readonly labels: string },
  classCount: number,
  limits: ReadLimits = {},
): Promise<Images> {
  const bad = (path: string, what: string) => new FleetError("BAD_INPUT", `${path}: ${what}`);
  const path = await findFile(folder, files.images);
  const images = await readIdx(path, limits);
  if (images.shape.length !== 3)
    throw bad(path, `has shape (${images.shape.join(", ")}); images are (count, height, width)`);
  const labelPath = await findFile(folder, files.labels);
  const { shape, values: classes } = await readIdx(labelPath, limits);
  if (shape.length !== 1 || shape[0] !== images.shape[0])
    throw bad(
      labelPath,
      `has shape (${shape.join(", ")}); one class for each of ${images.shape[0]} images is needed`,
    );
  const wrong = classes.findIndex((c) => c >= classCount);
  if (wrong >= 0)
    throw bad(
      labelPath,
      `image ${wrong + 1} has class ${classes[wrong]}; the set names ${classCount} classes`,
    );
  return { images, classes };
}

/** Images of the normal class, or of all, for each device: dealt like cards, so that devices differ by at most one image. */
function deal(
  classes: Uint8Array,
  normal: number | undefined,
  { devices, seed, name }: ImagesDescription,
): number[][] {
  const wanted = (i: number) => normal === undefined || classes[i] === normal;
  const order = Uint32Array.from([...classes.keys()].filter(wanted));
  if (order.length < devices)
    throw new FleetError(
      "BAD_INPUT",
      `${name}: ${normal === undefined ? "the set" : `class ${normal}`} has ${order.length} training images for ${devices} devices; take fewer devices`,
    );
  createRandom(seed, normal ?? ALL_CLASSES).shuffle(order);
  return Array.from({ length: devices }, (_, d) => [...order.filter((_, i) => i % devices === d)]);
}

/** Images as rows of 0..1. */
function seriesOf({ shape, values }: IdxArray, indexes: Iterable<number>): Series {
  const channels = shape[1]! * shape[2]!;
  const list = [...indexes];
  const out = new Float32Array(list.length * channels);
  list.forEach((index, row) => {
    const from = index * channels;
    for (let c = 0; c < channels; c++) out[row * channels + c] = values[from + c]! / MOST_GREY;
  });
  return { rows: list.length, channels, values: out, names: channelNames(channels) };
}

const MOST_GREY = 255;
/** Classes are bytes: the order of all images is drawn from a stream of its own. */
const ALL_CLASSES = 256;
