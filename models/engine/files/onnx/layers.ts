import { layerPlanOf } from "../../plan.ts";
import { sizeOf } from "../../shape.ts";
import { activate, activations } from "./activations.ts";
import { attention } from "./attention.ts";
import { constant, type Emission, type Emit, lacks, reshaped, transposed, weightOf } from "./emit.ts";
import { recurrent } from "./recurrent.ts";
import { shapes, spatial } from "./spatial.ts";

const asItIs: Emit = ({ inputs }) => inputs[0]!;

/** By class name. A layer that is not here has no ONNX form. */
export const emitters: ReadonlyMap<string, Emit> = new Map(
  Object.entries({
    ...activations,
    ...attention,
    ...recurrent,
    ...shapes,
    ...spatial,
    Add: merged("Add"),
    Average: (e) => e.graph.node("Mean", aligned(e)),
    BatchNormalization: batchNormalization,
    Concatenate: (e) =>
      e.graph.node("Concat", e.inputs, { axis: { int: (e.config.axis as number | undefined) ?? -1 } }),
    Dense: dense,
    Dot: dot,
    Embedding: embedding,
    LayerNormalization: layerNormalization,
    Maximum: merged("Max"),
    Minimum: merged("Min"),
    Multiply: merged("Mul"),
    Subtract: merged("Sub"),
    TimeDistributed: timeDistributed,
    // What is there while training only.
    AlphaDropout: asItIs,
    Dropout: asItIs,
    GaussianDropout: asItIs,
    GaussianNoise: asItIs,
    SpatialDropout1D: asItIs,
    SpatialDropout2D: asItIs,
  } satisfies Record<string, Emit>),
);

/** Throws UNSUPPORTED for a layer without ONNX form. */
export function emit(emission: Emission): string {
  const emitter = emitters.get(emission.className);
  if (emitter === undefined) throw lacks(emission, "this layer");
  return emitter(emission);
}

function dense(e: Emission): string {
  const product = e.graph.node("MatMul", [e.inputs[0]!, constant(e, weightOf(e, "kernel"))]);
  const bias = e.weight("bias");
  return activate(e, bias === undefined ? product : e.graph.node("Add", [product, constant(e, bias)]));
}

/** Two at a time: not every operator of ONNX takes more. */
function merged(op: string): Emit {
  return (e) => aligned(e).reduce((a, b) => e.graph.node(op, [a, b]));
}

/** All inputs with as many axes: missing ones are put in behind the batch. */
function aligned({ graph, inputs, inputShapes }: Emission): string[] {
  const rank = Math.max(...inputShapes.map(({ length }) => length));
  return inputs.map((input, i) => {
    const shape = inputShapes[i]!;
    if (shape.length === rank) return input;
    return reshaped(graph, input, [...Array<number>(rank - shape.length).fill(1), ...shape]);
  });
}

/** With its averages it is a x + b for each channel. */
function batchNormalization(e: Emission): string {
  const [mean, variance] = [weightOf(e, "moving_mean").values, weightOf(e, "moving_variance").values];
  const [gamma, beta] = [e.weight("gamma")?.values, e.weight("beta")?.values];
  const epsilon = (e.config.epsilon as number | undefined) ?? 1e-3;
  const a = mean.map((_, i) => (gamma?.[i] ?? 1) / Math.sqrt(variance[i]! + epsilon));
  const b = mean.map((m, i) => (beta?.[i] ?? 0) - m * a[i]!);
  const { graph } = e;
  const scaled = graph.node("Mul", [e.inputs[0]!, graph.floats(a, [a.length])]);
  return graph.node("Add", [scaled, graph.floats(b, [b.length])]);
}

function layerNormalization(e: Emission): string {
  const { config, inputShape, graph } = e;
  const axes = Array.isArray(config.axis) ? config.axis.length : 1;
  const shape = inputShape.slice(inputShape.length - axes);
  const ones = { shape, values: new Float32Array(sizeOf(shape)).fill(1) };
  const beta = e.weight("beta");
  return graph.node(
    "LayerNormalization",
    [
      e.inputs[0]!,
      constant(e, e.weight("gamma") ?? ones),
      ...(beta === undefined ? [] : [constant(e, beta)]),
    ],
    {
      axis: { int: -axes },
      epsilon: { float: (config.epsilon as number | undefined) ?? 1e-3 },
    },
  );
}

function embedding(e: Emission): string {
  if (e.config.mask_zero === true) throw lacks(e, "mask_zero");
  const tokens = e.graph.node("Cast", [e.inputs[0]!], { to: { int: 7 } }); // int64
  return e.graph.node("Gather", [constant(e, weightOf(e, "embeddings")), tokens]);
}

/** The steps of all samples as so many samples. */
function timeDistributed(e: Emission): string {
  const { graph, inputShape } = e;
  const inner = e.config.layer as { class_name: string; config: Readonly<Record<string, unknown>> };
  const [T, ...shape] = inputShape as [number, ...number[]];
  const steps = graph.node("Reshape", [e.inputs[0]!, graph.ints([-1, ...shape])]);
  const layer = {
    name: e.name,
    className: inner.class_name,
    config: inner.config,
    call: e.call,
    inputs: [0],
  };
  const { outputShape } = layerPlanOf(layer, [shape], e.kinds);
  const value = emit({
    ...e,
    className: inner.class_name,
    config: inner.config,
    inputs: [steps],
    inputShape: shape,
    inputShapes: [shape],
    outputShape,
  });
  return graph.node("Reshape", [value, graph.ints([-1, T, ...outputShape])]);
}

/** Each input as a matrix: what is summed over stands last in the first, first in the second. */
function dot(e: Emission): string {
  const { axes } = e.config as { axes: number | readonly [number, number] };
  const sides = e.inputs.map((value, i) => {
    const shape = e.inputShapes[i]!;
    const given = typeof axes === "number" ? axes : axes[i]!;
    const place = given < 0 ? given + shape.length + 1 : given;
    if (shape.length === 1) return reshaped(e.graph, value, i === 0 ? [1, shape[0]!] : [shape[0]!, 1]);
    return place === (i === 0 ? 2 : 1) ? value : transposed(e.graph, value, [0, 2, 1]);
  });
  return reshaped(e.graph, e.graph.node("MatMul", sides), e.outputShape);
}
