import { Activation } from "../activations.ts";
import { isKeras3 } from "../dialect.ts";
import type { RawCall } from "../graph.ts";
import { writtenByKeras } from "../layers/upsampling.ts";
import { type Dialect, type Json, lacks as lacksIn, type Named, rewritten } from "./rewrite.ts";

/** Of the engine's layers, those that Keras 3 has not. */
const NO_LAYERS = new Set(["PositionEmbedding", "SinePositionEncoding", "ThresholdedReLU"]);

/** Options of earlier versions and of tfjs that Keras 3 would refuse; none of them changes what is computed. */
const DROPPED = new Set([
  "implementation",
  "input_dtype",
  "input_length",
  "renorm",
  "renorm_clipping",
  "renorm_momentum",
  "fused",
  "time_major",
  "use_cudnn",
  "batch_size",
]);

const OWN = new Set(["name", "trainable", "dtype"]);

/** Activations by the names that Keras 3 has for them; undefined: the same. */
const ACTIVATIONS: Readonly<Record<string, string | null>> = {
  hard_sigmoid: null, // 0.2 x + 0.5, of Keras 2
  hard_sigmoid_3: "hard_sigmoid",
  gelu_tanh: null,
  hard_swish: "hard_silu",
  swish: "silu",
};

const MODULES: Readonly<Record<string, string>> = {
  initializer: "keras.initializers",
  regularizer: "keras.regularizers",
  constraint: "keras.constraints",
};

/** Called with a list of tensors, where others take one after the other. */
const TAKE_LISTS = new Set([
  "Add",
  "AdditiveAttention",
  "Attention",
  "Average",
  "Concatenate",
  "Dot",
  "Maximum",
  "Minimum",
  "Multiply",
  "Subtract",
]);

/** A topology as Keras 3 reads it; one that it wrote stays as it is. Throws UNSUPPORTED for what it lacks. */
export function toKeras3(topology: unknown): Named {
  const whole = isKeras3(topology) && "module" in (topology as Json); // a .h5 file leaves the modules out
  return whole ? (topology as Named) : rewritten(topology, KERAS_3);
}

const KERAS_3: Dialect = {
  ownCalls: 0,
  // Where there is one alone, Keras 3 calls the model with it, and not with a list.
  ends: (tensors) => (tensors.length === 1 ? tensors[0] : tensors),
  beside: (module) => ({ module, registered_name: null }),
  inputOptions: (name, shape) => ({ name, batch_shape: shape, dtype: "float32", sparse: false }),
  call: kerasCall,
  options({ name, className, config }) {
    if (NO_LAYERS.has(className)) throw lacks(name, className);
    if (className === "UpSampling2D" && config.interpolation === "bilinear" && !writtenByKeras(config))
      throw lacks(name, "bilinear interpolation as tfjs has it");
    const options = Object.fromEntries(
      Object.entries(config)
        .filter(([key]) => !DROPPED.has(key))
        .map(([key, value]) => [key, option(key, value, name)]),
    );
    if (className === "LeakyReLU") {
      options.negative_slope ??= options.alpha;
      delete options.alpha;
    }
    // Where the file does not say it, older versions reset before.
    if (className.startsWith("GRU")) options.reset_after ??= false;
    // tfjs writes the options of the cell beside it once more.
    if (className === "RNN")
      for (const key of Object.keys((config.cell as Named).config)) if (!OWN.has(key)) delete options[key];
    if (className.startsWith("SpatialDropout")) {
      delete options.noise_shape;
      delete options.trainable;
    }
    return options;
  },
};

function option(key: string, value: unknown, layer: string): unknown {
  if (/activation$/.test(key) && typeof value === "string") return activation(value, layer);
  const module = MODULES[key.split("_").at(-1)!];
  if (module === undefined || typeof value !== "object" || value === null) return value;
  return { ...value, module, registered_name: null };
}

function activation(value: string, layer: string): string {
  const { name } = Activation.parse(value);
  const known = ACTIVATIONS[name];
  if (known === null) throw lacks(layer, name === "hard_sigmoid" ? "hard_sigmoid as Keras 2 has it" : name);
  return known ?? name;
}

function kerasCall(className: string, { call }: RawCall, tensors: readonly (readonly unknown[])[]): Json {
  // Keras finds each tensor by its history and makes its shape anew.
  const args = tensors.map((history) => ({
    class_name: "__keras_tensor__",
    config: { shape: [null], dtype: "float32", keras_history: history },
  }));
  return { args: TAKE_LISTS.has(className) ? [args] : args, kwargs: call };
}

function lacks(layer: string, what: string) {
  return lacksIn(layer, what, "Keras 3");
}
