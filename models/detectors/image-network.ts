import { FleetError } from "../../protocol/errors.ts";
import { compile, type Model } from "../engine/compile.ts";
import { sizeOf } from "../engine/shape.ts";
import type { EstimatorOptions } from "./kind.ts";
import type { Graph } from "./topology.ts";

/** A network that takes a row as an image. Throws BAD_SHAPE where the version is for images of another size. */
export async function compileImageNetwork({
  blueprint,
  channels,
  seed,
  maxBatch,
}: EstimatorOptions): Promise<Model> {
  const model = await compile(blueprint, { seed, maxBatch });
  const own = sizeOf(model.inputShape);
  if (own === channels) return model;
  const shape = model.inputShape.join(" x ");
  model.dispose();
  throw new FleetError(
    "BAD_SHAPE",
    `the network takes images of ${shape}, ${own} channels; this device has ${channels}`,
  );
}

/** A convolution with rectifiers, by steps of two: it halves the image. */
export function halve(
  g: Graph,
  { name, filters, kernel, from }: { name: string; filters: number; kernel: number; from: string },
): string {
  const config = {
    filters,
    kernel_size: [kernel, kernel],
    strides: [2, 2],
    padding: "same",
    activation: "relu",
    use_bias: true,
    kernel_initializer: { class_name: "HeNormal", config: {} },
  };
  return g.layer("Conv2D", name, config, from);
}

/** What is seen in an image, by three halvings: (height / 8, width / 8, 4 filters), flat. */
export function imageFeatures(g: Graph, image: string, filters: number): string {
  const edges = halve(g, { name: "edges", filters, kernel: 5, from: image });
  const parts = halve(g, { name: "parts", filters: 2 * filters, kernel: 3, from: edges });
  const whole = halve(g, { name: "whole", filters: 4 * filters, kernel: 3, from: parts });
  return g.layer("Flatten", "features", {}, whole);
}
