export const NETWORKS = ["gru", "lstm", "attention"] as const;
export type Network = (typeof NETWORKS)[number];

/** How each of them is trained. */
export const TRAINING = {
  batchSize: 32,
  loss: "mse",
  optimizer: { name: "adam", learningRate: 0.003 },
  clipNorm: 1,
} as const;

/**
 * Forecasts the next row at every row of a window. x: (batch, window, channels) -> y: (batch, window, channels). LayersModel JSON, as tfjs and
 * Keras write it; the attention network may not look ahead (use_causal_mask).
 */
export function networkOf(kind: Network, window: number, channels: number): object {
  return kind === "attention" ? attention(window, channels) : recurrent(kind, window, channels);
}

function recurrent(kind: "gru" | "lstm", window: number, channels: number): object {
  const first = {
    units: 32,
    batch_input_shape: [null, window, channels],
    return_sequences: true,
    recurrent_activation: "sigmoid",
  };
  return {
    class_name: "Sequential",
    config: {
      name: `${kind}_forecaster`,
      layers: [
        { class_name: kind.toUpperCase(), config: { name: kind, ...first } },
        { class_name: "Dense", config: { name: "forecast", units: channels } },
      ],
    },
  };
}

/** One encoder block, as Vaswani et al. 2017 (arXiv 1706.03762), with the normalization behind each addition. */
function attention(window: number, channels: number): object {
  const width = 32;
  const called = (class_name: string, name: string, config: object, ...from: string[]) => ({
    class_name,
    name,
    config: { name, ...config },
    inbound_nodes: [from.map((source) => [source, 0, 0, {}])],
  });
  const self = [["embedded", 0, 0, { value: ["embedded", 0, 0], use_causal_mask: true }]];
  return {
    class_name: "Functional",
    config: {
      name: "attention_forecaster",
      layers: [
        {
          class_name: "InputLayer",
          name: "rows",
          config: { name: "rows", batch_input_shape: [null, window, channels] },
          inbound_nodes: [],
        },
        called("Dense", "project", { units: width }, "rows"),
        called("SinePositionEncoding", "position", {}, "project"),
        called("Add", "embedded", {}, "project", "position"),
        {
          class_name: "MultiHeadAttention",
          name: "attention",
          config: { name: "attention", num_heads: 2, key_dim: width / 2 },
          inbound_nodes: [self],
        },
        called("Add", "attended", {}, "embedded", "attention"),
        called("LayerNormalization", "norm1", {}, "attended"),
        called("Dense", "wide", { units: 2 * width, activation: "relu" }, "norm1"),
        called("Dense", "narrow", { units: width }, "wide"),
        called("Add", "added", {}, "norm1", "narrow"),
        called("LayerNormalization", "norm2", {}, "added"),
        called("Dense", "forecast", { units: channels }, "norm2"),
      ],
      input_layers: [["rows", 0, 0]],
      output_layers: [["forecast", 0, 0]],
    },
  };
}
