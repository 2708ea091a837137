import { FleetError } from "../../protocol/errors.ts";
import type { LayerCall, Topology } from "./graph.ts";
import type { LayerPlan, Order, WeightPlan } from "./layers/layer.ts";
import { type LayerKinds, layerNames, loadLayerKinds } from "./layers/registry.ts";
import { reorder } from "./layers/reorder.ts";
import { createRandom } from "./random.ts";
import { type Layout, type Shape, sizeOf } from "./shape.ts";

/** What is computed, step by step, and what follows from it. */
export interface Plan {
  readonly name: string;
  /** First the inputs, then the output of each step; all that is batch-major at the model's ends. */
  readonly tensors: readonly TensorPlan[];
  readonly inputs: readonly InputPlan[];
  /** Numbers of tensors. */
  readonly outputs: readonly number[];
  /** With the reorderings that the layers' orders ask for, in the order in which they run. */
  readonly steps: readonly Step[];
  /** In layout order: all trained ones first, then what layers keep themselves; each in the file's order. */
  readonly weights: readonly PlacedWeight[];
  readonly layout: Layout;
  readonly parameters: number;
  /** How many of the parameters, from the first, are trained. */
  readonly trained: number;
  /** Of the first input and the first output. */
  readonly inputShape: Shape;
  readonly outputShape: Shape;
}

export interface InputPlan {
  readonly name: string;
  readonly shape: Shape;
  /** It may hold whole numbers from 0 to tokens - 1 only; null: any float. */
  readonly tokens: number | null;
}

export interface Step {
  readonly layer: LayerPlan;
  /** Numbers of tensors. */
  readonly inputs: readonly number[];
  readonly output: number;
}

export interface TensorPlan {
  readonly shape: Shape;
  /** Number of the tensor at whose place its mask stands; null where no step is masked. */
  readonly mask: number | null;
}

export interface PlacedWeight extends WeightPlan {
  readonly layer: string;
  /** In the flat array. */
  readonly offset: number;
  /** The topology says `trainable: false`: it has a gradient, but no optimizer touches it. */
  readonly frozen: boolean;
}

/** Loads the layers that the topology has. Throws UNSUPPORTED or BAD_INPUT, in one sentence that names the layer. */
export async function planOf(topology: Topology): Promise<Plan> {
  const kinds = await layerKindsOf(topology);
  const tensors: TensorPlan[] = topology.inputs.map(({ shape }) => ({ shape, mask: null }));
  const orders: Exclude<Order, "any">[] = tensors.map(() => "batch");
  const steps: Step[] = [];
  /** The tensor that each tensor of the topology became. */
  const placed = tensors.map((_, i) => i);
  /** By layer: a layer that is called again has the weights of its first call. */
  const weights = new Map<string, readonly WeightPlan[]>();
  const frozen = new Set<string>();
  const turned = new Map<string, number>();
  /** The tensor that each one is under another shape. */
  const origins = tensors.map((_, i) => i);
  const tokens = new Map<number, number>();

  const push = (layer: LayerPlan, inputs: readonly number[], order: Exclude<Order, "any">): number => {
    const output = tensors.length;
    const masks = inputs.map((tensor) => tensors[tensor]!.mask);
    const merged = masks.some((mask) => mask !== null) ? output : null;
    const mask = { keep: masks[0]!, drop: null, make: output, merge: merged }[layer.mask ?? "keep"];
    tensors.push({ shape: layer.outputShape, mask });
    orders.push(order);
    origins.push(layer.alias === true ? origins[inputs[0]!]! : output);
    steps.push({ layer, inputs, output });
    return output;
  };
  /** The tensor in that order, reordered once for all who want it. */
  const turn = (tensor: number, to: Exclude<Order, "any">): number => {
    const { shape } = tensors[tensor]!;
    // Below two axes there is nothing to reorder: (batch, channels) is the same either way.
    if (orders[tensor] === to || shape.length < 2) return tensor;
    const key = `${tensor} ${to}`;
    const known = turned.get(key) ?? push(reorder(shape, to), [tensor], to);
    turned.set(key, known);
    return known;
  };

  for (const call of topology.calls) {
    const from = call.inputs.map((tensor) => placed[tensor]!);
    const plan = layerPlanOf(
      call,
      from.map((tensor) => tensors[tensor]!.shape),
      kinds,
    );
    if (plan.tokens !== undefined) {
      const origin = origins[from[0]!]!;
      if (origin >= topology.inputs.length)
        throw new FleetError(
          "UNSUPPORTED",
          `layer "${call.name}" (${call.className}): the engine takes tokens straight from an input of the model only`,
        );
      tokens.set(origin, Math.min(plan.tokens, tokens.get(origin) ?? plan.tokens));
    }
    const shared = weights.get(call.name);
    if (shared !== undefined && !sameShapes(shared, plan.weights))
      throw new FleetError("BAD_INPUT", `layer "${call.name}" is called with inputs of different sizes`);
    weights.set(call.name, shared ?? plan.weights);
    if ((call.config as { trainable?: unknown } | null)?.trainable === false) frozen.add(call.name);
    const alike = from.every((tensor) => orders[tensor] === orders[from[0]!]);
    const order = plan.order !== "any" ? plan.order : alike ? orders[from[0]!]! : "batch";
    let output = push(
      plan,
      from.map((tensor) => turn(tensor, order)),
      order,
    );
    for (let next = plan.tail; next !== undefined; next = next.tail) output = push(next, [output], order);
    placed.push(output);
  }
  if (steps.length === 0)
    throw new FleetError("BAD_INPUT", "the topology has no layer besides its input; add at least one");
  const outputs = topology.outputs.map((tensor) => turn(placed[tensor]!, "batch"));

  const all = topology.layers.flatMap((layer) =>
    (weights.get(layer) ?? []).map((weight) => ({ ...weight, layer, frozen: frozen.has(layer) })),
  );
  const sorted = [...all.filter(isTrained), ...all.filter((weight) => !isTrained(weight))];
  let offset = 0;
  const placedWeights = sorted.map((weight) => {
    const here = { ...weight, offset };
    offset += sizeOf(weight.shape);
    return here;
  });
  return {
    name: topology.name,
    tensors,
    inputs: topology.inputs.map((input, i) => ({ ...input, tokens: tokens.get(i) ?? null })),
    outputs,
    steps,
    weights: placedWeights,
    layout: sorted.map(({ layer, name, shape }) => ({ name: `${layer}/${name}`, shape })),
    parameters: offset,
    trained: all.filter(isTrained).reduce((sum, { shape }) => sum + sizeOf(shape), 0),
    inputShape: topology.inputs[0]!.shape,
    outputShape: tensors[outputs[0]!]!.shape,
  };
}

