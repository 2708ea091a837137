import type { NamedTensor } from "./flat.ts";
import type { Hdf5 } from "./hdf5.ts";

interface RawLayer {
  readonly class_name: string;
  readonly config: { readonly name?: string; readonly layers?: readonly RawLayer[] };
}

/**
 * The weights of each layer in a whole model's .h5, in order: model_weights/<layer> lists them in its attribute weight_names. A model inside
 * a model has one list for all of its layers, first what is trained, then the rest: it is dealt out to them.
 */
export function legacyTensors(topology: unknown, file: Hdf5): Map<string, NamedTensor[]> {
  const tensors = new Map<string, NamedTensor[]>();
  for (const layer of (topology as RawLayer).config.layers ?? []) {
    const group = `model_weights/${layer.config.name}`;
    for (const name of file.texts(group, "weight_names")) {
      const tensor = file.tensor(`${group}/${name}`);
      if (tensor === undefined) continue;
      const owner = ownerOf(layer, name);
      tensors.set(owner, [...(tensors.get(owner) ?? []), tensor]);
    }
  }
  return tensors;
}

/** Whose the weight "inner/dense_2/kernel:0" is: the innermost layer whose name stands in it. */
function ownerOf(layer: RawLayer, weight: string): string {
  const name = layer.config.name ?? "";
  const inner = (layer.config.layers ?? []).find(({ config }) => `/${weight}`.includes(`/${config.name}/`));
  return inner === undefined ? name : ownerOf(inner, weight);
}
