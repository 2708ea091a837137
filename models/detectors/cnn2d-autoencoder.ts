import { aloneStream } from "./alone-stream.ts";
import type { Change } from "./augment/change.ts";
import { changeFor } from "./augmentation.ts";
import { compileImageNetwork, halve } from "./image-network.ts";
import { imageShapeOf, imageShapeOptions } from "./image-shape.ts";
import type { DetectorKind, Estimator, EstimatorOptions, ScaledPart } from "./kind.ts";
import { imageObjectives, imageOutputs } from "./rotation-pretext.ts";
import { rowSamples, rowsOf } from "./row-samples.ts";
import { graph } from "./topology.ts";

export const cnn2dAutoencoder: DetectorKind = {
  title: "squeezes an image through a few numbers and back; shows which pixels it can't explain",
  about:
    "Says where in the image the fault is. Finds what looks unlike normal images less surely than cnn2d-rotation. Masci et al. 2011, Stacked Convolutional Auto-Encoders, ICANN, LNCS 6791.",
  input: "images",
  learns: "by gradients",
  scaling: "none",
  normalized: true,
  augments: ["jitter", "masking", "mixup"],
  pretexts: ["rotation"],
  hyperparameters: {
    ...imageShapeOptions,
    filters: {
      default: 16,
      least: 1,
      most: 256,
      about: "filters of the first convolution; the second has twice as many",
      source: "as cnn2d-rotation",
      search: [8, 16],
    },
    code: {
      default: 16,
      least: 1,
      most: 256,
      about: "numbers that an image must go through",
      source: "about half of the 30 components that PCA is given on Fashion-MNIST; not tuned",
      search: [8, 16, 32],
    },
  },
  blueprint(options) {
    const { height, width, depth } = imageShapeOf(options);
    const { filters, code } = options.tuned as { filters: number; code: number };
    const g = graph(options.spec.name);
    const image = g.input("image", [height, width, depth]);
    const edges = halve(g, { name: "edges", filters, kernel: 5, from: image });
    const parts = halve(g, { name: "parts", filters: 2 * filters, kernel: 3, from: edges });
    const flat = g.layer("Flatten", "flat", {}, parts);
    const dense = (name: string, units: number, activation: string, from: string) =>
      g.layer("Dense", name, { units, activation, use_bias: true }, from);
    const squeezed = dense("code", code, "linear", flat);
    // Sizes that four does not divide are made larger and cut.
    const small = [Math.ceil(height / 4), Math.ceil(width / 4)] as const;
    const spread = dense("spread", small[0] * small[1] * filters, "relu", squeezed);
    const grid = g.layer("Reshape", "grid", { target_shape: [...small, filters] }, spread);
    const twice = (name: string, filters: number, kernel: number, activation: string, from: string) => {
      const config = {
        filters,
        kernel_size: [kernel, kernel],
        strides: [2, 2],
        padding: "same",
        activation,
        use_bias: true,
      };
      return g.layer("Conv2DTranspose", name, config, from);
    };
    // A sigmoid, as pixels are 0..1.
    const back = twice("image-again", depth, 5, "sigmoid", twice("edges-again", filters, 3, "relu", grid));
    const over = [small[0] * 4 - height, small[1] * 4 - width] as const;
    const cropping = over.map((size) => [0, size]);
    const own = over.some((size) => size > 0) ? g.layer("Cropping2D", "cut", { cropping }, back) : back;
    return g.topology(...imageOutputs(g, options, { own, features: squeezed }));
  },
  open: openImageAutoencoder,
};

async function openImageAutoencoder(options: EstimatorOptions): Promise<Estimator> {
  const model = await compileImageNetwork(options);
  const samples = (parts: readonly ScaledPart[], change?: Change) =>
    rowSamples(rowsOf(parts), ({ values }, y) => y.set(values), change);
  const { channels } = options;
  const [height, width, depth] = model.inputShape as [number, number, number];
  const objectives = imageObjectives(model, "mse");
  return {
    layout: model.layout,
    weights: () => model.weights(),
    setWeights: (flat) => model.setWeights(flat),
    samples: (parts) => samples(parts).count,
    async train(parts, options) {
      if (options.training.pretext === "rotation") return objectives.pretrain(parts, options);
      const change = await changeFor(options, { rows: 1, channels, image: { height, width, depth } });
      return objectives.fit(samples(parts, change), options);
    },
    loss: (parts) => objectives.loss(samples(parts)),
    residuals: channels,
    stream: () =>
      aloneStream(channels, (row, target, out) => {
        const again = model.predict(row);
        for (let c = 0; c < channels; c++) out[c] = target[c]! - again[c]!;
      }),
    dispose: () => model.dispose(),
  };
}
