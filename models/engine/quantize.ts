import { FleetError } from "../../protocol/errors.ts";
import type { Model } from "./compile.ts";
import { evaluate, type ModelEvaluateOptions, type ModelEvaluation } from "./evaluate.ts";
import { dequantizeChannels, packInt8, quantizeChannels, rangeOf } from "./int8.ts";
import type { BoundLayer, LayerPlan, WeightPlan } from "./layers/layer.ts";
import { createMachine, type Machine } from "./machine.ts";
import { type Plan, planOf } from "./plan.ts";
import { predict } from "./predict.ts";
import { type Arrays, listOf } from "./samples.ts";
import { sizeOf } from "./shape.ts";
import { parseTopology } from "./topology.ts";

/** For inference: the kernels of dense layers and of convolutions in 8-bit integers, one step size a channel. */
export interface QuantizedModel {
  /** As `Model.predict`. Throws BAD_SHAPE, NOT_FINITE. */
  predict(x: Arrays): Float32Array;
  predictAll(x: Arrays): Float32Array[];
  evaluate(x: Arrays, y: Arrays, options?: ModelEvaluateOptions): ModelEvaluation;
  readonly weightBytes: WeightBytes;
  dispose(): void;
}

export interface WeightBytes {
  readonly float: number;
  /** Integers with the zeros that fill up their packs, step sizes, and the weights that stay floats. */
  readonly quantized: number;
}

export interface QuantizeOptions extends Pick<ModelEvaluateOptions, "loss" | "metrics"> {
  /** What the accuracy is measured on; where it is left out, the calibration data. */
  readonly x?: Arrays | undefined;
  /** Targets of `x`: both models are evaluated then. */
  readonly y?: Arrays | undefined;
  readonly maxBatch?: number | undefined;
}

export interface QuantizeReport {
  readonly layers: readonly QuantizedLayer[];
  /** Layers with weights that are still computed in floats, and why. */
  readonly floatLayers: readonly {
    readonly name: string;
    readonly className: string;
    readonly why: string;
  }[];
  /** Of all outputs, on the calibration data. */
  readonly difference: { readonly max: number; readonly mean: number };
  readonly weightBytes: WeightBytes;
  /** Where targets were given. */
  readonly evaluation?: { readonly float: ModelEvaluation; readonly quantized: ModelEvaluation };
}

export interface QuantizedLayer {
  readonly name: string;
  readonly className: string;
  /** The largest error of a weight. */
  readonly weightError: number;
  /** What came in on the calibration data; what lies outside is clipped to it. */
  readonly input: { readonly min: number; readonly max: number };
}

const MAX_BATCH = 32;

/**
 * Quantizes a trained model, which stays as it is. calibrationX: (n, ...inputShape), one array an input, samples as the model will see
 * them: the least and the largest input of each layer on them set its input's 256 steps. Throws BAD_INPUT where no layer can be quantized,
 * BAD_SHAPE, NOT_FINITE, and for an engine's topology what `compile` throws.
 * Source: Jacob et al. 2018, arXiv 1712.05877, section 2; Krishnamoorthi 2018, arXiv 1806.08342, sections 2 and 3.
 */
export async function quantize(
  model: Pick<Model, "topology" | "weights">,
  calibrationX: Arrays,
  options: QuantizeOptions = {},
): Promise<{ model: QuantizedModel; report: QuantizeReport }> {
  const { x = calibrationX, y, loss, metrics, maxBatch = MAX_BATCH } = options;
  const plan = await planOf(parseTopology(model.topology));
  const weights = model.weights();
  const chosen = chosenLayers(plan);
  if (chosen.length === 0)
    throw new FleetError(
      "BAD_INPUT",
      "the model has no Dense, Conv1D or Conv2D layer of its own to quantize",
    );

  const inputs = new Map(chosen.map(({ name }) => [name, { min: 0, max: 0 }]));
  const float = await createMachine(watching(plan, inputs), { maxBatch });
  float.weights.set(weights);
  const xs = listOf(calibrationX);
  const expected = predict(float, xs);
  if (expected[0]!.length === 0)
    throw new FleetError("BAD_SHAPE", "there is no calibration data; give at least one sample");

  const { layers, plans, bytes } = quantizedLayers(plan, { weights, inputs, chosen });
  const inference = inferencePlan(plan, plans);
  const quantized = await createMachine(inference, { maxBatch });
  for (const { layer, name, shape, offset } of inference.weights) {
    const from = plan.weights.find((weight) => weight.layer === layer && weight.name === name)!.offset;
    quantized.weights.set(weights.subarray(from, from + sizeOf(shape)), offset);
  }
  const weightBytes = { float: 4 * plan.parameters, quantized: bytes + 4 * inference.parameters };
  const settings = { ...(loss !== undefined && { loss }), ...(metrics !== undefined && { metrics }) };
  const report = {
    layers,
    floatLayers: floatLayers(plan, chosen),
    difference: differenceOf(expected, predict(quantized, xs)),
    weightBytes,
    ...(y !== undefined && {
      evaluation: {
        float: evaluate(float, [x, y], settings),
        quantized: evaluate(quantized, [x, y], settings),
      },
    }),
  };
  return { model: modelOf(quantized, weightBytes), report };
}

