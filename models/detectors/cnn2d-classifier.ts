import { FleetError } from "../../protocol/errors.ts";
import { aloneStream } from "./alone-stream.ts";
import type { Change } from "./augment/change.ts";
import { changeFor } from "./augmentation.ts";
import { compileImageNetwork, imageFeatures } from "./image-network.ts";
import { imageShapeOf, imageShapeOptions } from "./image-shape.ts";
import type { DetectorKind, Estimator, EstimatorOptions, ScaledPart } from "./kind.ts";
import { imageObjectives, imageOutputs } from "./rotation-pretext.ts";
import { rowSamples, rowsOf, type Target } from "./row-samples.ts";
import { graph } from "./topology.ts";

/** The label of an image whose class is not known: it is learned from in pretraining alone. */
export const UNLABELLED = 255;

export const cnn2dClassifier: DetectorKind = {
  title:
    "learns the classes of labelled images; scores by the probability that an image is of no normal class",
  about:
    "For where faults are known and labelled; one that it has not seen may look normal to it. LeCun et al. 1998, Gradient-based learning applied to document recognition, Proc. IEEE 86.",
  input: "images",
  learns: "by gradients",
  supervised: true,
  scaling: "none",
  normalized: false,
  augments: ["jitter", "masking", "mixup"],
  pretexts: ["rotation"],
  hyperparameters: {
    ...imageShapeOptions,
    classes: { default: 2, least: 2, most: 255, about: "classes that there are", source: "normal and not" },
    normal: {
      default: 1,
      least: 1,
      most: 254,
      about: "classes that are normal: the first so many",
      source: "0 is normal in every label file",
    },
    filters: {
      default: 16,
      least: 1,
      most: 256,
      about: "filters of the first convolution; the second has twice, the third four times as many",
      source: "as cnn2d-rotation",
      search: [8, 16, 24],
    },
    dropout: {
      default: 0.3,
      least: 0,
      most: 0.9,
      real: true,
      about: "part of the features that is left out at random in training",
      source: "between the 0.2 and 0.5 of Srivastava et al. 2014, JMLR 15",
      search: [0, 0.3, 0.5],
    },
  },
  blueprint(options) {
    const { height, width, depth } = imageShapeOf(options);
    const { filters, classes, dropout } = options.tuned as Record<"filters" | "classes" | "dropout", number>;
    const g = graph(options.spec.name);
    const image = g.input("image", [height, width, depth]);
    const features = imageFeatures(g, image, filters);
    const some = g.layer("Dropout", "some", { rate: dropout }, features);
    const own = g.layer("Dense", "class", { units: classes, activation: "softmax", use_bias: true }, some);
    return g.topology(...imageOutputs(g, options, { own, features }));
  },
  open: openImageClassifier,
};

async function openImageClassifier(options: EstimatorOptions): Promise<Estimator> {
  const { classes, normal } = options.tuned as Record<"classes" | "normal", number>;
  if (normal >= classes) {
    throw new FleetError(
      "BAD_INPUT",
      `${options.spec.name} has ${classes} classes and ${normal} normal ones; at least one must not be normal`,
    );
  }
  const model = await compileImageNetwork(options);
  const classOf = (label: number | undefined) => {
    if (label === undefined)
      throw new FleetError(
        "BAD_INPUT",
        `${options.spec.name} learns from classes; give labels with the images`,
      );
    if (label >= classes)
      throw new FleetError(
        "BAD_INPUT",
        `an image has the class ${label}; set the option classes of ${options.spec.name} above it`,
      );
    return label;
  };
  const number = ({ label }: Target, y: Float32Array) => {
    y[0] = classOf(label);
  };
  /** A mixed image is of two classes. */
  const shares = ({ label, other, own }: Target, y: Float32Array) => {
    y.fill(0);
    y[classOf(label)]! += own;
    if (own < 1) y[classOf(other)]! += 1 - own;
  };
  const labelled = (parts: readonly ScaledPart[]) => rowsOf(parts, (label) => label !== UNLABELLED);
  const samples = (parts: readonly ScaledPart[], target = number, change?: Change) =>
    rowSamples(labelled(parts), target, change);
  const { channels } = options;
  const [height, width, depth] = model.inputShape as [number, number, number];
  const objectives = imageObjectives(model, "sparseCategoricalCrossentropy");
  return {
    layout: model.layout,
    weights: () => model.weights(),
    setWeights: (flat) => model.setWeights(flat),
    samples: (parts, pretext) => (pretext ? rowsOf(parts) : labelled(parts)).count,
    async train(parts, options) {
      const { pretext, augment } = options.training;
      if (pretext === "rotation") return objectives.pretrain(parts, options);
      const change = await changeFor(options, { rows: 1, channels, image: { height, width, depth } });
      return augment?.mixup
        ? objectives.fit(samples(parts, shares, change), options, "categoricalCrossentropy")
        : objectives.fit(samples(parts, number, change), options);
    },
    loss: (parts) => objectives.loss(samples(parts)),
    residuals: 1,
    isNormal: (label) => label < normal,
    probabilities: (values) => model.predict(values),
    stream: () =>
      aloneStream(1, (row, _, out) => {
        let abnormal = 0;
        const probabilities = model.predict(row);
        for (let c = normal; c < classes; c++) abnormal += probabilities[c]!;
        out[0] = Math.sqrt(abnormal);
      }),
    dispose: () => model.dispose(),
  };
}
