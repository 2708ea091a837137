import { z } from "zod";
import { FleetError } from "../../../protocol/errors.ts";
import type { Address } from "../../kernels/load.ts";
import { type Shape, sizeOf } from "../shape.ts";
import { common, parseConfig } from "./config.ts";
import type { BoundLayer, LayerConfig, LayerKind, LayerPlan, Site, Tensor } from "./layer.ts";
import { inside, Nested } from "./nested.ts";
import { reorder } from "./reorder.ts";

const Config = () => z.strictObject({ ...common, layer: Nested });

/**
 * Any layer, on each step by itself: time is folded into the batch, so that one call does all steps. `kindOf`: the engine's layers by class
 * name, of which this is one.
 */
export function timeDistributed(kindOf: (className: string) => LayerKind | undefined): LayerKind {
  return (layer) => {
    const { layer: inner } = parseConfig(Config, layer);
    const [T, ...inputShape] = layer.inputShape;
    if (T === undefined || inputShape.length === 0)
      throw new FleetError(
        "BAD_INPUT",
        `layer "${layer.name}" (TimeDistributed) needs an input of shape (time, ...), but gets (${layer.inputShape.join(", ")}); set return_sequences on the layer before it`,
      );
    const plan = innerPlan(kindOf, layer, { inner, inputShape });
    const chain = chainOf(plan, inputShape);
    const outputShape = chain.at(-1)!.outputShape;
    const probabilities = chain.at(-1)!.probabilities;
    const alias = chain.every((part) => part.alias === true);
    const perRow = [inputShape, ...chain.map((part) => part.outputShape)].every(({ length }) => length === 1);
    const steppable = perRow && chain.every((part) => part.stateFloats === 0);
    return {
      name: layer.name,
      className: layer.className,
      // Either order folds: (batch, time) rows or (time, batch) rows are both rows.
      order: "any",
      outputShape: [T, ...outputShape],
      weights: plan.weights,
      flops: T * chain.reduce((sum, { flops }) => sum + flops, 0),
      stateFloats: steppable ? 0 : null,
      ...(alias && { alias }),
      ...(probabilities && { probabilities }),
      bind: (site) => bindChain(chain, site, { T, inputShape }),
    };
  };
}

function innerPlan(
  kindOf: (className: string) => LayerKind | undefined,
  layer: LayerConfig,
  { inner, inputShape }: { readonly inner: Nested; readonly inputShape: Shape },
): LayerPlan {
  const kind = kindOf(inner.class_name);
  if (kind === undefined)
    throw new FleetError(
      "UNSUPPORTED",
      `layer "${layer.name}" (TimeDistributed): the engine has no ${inner.class_name} to put in it; it takes single layers, not models`,
    );
  return kind(inside(layer, inner, { name: layer.name, inputShape }));
}

/** The layer with what runs behind it, between reorderings where it wants the steps of its own input in front. */
function chainOf(plan: LayerPlan, inputShape: Shape): LayerPlan[] {
  const chain: LayerPlan[] = [];
  for (let part: LayerPlan | undefined = plan; part !== undefined; part = part.tail) chain.push(part);
  if (plan.order !== "time" || inputShape.length < 2) return chain;
  const { outputShape } = chain.at(-1)!;
  return [
    reorder(inputShape, "time"),
    ...chain,
    ...(outputShape.length < 2 ? [] : [reorder(outputShape, "batch")]),
  ];
}

/** Each part's input is the output of the one before it; the ends are the outer layer's own tensors. */
function bindChain(
  chain: readonly LayerPlan[],
  site: Site,
  { T, inputShape }: { readonly T: number; readonly inputShape: Shape },
): BoundLayer {
  const maxBatch = site.maxBatch * T;
  // Masks are of the outer steps, the inner layer sees one of them at a time.
  let input: Tensor = { ...site.inputs[0]!, shape: inputShape, mask: 0 };
  let row: Address = site.rows.inputs[0]!;
  const bound = chain.map((part, i) => {
    const shape = part.outputShape;
    const floats = maxBatch * sizeOf(shape);
    // What only aliases follow is the output already.
    const last = chain.slice(i + 1).every(({ alias }) => alias === true);
    const own = (): Tensor =>
      part.alias === true
        ? { ...input, shape }
        : { shape, value: site.allocate(floats), gradient: site.allocate(floats), mask: 0 };
    // A mask that the inner layer makes has no one to read it.
    const mask = part.mask === "make" ? site.allocate(maxBatch * shape[0]!) : 0;
    const output: Tensor = { ...(last ? { ...site.output, shape } : own()), mask };
    const outputRow = last ? site.rows.output : site.allocate(shape.at(-1)!);
    const layer = part.bind({
      ...site,
      maxBatch,
      inputs: [input],
      output,
      weights: part.weights.length > 0 ? site.weights : [],
      weightGradients: part.weights.length > 0 ? site.weightGradients : [],
      rows: { inputs: [row], output: outputRow },
    });
    input = output;
    row = outputRow;
    return { layer, alias: part.alias === true };
  });
  const working = bound.filter(({ alias }) => !alias).map(({ layer }) => layer);
  const steps = bound.map(({ layer }) => layer);
  return {
    forward(batch, training) {
      for (let i = 0; i < working.length; i++) working[i]!.forward(batch * T, training);
    },
    backward(batch) {
      for (let i = working.length - 1; i >= 0; i--) working[i]!.backward(batch * T);
    },
    step() {
      for (let i = 0; i < steps.length; i++) steps[i]!.step!();
    },
  };
}