function modelOf(quantized: Machine, weightBytes: WeightBytes): QuantizedModel {
  let machine: Machine | null = quantized;
  const live = () => {
    if (!machine) throw new FleetError("UNAVAILABLE", "the model was disposed; quantize it again");
    return machine;
  };
  const derived = { kept: false };
  return {
    weightBytes,
    predict: (x) => predict(live(), listOf(x), derived)[0]!,
    predictAll: (x) => predict(live(), listOf(x), derived),
    evaluate: (x, y, options) => evaluate(live(), [x, y], options),
    dispose() {
      machine = null;
    },
  };
}

/** Layers that can be quantized. One that is called several times would need an input range for each call: it is left out. */
function chosenLayers(plan: Plan): LayerPlan[] {
  return plan.steps
    .map(({ layer }) => layer)
    .filter((layer) => layer.quantized !== undefined && !isShared(plan, layer.name));
}

function isShared({ steps }: Plan, name: string): boolean {
  return steps.filter(({ layer }) => layer.name === name).length > 1;
}

function floatLayers(plan: Plan, chosen: readonly LayerPlan[]): QuantizeReport["floatLayers"] {
  const left = plan.steps
    .map(({ layer }) => layer)
    .filter((layer) => layer.weights.length > 0 && !chosen.includes(layer));
  const byName = new Map(left.map((layer) => [layer.name, layer]));
  return [...byName.values()].map(({ name, className, quantized }) => {
    const why = quantized ? "it is called more than once" : `the engine has no 8-bit ${className}`;
    return { name, className, why };
  });
}

interface Span {
  min: number;
  max: number;
}

/** The same plan, in which layers write down the range of their inputs. */
function watching(plan: Plan, spans: ReadonlyMap<string, Span>): Plan {
  return withLayers(plan, (layer) => {
    const span = spans.get(layer.name);
    if (span === undefined) return layer;
    return {
      ...layer,
      bind(site): BoundLayer {
        const bound = layer.bind(site);
        const { value, shape } = site.inputs[0]!;
        return {
          ...bound,
          forward(batch, training) {
            widen(span, new Float32Array(site.kernels.memory.buffer, value, batch * sizeOf(shape)));
            bound.forward(batch, training);
          },
        };
      },
    };
  });
}

function widen(span: Span, values: Float32Array): void {
  for (const value of values) {
    if (value < span.min) span.min = value;
    if (value > span.max) span.max = value;
  }
}

function quantizedLayers(
  plan: Plan,
  {
    weights,
    inputs,
    chosen,
  }: { weights: Float32Array; inputs: ReadonlyMap<string, Span>; chosen: readonly LayerPlan[] },
) {
  const plans = new Map<string, LayerPlan>();
  let bytes = 0;
  const layers = chosen.map((layer): QuantizedLayer => {
    const { name, className } = layer;
    const { offset, shape } = plan.weights.find((w) => w.layer === name && w.name === "kernel")!;
    const kernel = weights.subarray(offset, offset + sizeOf(shape));
    const channels = shape.at(-1)!;
    const int8 = quantizeChannels(kernel, channels);
    const packed = packInt8(int8.values, channels);
    const { min, max } = inputs.get(name)!;
    plans.set(name, layer.quantized!({ packed, scales: int8.scales, input: rangeOf(min, max) }));
    bytes += packed.byteLength + int8.scales.byteLength;
    const back = dequantizeChannels(int8);
    const weightError = kernel.reduce((most, w, i) => Math.max(most, Math.abs(w - back[i]!)), 0);
    return { name, className, weightError, input: { min, max } };
  });
  return { layers, plans, bytes };
}

/** Without the kernels that are integers now, and with nothing to train, so that no layer gets a gradient. */
export function inferencePlan(plan: Plan, quantized: ReadonlyMap<string, LayerPlan>): Plan {
  const still = <W extends WeightPlan>(weight: W): W => ({ ...weight, trained: false });
  let offset = 0;
  const weights = plan.weights
    .filter(({ layer, name }) => !(quantized.has(layer) && name === "kernel"))
    .map((weight) => {
      const here = { ...still(weight), offset };
      offset += sizeOf(weight.shape);
      return here;
    });
  const inference = withLayers(plan, (layer) => {
    const next = quantized.get(layer.name) ?? layer;
    return { ...next, weights: next.weights.map(still) };
  });
  return {
    ...inference,
    weights,
    layout: weights.map(({ layer, name, shape }) => ({ name: `${layer}/${name}`, shape })),
    parameters: offset,
    trained: 0,
  };
}

function withLayers(plan: Plan, change: (layer: LayerPlan) => LayerPlan): Plan {
  return { ...plan, steps: plan.steps.map((step) => ({ ...step, layer: change(step.layer) })) };
}

function differenceOf(expected: readonly Float32Array[], got: readonly Float32Array[]) {
  let [max, sum, count] = [0, 0, 0];
  expected.forEach((values, k) => {
    values.forEach((value, i) => {
      const difference = Math.abs(value - got[k]![i]!);
      max = Math.max(max, difference);
      sum += difference;
      count += 1;
    });
  });
  return { max, mean: sum / count };
}
