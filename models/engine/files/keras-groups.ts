import type { NamedTensor } from "./flat.ts";
import type { Hdf5 } from "./hdf5.ts";

interface RawLayer {
  readonly class_name: string;
  readonly config: {
    readonly name?: string;
    readonly layers?: readonly RawLayer[];
    readonly layer?: RawLayer;
  };
}

const RECURRENT = new Set(["GRU", "LSTM", "RNN", "SimpleRNN"]);
const MODELS = new Set(["Sequential", "Functional", "Model"]);

/** Where the layers of a model stand: in Keras 3, and in 2.12 to 2.15. */
const CONTAINERS = ["layers", "_layer_checkpoint_dependencies"];

/** Parts of a layer in the order of its weights, where that is not the order of their names. */
const PARTS = ["forward_layer", "backward_layer", "query_dense", "key_dense", "value_dense", "output_dense"];

/**
 * The weights of each layer in model.weights.h5, in order. Groups are named for the layers' classes, numbered in the order of the file, not
 * for the layers: layers/dense, layers/dense_1. Source: keras/src/saving/saving_lib.py, _save_container_state.
 */
export function kerasTensors(topology: unknown, file: Hdf5): Map<string, NamedTensor[]> {
  const tensors = new Map<string, NamedTensor[]>();
  const containerIn = (path: string) =>
    CONTAINERS.find((name) => file.names(join(path, name)).length > 0) ?? CONTAINERS[0]!;
  for (const { layer, group } of groupsOf(topology as RawLayer, containerIn))
    tensors.set(layer.config.name ?? "", tensorsBelow(group, file));
  return tensors;
}

/** The same weights under the names that Keras 3 looks for. */
export function inKerasGroups(
  topology: unknown,
  weightsOf: (layer: string) => readonly Omit<NamedTensor, "name">[],
): NamedTensor[] {
  return groupsOf(topology as RawLayer, () => CONTAINERS[0]!).flatMap(({ layer, group }) => {
    const weights = weightsOf(layer.config.name ?? "");
    const parts = partsOf(layer);
    const each = weights.length / parts.length;
    return weights.map((weight, i) => ({
      ...weight,
      name: join(group, parts[Math.floor(i / each)]!, "vars", String(i % each)),
    }));
  });
}

/** Where within a layer's group its weights stand, in their order; each part has as many. */
function partsOf({ class_name: name, config }: RawLayer): string[] {
  if (name === "Bidirectional")
    return PARTS.slice(0, 2).flatMap((part) => partsOf(config.layer!).map((inner) => join(part, inner)));
  if (name === "TimeDistributed") return partsOf(config.layer!).map((inner) => join("layer", inner));
  if (name === "MultiHeadAttention") return PARTS.slice(2);
  return RECURRENT.has(name) ? ["cell"] : [""];
}

/** The layers of a model, and of the models inside it, with the groups that they stand in. */
function groupsOf(
  model: RawLayer,
  containerIn: (path: string) => string,
  path = "",
): { readonly layer: RawLayer; readonly group: string }[] {
  const used = new Map<string, number>();
  return (model.config.layers ?? []).flatMap((layer) => {
    const group = join(path, containerIn(path), numbered(snakeCase(layer.class_name), used));
    return MODELS.has(layer.class_name) ? groupsOf(layer, containerIn, group) : [{ layer, group }];
  });
}

/** A group's own variables, then those of its parts. */
function tensorsBelow(path: string, file: Hdf5): NamedTensor[] {
  const own = file
    .names(join(path, "vars"))
    .sort((a, b) => Number(a) - Number(b))
    .flatMap((name) => file.tensor(join(path, "vars", name)) ?? []);
  const parts = file
    .names(path)
    // What dropout draws from is no weight.
    .filter((name) => name !== "vars" && name !== "seed_generator")
    .sort((a, b) => rank(a) - rank(b));
  return [...own, ...parts.flatMap((name) => tensorsBelow(join(path, name), file))];
}

function rank(part: string): number {
  return PARTS.indexOf(part.replace(/^_/, ""));
}

function numbered(name: string, used: Map<string, number>): string {
  const count = used.get(name) ?? 0;
  used.set(name, count + 1);
  return count === 0 ? name : `${name}_${count}`;
}

/** As Keras does it: SimpleRNN -> simple_rnn, PReLU -> p_re_lu, Conv1D -> conv1d. */
function snakeCase(name: string): string {
  return name
    .replace(/(.)([A-Z][a-z]+)/g, "$1_$2")
    .replace(/([a-z])([A-Z])/g, "$1_$2")
    .toLowerCase();
}

function join(...parts: string[]): string {
  return parts.filter((part) => part !== "").join("/");
}
