/** A functional network in the LayersModel JSON form that tfjs and Keras write. */
export interface Topology {
  readonly class_name: "Functional";
  readonly config: {
    readonly name: string;
    readonly layers: readonly Layer[];
    readonly input_layers: readonly Ref[];
    readonly output_layers: readonly Ref[];
  };
}

interface Layer {
  readonly class_name: string;
  readonly name: string;
  readonly config: Readonly<Record<string, unknown>>;
  readonly inbound_nodes: readonly (readonly (readonly [...Ref, Record<string, never>])[])[];
}

type Ref = readonly [layer: string, node: 0, tensor: 0];

/** Writes a topology layer by layer; what a layer gives is named by the layer. */
export interface Graph {
  input(name: string, shape: readonly number[]): string;
  layer(
    className: string,
    name: string,
    config: Readonly<Record<string, unknown>>,
    ...inputs: string[]
  ): string;
  topology(...outputs: string[]): Topology;
}

export function graph(name: string): Graph {
  const layers: Layer[] = [];
  const inputs: string[] = [];
  const ref = (layer: string): Ref => [layer, 0, 0];
  return {
    input(name, shape) {
      const config = { name, batch_input_shape: [null, ...shape], dtype: "float32" };
      layers.push({ class_name: "InputLayer", name, config, inbound_nodes: [] });
      inputs.push(name);
      return name;
    },
    layer(class_name, name, config, ...from) {
      const node = from.map((layer) => [...ref(layer), {}] as const);
      layers.push({ class_name, name, config: { name, ...config }, inbound_nodes: [node] });
      return name;
    },
    topology: (...outputs) => ({
      class_name: "Functional",
      config: {
        name: name.replaceAll("-", "_"),
        layers,
        input_layers: inputs.map(ref),
        output_layers: outputs.map(ref),
      },
    }),
  };
}

/** Rows of the linear part of a forecaster: of the orders tried, the third is where a linear forecast of SMD stops gaining. */
export const LINEAR_ROWS = 3;
/** The layer of it: its weights are solved for, not trained (`linear-part.ts`). */
export const LINEAR_LAYER = "linear";

/**
 * The last layers of a forecaster: the next row is this one, plus what is linear in the last rows, plus what the network makes of `features`. Both parts
 * begin at zero, so an untrained forecaster says "no change".
 * Source: the autoregressive component of LSTNet (Lai et al. 2018, arXiv 1703.07015, section 3.6).
 */
export function forecastHead(g: Graph, rows: string, features: string, channels: number): string {
  const linear = g.layer(
    "Conv1D",
    LINEAR_LAYER,
    {
      filters: channels,
      kernel_size: [LINEAR_ROWS],
      padding: "causal",
      activation: "linear",
      use_bias: true,
      kernel_initializer: zeros,
    },
    rows,
  );
  const rest = g.layer(
    "Dense",
    "forecast",
    { units: channels, activation: "linear", use_bias: true, kernel_initializer: zeros },
    features,
  );
  return g.layer("Add", "next", {}, rows, linear, rest);
}

const zeros = { class_name: "Zeros", config: {} } as const;
