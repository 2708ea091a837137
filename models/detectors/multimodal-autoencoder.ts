import { FleetError } from "../../protocol/errors.ts";
import type { BlueprintOptions, DetectorKind } from "./kind.ts";
import { openMultimodal } from "./multimodal-estimator.ts";
import { MOST_PATCHES } from "./picture-patches.ts";
import { type Graph, graph } from "./topology.ts";

export const multimodalAutoencoder: DetectorKind = {
  title: "gives a row of sensors and a small picture of the same moment back through one code",
  about:
    "For devices with a camera, a thermal imager or a microphone beside their sensors: a row is the series' channels, then the pixels of the picture (or of a patch of a log-mel spectrogram), flat. It sees faults of either, and where they no longer fit each other. A modality whose values are all missing is marked as such, and the other is judged alone; training hides either at random, so that the network can do without. In the loss both weigh the same. The picture's error counts by patches, a few more or less than the series has channels, so that pixels do not outvote sensors; the pixel in the middle of a patch stands for it. Ngiam et al. 2011, Multimodal Deep Learning, ICML (one code for two modalities, either missing); Neverova et al. 2016 (ModDrop), arXiv 1501.00102.",
  input: "series",
  learns: "by gradients",
  scaling: "channels",
  normalized: true,
  marksMissing: true,
  mustSet: { options: { height: 16, width: 16 }, channels: 38 + 16 * 16 },
  hyperparameters: {
    height: {
      default: 0,
      least: 0,
      most: 256,
      about: "rows of pixels of the picture; has to be set",
      source: "the picture's own",
    },
    width: {
      default: 0,
      least: 0,
      most: 256,
      about: "columns of pixels: the last height * width channels are the picture; has to be set",
      source: "the picture's own",
    },
    code: {
      default: 8,
      least: 1,
      most: 256,
      about: "numbers that a row and its picture must go through together",
      source: "as the other autoencoders; not tuned",
      search: [4, 8, 16],
    },
    units: {
      default: 32,
      least: 1,
      most: 512,
      about: "units of the layer before the code and of the one after it, of each modality",
      source: "as the forecasters' filters; not tuned",
      search: [16, 32, 64],
    },
    filters: {
      default: 8,
      least: 1,
      most: 64,
      about: "filters of the picture's first convolution; the others have twice as many",
      source: "half of cnn2d-autoencoder, for smaller pictures; not tuned",
      search: [8, 16],
    },
    dropout: {
      default: 0.2,
      least: 0,
      most: 0.45,
      real: true,
      about:
        "part of the training samples of which the series is hidden, and of which the picture is; never both",
      source: "Neverova et al. 2016 hide every modality now and then; the part is not tuned",
      search: [0, 0.1, 0.2],
    },
    patches: {
      default: 0,
      least: 0,
      most: MOST_PATCHES,
      about:
        "patches by which the picture's error counts, about; 0: as many as the series has channels, at least 4",
      source: "then both modalities have about as many votes",
    },
  },
  blueprint(options) {
    const { height, width, channels } = shapeOf(options);
    const { code, units, filters } = options.tuned as Record<string, number>;
    const { window, name } = options.spec;
    const g = graph(name);
    const rows = g.input("rows", [window, channels]);
    const picture = g.input("picture", [height, width, 1]);
    // 1 where the series is there, 1 where the picture is: zeros alone would be an average row.
    const there = g.input("there", [2]);
    const small = halvings(height, width);
    const sensors = seriesFeatures(g, { rows, there, window, units: units! });
    const seen = pictureFeatures(g, { picture, there, filters: filters!, units: units!, times: small.times });
    const joined = dense(
      g,
      "joined",
      units!,
      "relu",
      g.layer("Concatenate", "both", { axis: -1 }, sensors, seen),
    );
    const squeezed = dense(g, "code", code!, "linear", joined);
    const row = dense(g, "row", channels, "linear", dense(g, "row_units", units!, "relu", squeezed));
    const back = pictureBack(g, { squeezed, filters: filters!, units: units!, height, width, ...small });
    return g.topology(row, back);
  },
  open: openMultimodal,
};