export function isTrained({ trained = true }: WeightPlan): boolean {
  return trained;
}

/** Fresh weights, flat, in layout order. Each weight draws from its own stream of `seed`. */
export function initialWeights(plan: Plan, seed: number): Float32Array {
  const flat = new Float32Array(plan.parameters);
  plan.weights.forEach(({ initialize, shape, offset }, i) => {
    initialize(flat.subarray(offset, offset + sizeOf(shape)), shape, createRandom(seed, i + 1));
  });
  return flat;
}

/** One call of a layer on inputs of these shapes. Throws UNSUPPORTED, BAD_INPUT. */
export function layerPlanOf(
  { name, className, config, call }: LayerCall,
  inputShapes: readonly Shape[],
  kinds: LayerKinds,
): LayerPlan {
  const kind = kinds.get(className);
  if (!kind) {
    const known = [...layerNames].sort().join(", ");
    throw new FleetError("UNSUPPORTED", `layer "${name}": the engine has no ${className}; it has ${known}`);
  }
  const plan = kind({ name, className, config, call, inputShapes, inputShape: inputShapes[0]! });
  if (inputShapes.length > 1 && plan.severalInputs !== true)
    throw new FleetError(
      "UNSUPPORTED",
      `layer "${name}" (${className}): the engine calls it with one input, not with ${inputShapes.length} (an initial state can't be given)`,
    );
  return plan;
}

/** The layers that the topology has, loaded. */
export function layerKindsOf({ calls }: Topology): Promise<LayerKinds> {
  return loadLayerKinds(calls.flatMap(classNamesOf));
}

/** Of the layer, and of the one in its config where it wraps one. */
function classNamesOf({ className, config }: Pick<LayerCall, "className" | "config">): readonly string[] {
  const { layer } = (config ?? {}) as { layer?: { class_name?: unknown; config?: unknown } | null };
  const inner = layer?.class_name;
  return typeof inner === "string"
    ? [className, ...classNamesOf({ className: inner, config: layer?.config })]
    : [className];
}

function sameShapes(a: readonly WeightPlan[], b: readonly WeightPlan[]): boolean {
  return JSON.stringify(a.map(({ shape }) => shape)) === JSON.stringify(b.map(({ shape }) => shape));
}
