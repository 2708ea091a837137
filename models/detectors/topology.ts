import type { DetectorSpec } from "../../protocol/task.ts";

/** A network in the LayersModel JSON form that tfjs and Keras write. */
export interface Topology {
  readonly class_name: "Sequential";
  readonly config: { readonly name: string; readonly layers: readonly Layer[] };
}

interface Layer {
  readonly class_name: string;
  readonly config: Readonly<Record<string, unknown>>;
}

const recurrent = {
  "gru-forecaster": {
    class_name: "GRU",
    name: "gru",
    gates: { recurrent_activation: "sigmoid", reset_after: false },
  },
  "lstm-forecaster": {
    class_name: "LSTM",
    name: "lstm",
    gates: { recurrent_activation: "sigmoid", unit_forget_bias: true },
  },
  "rnn-forecaster": { class_name: "SimpleRNN", name: "rnn", gates: {} },
} as const;

/**
 * A forecaster: at every row of a window it says the next one. x: (batch, window, channels) -> y: (batch, window, channels), one recurrent layer and one linear
 * layer. GRU is the variant before reset (Cho et al. 2014, arXiv 1406.1078), which tfjs can run too; LSTM is Hochreiter and Schmidhuber 1997.
 */
export function topologyFor(spec: DetectorSpec, channels: number): Topology {
  const { class_name, name, gates } = recurrent[spec.name];
  return {
    class_name: "Sequential",
    config: {
      name: spec.name.replaceAll("-", "_"),
      layers: [
        {
          class_name,
          config: {
            name,
            batch_input_shape: [null, spec.window, channels],
            units: spec.units,
            activation: "tanh",
            return_sequences: true,
            use_bias: true,
            ...gates,
          },
        },
        {
          class_name: "Dense",
          config: { name: "forecast", units: channels, activation: "linear", use_bias: true },
        },
      ],
    },
  };
}
