import { FleetError } from "../../../protocol/errors.ts";
import { type Ending, endingOf } from "../losses.ts";
import type { Plan } from "../plan.ts";
import type { Ends } from "../samples.ts";
import { type Layout, type Shape, sizeOf } from "../shape.ts";
import type { Tf, TfLayer, TfModel, TfTensor, TfVariable, TfWeight } from "./api.ts";

/** A model of tfjs as the rest of the engine knows a machine: flat weights, and buffers at both ends. */
export interface TfMachine extends Ends {
  readonly tf: Tf;
  readonly model: TfModel;
  readonly maxBatch: number;
  readonly layout: Layout;
  readonly parameters: number;
  readonly variables: readonly PlacedVariable[];
  /** Names of all layers. */
  readonly layers: readonly string[];
  readonly outputs: readonly TfOutput[];
  /** What makes probabilities of an output's values. */
  readonly endings: readonly (Ending | undefined)[];
  weights(): Float32Array;
  setWeights(flat: Float32Array): void;
  /** From the inputs' buffers to the outputs'. */
  forward(batch: number, training: boolean): void;
  /** The outputs as tensors; to be called inside `tidy`. */
  apply(batch: number, training: boolean): TfTensor[];
}

type TfOutput = Ends["outputs"][number];

export interface PlacedVariable {
  readonly variable: TfVariable;
  readonly weight: TfWeight;
  readonly layer: string;
  /** In the flat array. */
  readonly offset: number;
  readonly size: number;
  /** false: what a layer keeps itself. */
  readonly trained: boolean;
}

export function createTfMachine(
  tf: Tf,
  model: TfModel,
  { maxBatch, plan }: { readonly maxBatch: number; readonly plan: Plan | undefined },
): TfMachine {
  const layers = leavesOf(model);
  const owner = new Map(layers.flatMap((layer) => layer.weights.map((weight) => [weight, layer.name])));
  const trained = new Set(model.trainableWeights);
  let offset = 0;
  const variables = model.weights.map((weight): PlacedVariable => {
    const size = sizeOf(weight.shape as Shape);
    offset += size;
    const variable = weight.read() as TfVariable;
    const layer = owner.get(weight) ?? model.name;
    return { variable, weight, layer, offset: offset - size, size, trained: trained.has(weight) };
  });
  const parameters = offset;
  const inputs = model.inputs.map(({ shape }) => end(shape, maxBatch));
  const outputs = model.outputs.map(({ shape }): TfOutput => {
    const value = end(shape, maxBatch);
    const targets = end(shape, maxBatch);
    const cols = value.shape.at(-1)!;
    return {
      ...value,
      targetsAt: targets.at,
      classesAt: (batch) => targets.part((batch * value.size) / cols),
    };
  });

  const machine: TfMachine = {
    tf,
    model,
    maxBatch,
    layout: model.weights.map(({ originalName: name, shape }) => ({ name, shape: shape as Shape })),
    parameters,
    variables,
    layers: layers.map(({ name }) => name),
    inputs,
    outputs,
    endings: model.outputs.map((_, i) => (plan ? endingOf(plan, i) : theirEnding(model, i))),
    weights() {
      const flat = new Float32Array(parameters);
      for (const { variable, offset: at } of variables) flat.set(variable.dataSync(), at);
      return flat;
    },
    setWeights(flat) {
      tf.tidy(() => {
        for (const { variable, offset: at, size } of variables)
          variable.assign(tf.tensor(flat.slice(at, at + size), [...variable.shape]));
      });
    },
    apply(batch, training) {
      const xs = inputs.map(({ shape, at }) => tf.tensor(at(batch).slice(), [batch, ...shape]));
      const given = model.apply(xs.length === 1 ? xs[0]! : xs, { training });
      return (Array.isArray(given) ? given : [given]) as TfTensor[];
    },
    forward(batch, training) {
      tf.tidy(() => {
        machine
          .apply(batch, training)
          .forEach((tensor, i) => void outputs[i]!.at(batch).set(tensor.dataSync()));
      });
    },
    checkInput(batch) {
      for (const { at } of inputs)
        if (!at(batch).every(Number.isFinite))
          throw new FleetError(
            "NOT_FINITE",
            "inputs hold NaN or Inf; fill or drop those rows before the model sees them",
          );
    },
    checkTargets(batch, targets) {
      for (const { at, classes } of targets) {
        const values = at(batch);
        if (values.some((value) => Math.abs(value) === Number.POSITIVE_INFINITY))
          throw new FleetError("NOT_FINITE", "targets hold Inf; clean the data (NaN marks a missing target)");
        if (classes !== null && values.some((v) => v < 0 || v >= classes || isBroken(v)))
          throw new FleetError(
            "BAD_INPUT",
            `targets must be whole numbers from 0 to ${classes - 1}, as the output has ${classes} classes`,
          );
      }
    },
  };
  return machine;
}

function isBroken(value: number): boolean {
  return !Number.isNaN(value) && !Number.isInteger(value);
}

/** Of a model that the own engine has no plan of: what the last layer's activation says. */
function theirEnding({ outputs }: TfModel, output: number): Ending | undefined {
  const { sourceLayer } = outputs[output]!;
  const { activation } = sourceLayer.getConfig();
  const known = activation === "softmax" || activation === "sigmoid";
  return known ? { layer: sourceLayer.name, kind: activation } : undefined;
}

/** A buffer for up to `maxBatch` samples, and views of it. */
function end(shape: readonly (number | null)[], maxBatch: number) {
  const own = shape.slice(1);
  if (own.some((size) => size === null))
    throw new FleetError(
      "BAD_INPUT",
      "the model leaves a size open besides the batch; fix every size in inputShape",
    );
  const size = sizeOf(own as Shape);
  const buffer = new Float32Array(maxBatch * size);
  const part = (length: number) => buffer.subarray(0, length);
  return { shape: own as Shape, size, part, at: (batch: number) => part(batch * size) };
}

/** The layers of a model and of the models inside it. */
function leavesOf(model: TfLayer): TfLayer[] {
  return (model.layers ?? []).flatMap((layer) => (layer.layers ? leavesOf(layer) : [layer]));
}
