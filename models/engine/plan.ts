import { FleetError } from "../../protocol/errors.ts";
import type { LayerPlan, Order } from "./layers/layer.ts";
import { layerKinds } from "./layers/registry.ts";
import { reorder } from "./layers/reorder.ts";
import { createRandom } from "./random.ts";
import { type Layout, type Shape, sizeOf } from "./shape.ts";
import type { Topology } from "./topology.ts";

/** The layers in the order in which they run, and what follows from them. */
export interface Plan {
  readonly name: string;
  readonly inputShape: Shape;
  readonly outputShape: Shape;
  /** With the reorderings that the layers' orders ask for; input and output are in batch order. */
  readonly layers: readonly LayerPlan[];
  readonly layout: Layout;
  readonly parameters: number;
}

/** Throws UNSUPPORTED or BAD_INPUT, in one sentence that names the layer. */
export function planOf(topology: Topology): Plan {
  const layers: LayerPlan[] = [];
  let shape = topology.inputShape;
  let order: Order = "batch";
  const turn = (to: Order) => {
    // Below two axes there is nothing to reorder: (batch, channels) is the same either way.
    if (to !== "any" && to !== order && shape.length > 1) layers.push(reorder(shape, to));
    if (to !== "any") order = to;
  };
  for (const { name, className, config } of topology.layers) {
    const kind = layerKinds.get(className);
    if (!kind) {
      const known = [...layerKinds.keys()].join(", ");
      throw new FleetError("UNSUPPORTED", `layer "${name}": the engine has no ${className}; it has ${known}`);
    }
    const plan = kind({ name, className, config, inputShape: shape });
    turn(plan.order);
    layers.push(plan);
    shape = plan.outputShape;
  }
  turn("batch");
  if (layers.length === 0) {
    throw new FleetError("BAD_INPUT", "the topology has no layer besides its input; add at least one");
  }
  const layout = layers.flatMap((layer) =>
    layer.weights.map((weight) => ({ name: `${layer.name}/${weight.name}`, shape: weight.shape })),
  );
  return {
    name: topology.name,
    inputShape: topology.inputShape,
    outputShape: shape,
    layers,
    layout,
    parameters: layout.reduce((sum, weight) => sum + sizeOf(weight.shape), 0),
  };
}

/** Fresh weights, flat, in layout order. Each weight draws from its own stream of `seed`. */
export function initialWeights(plan: Plan, seed: number): Float32Array {
  const flat = new Float32Array(plan.parameters);
  let offset = 0;
  plan.layers
    .flatMap((layer) => layer.weights)
    .forEach((weight, i) => {
      const end = offset + sizeOf(weight.shape);
      weight.initialize(flat.subarray(offset, end), weight.shape, createRandom(seed, i + 1));
      offset = end;
    });
  return flat;
}
