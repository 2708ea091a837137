import { writtenByKeras } from "../layers/upsampling.ts";
import { type Dialect, type Json, lacks as lacksIn, type Named, rewritten } from "./rewrite.ts";

/** Of the engine's layers, those that tfjs-layers 4 registers too. */
export const TFJS_LAYERS: ReadonlySet<string> = new Set([
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
  "GRUCell",
  "GaussianDropout",
  "GaussianNoise",
  "GlobalAveragePooling1D",
  "GlobalAveragePooling2D",
  "GlobalMaxPooling1D",
  "GlobalMaxPooling2D",
  "LSTM",
  "LSTMCell",
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
  "RNN",
  "ReLU",
  "RepeatVector",
  "Reshape",
  "SeparableConv2D",
  "SimpleRNN",
  "SimpleRNNCell",
  "Softmax",
  "SpatialDropout1D",
  "ThresholdedReLU",
  "TimeDistributed",
  "UpSampling2D",
  "ZeroPadding2D",
]);

/** Activations by the names that tfjs has for them. */
const ACTIVATIONS: Readonly<Record<string, string>> = { silu: "swish" };
const NO_ACTIVATIONS = new Set(["exponential", "hard_sigmoid_3", "hard_silu", "hard_swish", "leaky_relu"]);

/**
 * A topology as tfjs-layers reads it. Throws UNSUPPORTED for what tfjs lacks, rather than let it read something else.
 */
export function toTfjs(topology: unknown): Named {
  return rewritten(topology, TFJS);
}

const TFJS: Dialect = {
  ownCalls: 1,
  ends: (tensors) => tensors,
  beside: () => ({}),
  inputOptions: (name, shape) => ({ name, batch_input_shape: shape, dtype: "float32", sparse: false }),
  call: (_className, _call, tensors) => tensors.map((tensor) => [...tensor, {}]),
  options({ name, className, config }) {
    if (!TFJS_LAYERS.has(className)) throw lacks(name, className);
    const options: Record<string, unknown> = { ...config };
    for (const [key, value] of Object.entries(options))
      if (/activation$/.test(key)) options[key] = activation(value, name);
    checkOptions(name, className, options);
    if (className === "LeakyReLU") options.alpha ??= options.negative_slope;
    return options;
  },
};

function checkOptions(name: string, className: string, config: Json): void {
  if (config.reset_after === true) throw lacks(name, "reset_after");
  if (className === "ReLU" && (config.negative_slope || config.threshold))
    throw lacks(name, "ReLU with a slope");
  if (className === "ELU" && (config.alpha ?? 1) !== 1) throw lacks(name, "ELU with another alpha than 1");
  if (className === "UpSampling2D" && config.interpolation === "bilinear" && writtenByKeras(config))
    throw lacks(name, "bilinear interpolation as Keras has it");
}

function activation(value: unknown, layer: string): unknown {
  if (typeof value !== "string") return value;
  if (NO_ACTIVATIONS.has(value)) throw lacks(layer, value);
  return ACTIVATIONS[value] ?? value;
}

function lacks(layer: string, what: string) {
  return lacksIn(layer, what, "tfjs-layers");
}
