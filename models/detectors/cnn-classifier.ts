import { FleetError } from "../../protocol/errors.ts";
import type { Model } from "../engine/compile.ts";
import type { Change } from "./augment/change.ts";
import { changeFor } from "./augmentation.ts";
import { causalConvolutions, convolutionHyperparameters } from "./causal-convolutions.ts";
import type { DetectorKind, Estimator, EstimatorOptions, ResidualStream, ScaledPart } from "./kind.ts";
import { compileNetwork, fitNetwork, meanLoss } from "./network.ts";
import { graph } from "./topology.ts";
import { windowSamples } from "./window-samples.ts";

const LOSS = "sparseCategoricalCrossentropy";

export const cnnClassifier: DetectorKind = {
  title: "learns from labels whether a row is normal, with two causal convolutions",
  about:
    "For faults that are known and labelled; it is blind to others, so keep a detector without labels beside it. Class 0 is normal; the score is the probability of not being so. Every row of a window is classified by itself and the rows before it. Wang et al. 2017, arXiv 1611.06455, made causal.",
  input: "series",
  learns: "by gradients",
  supervised: true,
  scaling: "channels",
  normalized: false,
  // The others move rows off their labels.
  augments: ["jitter", "scaling", "masking"],
  hyperparameters: {
    classes: {
      default: 2,
      least: 2,
      most: 100,
      about: "classes to tell apart; with two, every label but 0 is the second",
      source: "normal or not",
    },
    ...convolutionHyperparameters,
  },
  blueprint({ channels, spec, tuned }) {
    const g = graph(spec.name);
    const features = causalConvolutions(g, g.input("rows", [spec.window, channels]), tuned);
    return g.topology(
      g.layer("Dense", "classes", { units: tuned.classes, activation: "softmax", use_bias: true }, features),
    );
  },
  open: openClassifier,
};

async function openClassifier(options: EstimatorOptions): Promise<Estimator> {
  const { spec, tuned, channels } = options;
  const { window, stride } = spec;
  const classes = tuned.classes!;
  const model = await compileNetwork(options);
  const windows = (parts: readonly ScaledPart[], stride: number, change?: Change) =>
    windowSamples(parts.filter(hasLabels), {
      rows: window,
      stride,
      change,
      write({ seen, part, first }, { x, y }) {
        x.set(seen);
        for (let i = 0; i < window; i++) y[i] = classOf(part.labels![first + i]!, classes);
      },
    });
  return {
    layout: model.layout,
    weights: () => model.weights(),
    setWeights: (flat) => model.setWeights(flat),
    samples: (parts) => windows(parts, stride).count,
    async train(parts, options) {
      const change = await changeFor(options, { rows: window, channels });
      const samples = windows(parts, stride, change);
      if (samples.count === 0)
        throw new FleetError(
          "UNAVAILABLE",
          `${spec.name} learns from labels and this data has none: label some rows, or take a detector that needs none`,
        );
      return await fitNetwork(model, samples, options, { loss: LOSS });
    },
    loss: (parts) => meanLoss(model, windows(parts, window), LOSS),
    residuals: 1,
    stream: () => classStream(model),
    dispose: () => model.dispose(),
  };
}

const hasLabels = ({ labels }: ScaledPart) => labels !== undefined;

function classOf(label: number, classes: number): number {
  if (classes === 2) return label === 0 ? 0 : 1;
  if (label < classes) return label;
  throw new FleetError(
    "BAD_INPUT",
    `there is a label ${label}, and cnn-classifier tells classes 0 to ${classes - 1} apart; raise its hyperparameter classes`,
  );
}

/** The root of the probability of not being normal, as the square is what counts; NaN for a row without any value. */
function classStream(model: Model): ResidualStream {
  const stepper = model.stepper();
  const residual = new Float32Array(1);
  return {
    stateSize: stepper.state().length,
    push(row, target) {
      const normal = stepper.step(row)[0]!;
      residual[0] = target.every(Number.isNaN) ? Number.NaN : Math.sqrt(Math.max(0, 1 - normal));
      return residual;
    },
    state: () => stepper.state(),
    restore: (state) => stepper.setState(state),
    reset: () => stepper.reset(),
    dispose: () => stepper.dispose(),
  };
}
