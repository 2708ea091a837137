import { FleetError } from "../../../protocol/errors.ts";
import { translated } from "../dialect.ts";
import { writtenByKeras } from "../layers/upsampling.ts";

/** Of the layers that the engine might have, those that tfjs-layers 4 registers too. */
const LAYERS = new Set([
  "Activation",
  "Add",
  "AlphaDropout",
  "Average",
  "AveragePooling1D",
  "AveragePooling2D",
  "BatchNormalization",
  "Bidirectional",
  "Concatenate",
  "Conv1D",
  "Conv2D",
  "Conv2DTranspose",
  "Cropping2D",
  "Dense",
  "DepthwiseConv2D",
  "Dot",
  "Dropout",
  "ELU",
  "Embedding",
  "Flatten",
  "GRU",
  "GaussianDropout",
  "GaussianNoise",
  "GlobalAveragePooling1D",
  "GlobalAveragePooling2D",
  "GlobalMaxPooling1D",
  "GlobalMaxPooling2D",
  "InputLayer",
  "LSTM",
  "LayerNormalization",
  "LeakyReLU",
  "Masking",
  "MaxPooling1D",
  "MaxPooling2D",
  "Maximum",
  "Minimum",
  "Multiply",
  "PReLU",
  "Permute",
  "ReLU",
  "RepeatVector",
  "Reshape",
  "SeparableConv2D",
  "SimpleRNN",
  "Softmax",
  "SpatialDropout1D",
  "ThresholdedReLU",
  "TimeDistributed",
  "UpSampling2D",
  "ZeroPadding2D",
]);
const MODELS = new Set(["Sequential", "Functional", "Model"]);

/** Activations by the names that tfjs has for them. */
const ACTIVATIONS: Readonly<Record<string, string>> = { silu: "swish" };
const NO_ACTIVATIONS = new Set(["exponential", "hard_sigmoid_3", "hard_silu", "hard_swish", "leaky_relu"]);

/** What Keras 3 writes beside a config to find its class again. */
const BOOKKEEPING = new Set([
  "module",
  "registered_name",
  "build_config",
  "compile_config",
  "shared_object_id",
]);

type Json = Readonly<Record<string, unknown>>;

/**
 * A topology as tfjs-layers reads it: what Keras 3 writes in other words is put into its own. Throws UNSUPPORTED for what tfjs lacks, rather
 * than let it read something else.
 */
export function toTfjs(topology: unknown): unknown {
  return modelOf(translated(topology) as Json);
}

function modelOf({ class_name, config }: Json): Json {
  const { layers, input_layers, output_layers, ...rest } = config as Json & { layers: readonly Json[] };
  const functional = class_name !== "Sequential";
  return {
    class_name,
    config: {
      ...(plain(rest) as Json),
      layers: layers.map(layerOf),
      ...(functional && { input_layers: list(input_layers), output_layers: list(output_layers) }),
    },
  };
}

function layerOf(layer: Json): Json {
  const className = layer.class_name as string;
  const { name } = layer.config as { name?: string };
  const placed = {
    ...(layer.name !== undefined && { name: layer.name }),
    ...(layer.inbound_nodes !== undefined && {
      inbound_nodes: (layer.inbound_nodes as readonly unknown[]).map(nodeOf),
    }),
  };
  if (MODELS.has(className)) return { ...modelOf(layer), ...placed };
  if (!LAYERS.has(className)) throw lacks(name, className);
  const config = plain(layer.config) as Record<string, unknown>;
  for (const [key, value] of Object.entries(config))
    if (/activation$/.test(key)) config[key] = activation(value, name);
  if (className === "GRU" && config.reset_after === true) throw lacks(name, "reset_after");
  if (className === "LeakyReLU") config.alpha ??= config.negative_slope;
  if (className === "ReLU" && (config.negative_slope || config.threshold)) throw lacks(name, "slope");
  if (className === "ELU" && (config.alpha ?? 1) !== 1) throw lacks(name, "ELU with another alpha than 1");
  if (className === "UpSampling2D" && config.interpolation === "bilinear" && writtenByKeras(config))
    throw lacks(name, "bilinear interpolation as Keras has it");
  if ("batch_shape" in config) {
    config.batch_input_shape = config.batch_shape;
    delete config.batch_shape;
  }
  return { class_name: className, config, ...placed };
}

function activation(value: unknown, layer: string | undefined): unknown {
  if (typeof value !== "string") return value;
  if (NO_ACTIVATIONS.has(value))
    throw lacks(layer, value === "hard_sigmoid_3" ? "hard_sigmoid of Keras 3" : value);
  return ACTIVATIONS[value] ?? value;
}

/** Without the bookkeeping, and with dtype policies as the dtypes that they name. Layers inside layers (wrappers) are layers too. */
function plain(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== "object" || value === null) return value;
  const json = value as Json;
  if (json.class_name === "DTypePolicy") return (json.config as { name: string }).name;
  const entries = Object.entries(json).filter(([key]) => !BOOKKEEPING.has(key));
  return Object.fromEntries(
    entries.map(([key, inner]) => [key, key === "layer" ? layerOf(inner as Json) : plain(inner)]),
  );
}

/** { args: [tensor, ...], kwargs } -> [[name, call, tensor, kwargs], ...] */
function nodeOf(node: unknown): unknown {
  const { args, kwargs } = node as { args?: readonly unknown[]; kwargs?: Json };
  if (args === undefined) return node;
  const tensors = [...args.flat(), ...Object.values(kwargs ?? {})].flatMap((arg) => {
    const { class_name, config } = (arg ?? {}) as {
      class_name?: string;
      config?: { keras_history: unknown[] };
    };
    return class_name === "__keras_tensor__" ? [config!.keras_history] : [];
  });
  return tensors.map((history) => [...history, {}]);
}

/** One input or output may stand without the outer brackets. */
function list(references: unknown): unknown {
  if (!Array.isArray(references)) return Object.values(references as Json);
  return typeof references[0] === "string" ? [references] : references;
}

function lacks(layer: string | undefined, what: string): FleetError {
  return new FleetError(
    "UNSUPPORTED",
    `layer "${layer}": tfjs-layers has no ${what}; use another engine or format`,
  );
}
