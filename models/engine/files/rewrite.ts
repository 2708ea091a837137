import { FleetError } from "../../../protocol/errors.ts";
import { isRenamed } from "../dialect.ts";
import { ownCalls, type RawCall, type RawModel, type Reference } from "../graph.ts";
import { parseModel } from "../topology.ts";

// A topology, which may come from tfjs or from any Keras, written again in the words of one of them.

export type Json = Readonly<Record<string, unknown>>;

/** A layer, or what stands in the place of one: an initializer, a regularizer. */
export interface Named {
  readonly class_name: string;
  readonly config: Json;
}

export interface Dialect {
  /** What beside class_name and config stands at every layer and model. `module`: "keras", "keras.layers". */
  beside(module: string): Json;
  /** The options of a layer, of which `plain` has been made. Throws UNSUPPORTED for a layer or an option that is not in the dialect. */
  options(layer: { readonly name: string; readonly className: string; readonly config: Json }): Json;
  inputOptions(name: string, batchShape: unknown): Json;
  /** One element of inbound_nodes. */
  call(className: string, call: RawCall, tensors: readonly Tensor[]): unknown;
  /** input_layers and output_layers. */
  ends(tensors: readonly Tensor[]): unknown;
  /** Number of a model's own making, from which calls of it count on. */
  readonly ownCalls: 0 | 1;
}

export type Tensor = readonly [layer: string, call: number, tensor: number];

export function rewritten(topology: unknown, dialect: Dialect): Named {
  return modelOf(parseModel(topology), (topology as Named).class_name, dialect);
}

function modelOf(model: RawModel, className: string, dialect: Dialect): Named {
  const sequential = className === "Sequential";
  const tensor = ({ layer: name, call, tensor: output }: Reference): Tensor => {
    const layer = model.layers.find((candidate) => candidate.name === name);
    const own = layer?.model === undefined ? 0 : dialect.ownCalls - ownCalls(model, layer);
    return [name, call + own, output];
  };
  const layers = model.layers.map((layer) => {
    const { name, className: kind, calls } = layer;
    const written = layer.model
      ? modelOf(layer.model, kind, dialect)
      : layerOf({ class_name: kind, config: { ...(layer.config as Json), name } }, dialect);
    if (sequential) return written;
    const nodes = calls.map((call) => dialect.call(kind, call, call.from.map(tensor)));
    return { ...written, name, inbound_nodes: nodes };
  });
  return {
    ...dialect.beside(sequential ? "keras" : "keras.src.models.functional"),
    class_name: sequential ? "Sequential" : "Functional",
    config: {
      name: model.name,
      layers,
      ...(!sequential && {
        input_layers: dialect.ends(model.inputs.map(tensor)),
        output_layers: dialect.ends(model.outputs.map(tensor)),
      }),
    },
  };
}

/** A layer outside the graph: in a model, or in another layer. */
function layerOf({ class_name, config }: Named, dialect: Dialect): Named {
  const name = String(config.name ?? class_name.toLowerCase());
  const beside = dialect.beside("keras.layers");
  if (class_name === "InputLayer") {
    const shape = config.batch_input_shape ?? config.batch_shape;
    return { ...beside, class_name, config: dialect.inputOptions(name, shape) };
  }
  const inner = (value: unknown) => layerOf(value as Named, dialect);
  const options = Object.entries(plain(config))
    // The InputLayer has it.
    .filter(([key]) => key !== "batch_input_shape" && key !== "batch_shape")
    .map(([key, value]) => [key, isLayer(value) && WITHIN.has(key) ? inner(value) : value]);
  return {
    ...beside,
    class_name,
    config: dialect.options({ name, className: class_name, config: Object.fromEntries(options) }),
  };
}

/** Options of layers that are layers. */
const WITHIN = new Set(["layer", "backward_layer", "cell"]);

function isLayer(value: unknown): value is Named {
  return typeof value === "object" && value !== null && "class_name" in value;
}

/** What Keras 3 writes beside a config to find its class again. */
const BOOKKEEPING = new Set([
  "module",
  "registered_name",
  "build_config",
  "compile_config",
  "shared_object_id",
]);

/** Without the bookkeeping, and with dtype policies as the dtypes that they name. */
function plain(config: Json): Json {
  return Object.fromEntries(
    Object.entries(config)
      .filter(([key]) => !BOOKKEEPING.has(key))
      .map(([key, value]) => [key, plainValue(value)]),
  );
}

function plainValue(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(plainValue);
  if (typeof value !== "object" || value === null) return value;
  const { class_name, config } = value as Partial<Named>;
  return class_name === "DTypePolicy" ? config?.name : plain(value as Json);
}

/** The error of a layer that the other side has not. */
export function lacks(layer: string, what: string, engine: string): FleetError {
  const own = isRenamed(what) ? "hard_sigmoid of Keras 3" : what;
  return new FleetError(
    "UNSUPPORTED",
    `layer "${layer}": ${engine} has no ${own}; use another engine or format`,
  );
}
