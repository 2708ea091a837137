import { FleetError } from "../../protocol/errors.ts";
import type { Shape } from "./shape.ts";

/** A model as a graph: tensors are numbered, first the inputs, then the output of each call in the order in which they run. */
export interface Topology {
  readonly name: string;
  /** Of one sample, without the batch axis. */
  readonly inputs: readonly { readonly name: string; readonly shape: Shape }[];
  readonly calls: readonly LayerCall[];
  /** Numbers of tensors. */
  readonly outputs: readonly number[];
  /** Names of all layers in the file's order, which is the order of their weights. */
  readonly layers: readonly string[];
}

/** A layer at one place of the graph. A layer that is called twice has its weights once. */
export interface LayerCall {
  readonly name: string;
  readonly className: string;
  readonly config: unknown;
  /** Numbers of tensors. */
  readonly inputs: readonly number[];
  /** Arguments of the call besides the tensors. */
  readonly call: Readonly<Record<string, unknown>>;
}

/** A model as its file says it: layers by name, and which outputs each call of them takes. */
export interface RawModel {
  readonly name: string;
  readonly layers: readonly RawLayer[];
  readonly inputs: readonly Reference[];
  readonly outputs: readonly Reference[];
}

export interface RawLayer {
  readonly name: string;
  readonly className: string;
  readonly config: unknown;
  readonly calls: readonly RawCall[];
  /** Where a model stands in the place of a layer. */
  readonly model?: RawModel;
}

export interface RawCall {
  readonly from: readonly Reference[];
  readonly call: Readonly<Record<string, unknown>>;
}

export interface Reference {
  readonly layer: string;
  readonly call: number;
  readonly tensor: number;
}

/** Calls of layers and of models in a model: one that calls a model twice which calls one twice, and so on, would have no end. */
const MAX_CALLS = 2_000;

/**
 * Follows the references back from the outputs: calls come in an order in which they can run, what no output needs is left out, and models
 * inside are taken apart. Throws TOO_LARGE for more than 2,000 calls, BAD_INPUT for a reference to nothing, a circle, or a name that stands twice.
 */
export function connect(model: RawModel, shapeOf: (config: unknown) => Shape): Topology {
  const names = namesOf(model);
  const twice = names.find((name, i) => names.indexOf(name) < i);
  if (twice !== undefined) throw bad(`two layers are named "${twice}"; give each its own name`);
  const inputs = model.inputs.map(({ layer: name }) => {
    const layer = model.layers.find((candidate) => candidate.name === name);
    if (layer === undefined) throw bad(`the model's input "${name}" is none of its layers`);
    return { name, shape: shapeOf(layer.config) };
  });
  const calls: LayerCall[] = [];
  const outputs = place(
    model,
    inputs.map((_, i) => i),
    { calls, first: inputs.length, made: 0 },
  );
  return { name: model.name, inputs, calls, outputs, layers: names };
}

interface Placing {
  readonly calls: LayerCall[];
  /** Number of the first call's output. */
  readonly first: number;
  /** Calls so far, those of models included. */
  made: number;
}

/** Appends the calls of `model` on these input tensors; gives the output tensors. */
function place(model: RawModel, inputs: readonly number[], placing: Placing): number[] {
  const layers = new Map(model.layers.map((layer) => [layer.name, layer]));
  const done = new Map<string, readonly number[]>();
  const open = new Set<string>();

  const resolve = ({ layer: name, call: number, tensor }: Reference): number => {
    const input = model.inputs.findIndex(({ layer }) => layer === name);
    if (input >= 0) return inputs[input]!;
    const key = `${name}:${number}`;
    const found = (done.get(key) ?? run(name, number, key))[tensor];
    if (found === undefined)
      throw new FleetError("UNSUPPORTED", `layer "${name}": the engine has no output ${tensor} of it`);
    return found;
  };

  const run = (name: string, number: number, key: string): readonly number[] => {
    const layer = layers.get(name);
    const call = layer?.calls[number - (layer.model ? ownCalls(model, layer) : 0)];
    if (layer === undefined || call === undefined)
      throw bad(`the topology refers to call ${number} of layer "${name}", which is not there`);
    placing.made += 1;
    if (placing.made > MAX_CALLS)
      throw new FleetError("TOO_LARGE", `the model calls more than ${MAX_CALLS} layers; use a smaller one`);
    if (open.has(key)) throw bad(`layer "${name}" needs its own output; a model can't have a circle`);
    open.add(key);
    const from = call.from.map(resolve);
    let outputs: readonly number[];
    if (layer.model !== undefined) {
      if (layer.model.inputs.length !== from.length)
        throw bad(
          `model "${name}" has ${layer.model.inputs.length} inputs and is called with ${from.length}`,
        );
      outputs = place(layer.model, from, placing);
    } else {
      const { className, config } = layer;
      placing.calls.push({ name, className, config, inputs: from, call: call.call });
      outputs = [placing.first + placing.calls.length - 1];
    }
    open.delete(key);
    done.set(key, outputs);
    return outputs;
  };

  return model.outputs.map(resolve);
}

/** Keras and tfjs count a model's own making as its call 0, where it has been made from layers, but do not write it. */
export function ownCalls({ layers, outputs }: RawModel, { name, calls }: RawLayer): number {
  const all = [...outputs, ...layers.flatMap((layer) => layer.calls.flatMap(({ from }) => from))];
  const last = Math.max(...all.filter(({ layer }) => layer === name).map(({ call }) => call));
  return Math.max(0, last - (calls.length - 1));
}

function namesOf(model: RawModel): string[] {
  return model.layers.flatMap((layer) => (layer.model ? namesOf(layer.model) : [layer.name]));
}

function bad(message: string): FleetError {
  return new FleetError("BAD_INPUT", message);
}
