import type { Model } from "../engine/compile.ts";
import type { MultiSamples, Samples } from "../engine/samples.ts";
import { type ImageShape, squareOf } from "./image-shape.ts";
import { transformer, turnsAndShifts } from "./image-transforms.ts";
import type { BlueprintOptions, EstimatorTraining, ScaledPart } from "./kind.ts";
import { fitNetwork, meanLoss } from "./network.ts";
import type { Graph } from "./topology.ts";
import { transformedSamples } from "./transformed-samples.ts";

/** The layer that says by how many quarters an image was turned: the second output of a network whose task pretrains by it. */
const TURN_LAYER = "turn";
const TURNS = 4;
type ImageLoss = "mse" | "sparseCategoricalCrossentropy" | "categoricalCrossentropy";
const turnLoss = { name: "sparseCategoricalCrossentropy", fromLogits: true } as const;

/** The outputs of an image network: its own and, where the task pretrains by rotation, the turn, said from `features`. Throws BAD_INPUT for images that are not square. */
export function imageOutputs(
  g: Graph,
  options: BlueprintOptions,
  { own, features }: { readonly own: string; readonly features: string },
): string[] {
  if (options.pretext !== "rotation") return [own];
  squareOf(options);
  return [
    own,
    g.layer("Dense", TURN_LAYER, { units: TURNS, activation: "linear", use_bias: true }, features),
  ];
}

/**
 * Trains and judges an image network with or without that second output. What an image is not asked for is a missing target, so neither objective moves the other's last layer.
 * Source: Gidaris et al. 2018, arXiv 1803.07728, section 3: all four turns of an image, none more often than another.
 */
export function imageObjectives(model: Model, own: ImageLoss) {
  const hasTurns = model.outputShapes.length > 1;
  const both = [own, turnLoss];
  return {
    fit(samples: Samples, options: EstimatorTraining, loss: ImageLoss = own): Promise<number> {
      if (!hasTurns) return fitNetwork(model, samples, options, { loss });
      const more = { loss: [loss, turnLoss], freeze: [TURN_LAYER] };
      return fitNetwork(model, withTargets(samples, 0), options, more);
    },
    pretrain(parts: readonly ScaledPart[], options: EstimatorTraining): Promise<number> {
      const [height, width, depth] = model.inputShape as [number, number, number];
      const shape: ImageShape = { height, width, depth };
      const transforms = turnsAndShifts(0).map((turn) => transformer(shape, turn));
      const channels = height * width * depth;
      const { seed } = options;
      const samples = transformedSamples(parts, { transforms, draws: TURNS, channels, seed });
      return fitNetwork(model, withTargets(samples, 1), options, { loss: both });
    },
    /** Of the network's own objective. */
    loss(samples: Samples): number {
      if (!hasTurns) return meanLoss(model, samples, own);
      if (samples.count === 0) return Number.NaN;
      return model.evaluate(withTargets(samples, 0), { loss: both }).outputs![0]!.loss;
    },
  };
}

/** Samples of one output of two; of the other, there is no target. */
function withTargets({ count, read }: Samples, output: 0 | 1): MultiSamples {
  return {
    count,
    readAll(indexes, [x], ys) {
      read(indexes, x!, ys[output]!);
      ys[1 - output]!.fill(Number.NaN);
    },
  };
}
