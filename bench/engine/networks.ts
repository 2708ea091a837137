/** A network in the LayersModel JSON form that tfjs and Keras write, and what it is trained on. */
export interface Network {
  readonly topology: object;
  /** Of one window, without the batch axis. */
  readonly inputShape: readonly number[];
  readonly targetShape: readonly number[];
  readonly loss: "mse" | "sparseCategoricalCrossentropy";
  /** Of a target that is a class. */
  readonly classes?: number;
}

/** Every peer builds these: tfjs and our engine from the JSON, PyTorch and Keras in bench/peers, in their users' manner. */
export const networks = {
  gru: forecaster("GRU", { recurrent_activation: "sigmoid", reset_after: false }),
  lstm: forecaster("LSTM", { recurrent_activation: "sigmoid", unit_forget_bias: true }),
  "conv1d-autoencoder": autoencoder(),
  "image-network": imageNetwork(),
  "mini-transformer": miniTransformer(),
} as const satisfies Readonly<Record<string, Network>>;

export type NetworkName = keyof typeof networks;

/** 32 units over 64 steps of 8 channels; from the last step, 8 channels. The reset of the GRU comes before the product, since tfjs has no other. */
function forecaster(className: "GRU" | "LSTM", gates: Readonly<Record<string, unknown>>): Network {
  const [window, channels, units] = [64, 8, 32];
  return {
    topology: sequential(
      className.toLowerCase(),
      [window, channels],
      [
        {
          class_name: className,
          config: { units, activation: "tanh", use_bias: true, return_sequences: false, ...gates },
        },
        { class_name: "Dense", config: { units: channels, activation: "linear", use_bias: true } },
      ],
    ),
    inputShape: [window, channels],
    targetShape: [channels],
    loss: "mse",
  };
}

/** Keras' own example of an autoencoder for time series (32, 16, 16, 32 filters of 7, strides of 2), without its dropout. */
function autoencoder(): Network {
  const [window, channels] = [64, 38];
  const layer = (class_name: string, filters: number, strides: number, activation: string) => ({
    class_name,
    config: {
      filters,
      kernel_size: [7],
      strides: [strides],
      padding: "same",
      activation,
      use_bias: true,
    },
  });
  return {
    topology: sequential(
      "conv1d_autoencoder",
      [window, channels],
      [
        layer("Conv1D", 32, 2, "relu"),
        layer("Conv1D", 16, 2, "relu"),
        layer("Conv1DTranspose", 16, 2, "relu"),
        layer("Conv1DTranspose", 32, 2, "relu"),
        layer("Conv1DTranspose", channels, 1, "linear"),
      ],
    ),
    inputShape: [window, channels],
    targetShape: [window, channels],
    loss: "mse",
  };
}

/** The first network of every course: 121,930 weights. */
function imageNetwork(): Network {
  const conv = (filters: number) => ({
    class_name: "Conv2D",
    config: {
      filters,
      kernel_size: [3, 3],
      strides: [1, 1],
      padding: "valid",
      activation: "relu",
      use_bias: true,
    },
  });
  const pool = {
    class_name: "MaxPooling2D",
    config: { pool_size: [2, 2], strides: [2, 2], padding: "valid" },
  };
  const dense = (units: number, activation: string) => ({
    class_name: "Dense",
    config: { units, activation, use_bias: true },
  });
  const classes = 10;
  return {
    topology: sequential(
      "image_network",
      [28, 28, 1],
      [
        conv(32),
        pool,
        conv(64),
        pool,
        { class_name: "Flatten", config: {} },
        dense(64, "relu"),
        dense(classes, "softmax"),
      ],
    ),
    inputShape: [28, 28, 1],
    targetShape: [1],
    loss: "sparseCategoricalCrossentropy",
    classes,
  };
}

/** Two blocks of Vaswani et al. 2017, arXiv 1706.03762 (normalised after each sum), 32 wide with 2 heads, over 32 steps of 8 channels; the mean over time. */
function miniTransformer(): Network {
  const [window, channels, width, heads, blocks] = [32, 8, 32, 2, 2];
  const layers: object[] = [];
  const add = (
    class_name: string,
    name: string,
    inputs: readonly string[],
    config: Readonly<Record<string, unknown>> = {},
  ) => {
    const inbound_nodes = inputs.length === 0 ? [] : [inputs.map((input) => [input, 0, 0, {}])];
    layers.push({ class_name, name, config: { name, ...config }, inbound_nodes });
    return name;
  };
  const dense = (name: string, input: string, units: number, activation = "linear") =>
    add("Dense", name, [input], { units, activation, use_bias: true });
  const input = add("InputLayer", "input", [], {
    batch_input_shape: [null, window, channels],
    dtype: "float32",
    sparse: false,
  });
  let x = dense("embed", input, width);
  for (let block = 1; block <= blocks; block++) {
    // Query and value; the key is the value.
    const attended = add("MultiHeadAttention", `attention_${block}`, [x, x], {
      num_heads: heads,
      key_dim: width / heads,
      use_bias: true,
    });
    const norm = { axis: [-1], epsilon: 1e-5, center: true, scale: true };
    x = add("LayerNormalization", `norm_${block}a`, [add("Add", `sum_${block}a`, [x, attended])], norm);
    const wide = dense(`wide_${block}`, x, 4 * width, "relu");
    const narrow = dense(`narrow_${block}`, wide, width);
    x = add("LayerNormalization", `norm_${block}b`, [add("Add", `sum_${block}b`, [x, narrow])], norm);
  }
  const output = dense("head", add("GlobalAveragePooling1D", "mean", [x]), channels);
  return {
    topology: {
      class_name: "Functional",
      config: {
        name: "mini_transformer",
        layers,
        input_layers: [[input, 0, 0]],
        output_layers: [[output, 0, 0]],
      },
    },
    inputShape: [window, channels],
    targetShape: [channels],
    loss: "mse",
  };
}

interface Layer {
  readonly class_name: string;
  readonly config: Readonly<Record<string, unknown>>;
}

/** The first layer says the shape of the input; every layer gets a name. */
function sequential(name: string, inputShape: readonly number[], layers: readonly Layer[]): object {
  const named = layers.map(({ class_name, config }, i) => ({
    class_name,
    config: {
      name: `${class_name.toLowerCase()}_${i + 1}`,
      ...(i === 0 && { batch_input_shape: [null, ...inputShape] }),
      ...config,
    },
  }));
  return { class_name: "Sequential", config: { name, layers: named } };
}