/** The picture's size, and the channels of the series. Throws BAD_INPUT where there is no series, or no picture. */
function shapeOf({ channels, spec, tuned }: BlueprintOptions) {
  const [height, width] = [tuned.height!, tuned.width!];
  const pixels = height * width;
  if (pixels > 0 && pixels < channels) return { height, width, channels: channels - pixels };
  throw new FleetError(
    "BAD_INPUT",
    pixels === 0
      ? `${spec.name} must be told which channels are the picture: set its options height and width`
      : `${spec.name} can't find a series beside a picture of ${height} x ${width} pixels in ${channels} channels; a row is the series' channels, then ${pixels} pixels`,
  );
}

/** Sides that are left after halving until none is longer than eight. */
function halvings(height: number, width: number) {
  let times = 1;
  while (Math.ceil(Math.max(height, width) / 2 ** times) > 8) times++;
  return { times, rows: Math.ceil(height / 2 ** times), cols: Math.ceil(width / 2 ** times) };
}

function dense(g: Graph, name: string, units: number, activation: string, from: string): string {
  return g.layer("Dense", name, { units, activation, use_bias: true }, from);
}

/** The window by two convolutions that halve its rows, the newest row beside it as it is. */
function seriesFeatures(
  g: Graph,
  { rows, there, window, units }: { rows: string; there: string; window: number; units: number },
): string {
  const halved = (name: string, from: string) =>
    g.layer(
      "Conv1D",
      name,
      { filters: 16, kernel_size: [3], strides: [2], padding: "same", activation: "relu", use_bias: true },
      from,
    );
  const past = g.layer("Flatten", "past", {}, halved("rows_quartered", halved("rows_halved", rows)));
  const newest = g.layer(
    "Flatten",
    "newest",
    {},
    g.layer("Cropping1D", "newest_row", { cropping: [window - 1, 0] }, rows),
  );
  const all = g.layer("Concatenate", "series", { axis: -1 }, past, newest, there);
  return dense(g, "series_units", units, "relu", all);
}

function pictureFeatures(
  g: Graph,
  o: { picture: string; there: string; filters: number; units: number; times: number },
): string {
  let seen = o.picture;
  for (let i = 1; i <= o.times; i++) {
    const config = {
      filters: i === 1 ? o.filters : 2 * o.filters,
      kernel_size: [3, 3],
      strides: [2, 2],
      padding: "same",
      activation: "relu",
      use_bias: true,
      kernel_initializer: { class_name: "HeNormal", config: {} },
    };
    seen = g.layer("Conv2D", `picture_halved${i}`, config, seen);
  }
  const flat = g.layer("Flatten", "picture_flat", {}, seen);
  return dense(
    g,
    "picture_units",
    o.units,
    "relu",
    g.layer("Concatenate", "seen", { axis: -1 }, flat, o.there),
  );
}

/** The picture out of the code: a small grid, doubled; sizes that the doublings do not divide are made larger and cut. */
function pictureBack(
  g: Graph,
  o: {
    squeezed: string;
    filters: number;
    units: number;
    height: number;
    width: number;
    times: number;
    rows: number;
    cols: number;
  },
): string {
  const wide = dense(g, "picture_back_units", o.units, "relu", o.squeezed);
  const spread = dense(g, "spread", o.rows * o.cols * o.filters, "relu", wide);
  let back = g.layer("Reshape", "grid", { target_shape: [o.rows, o.cols, o.filters] }, spread);
  for (let i = 1; i <= o.times; i++) {
    const last = i === o.times;
    const config = {
      filters: last ? 1 : o.filters,
      kernel_size: [3, 3],
      strides: [2, 2],
      padding: "same",
      activation: last ? "linear" : "relu",
      use_bias: true,
    };
    back = g.layer("Conv2DTranspose", `picture_doubled${i}`, config, back);
  }
  const over = [o.rows * 2 ** o.times - o.height, o.cols * 2 ** o.times - o.width] as const;
  if (over.every((size) => size === 0)) return back;
  return g.layer("Cropping2D", "picture_back", { cropping: over.map((size) => [0, size]) }, back);
}
