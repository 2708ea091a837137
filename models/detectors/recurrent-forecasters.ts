import { seriesAugments } from "./augment/names.ts";
import { openForecaster } from "./forecaster.ts";
import type { DetectorKind } from "./kind.ts";
import { linearHyperparameters } from "./linear-part.ts";
import { forecastHead, graph } from "./topology.ts";

const hyperparameters = {
  ...linearHyperparameters,
  units: {
    default: 32,
    least: 1,
    most: 512,
    about: "units of the recurrent layer",
    source: "a choice: what a small device trains in seconds",
    search: [16, 32, 64],
  },
} as const;

function recurrent(layer: { title: string; about: string; className: string; gates: object }): DetectorKind {
  return {
    title: layer.title,
    about: layer.about,
    input: "series",
    learns: "by gradients",
    scaling: "channels",
    normalized: true,
    augments: seriesAugments,
    pretexts: ["masked"],
    hyperparameters,
    blueprint({ channels, spec, tuned }) {
      const g = graph(spec.name);
      const rows = g.input("rows", [spec.window, channels]);
      const config = {
        units: tuned.units,
        activation: "tanh",
        return_sequences: true,
        use_bias: true,
        ...layer.gates,
      };
      return g.topology(forecastHead(g, rows, g.layer(layer.className, "memory", config, rows), channels));
    },
    open: openForecaster,
  };
}

/** The variant that resets before the product, which tfjs can run too. */
export const gruForecaster = recurrent({
  title: "forecasts the next row with a gated recurrent unit",
  about:
    "For series whose past matters over more rows than a window has: its memory goes on from row to row at a fixed cost. Cho et al. 2014, arXiv 1406.1078.",
  className: "GRU",
  gates: { recurrent_activation: "sigmoid", reset_after: false },
});

export const lstmForecaster = recurrent({
  title: "forecasts the next row with long short-term memory",
  about:
    "As gru-forecaster with a cell state of its own; a third more weights. Hochreiter and Schmidhuber 1997; as a detector Malhotra et al. 2015, ESANN.",
  className: "LSTM",
  gates: { recurrent_activation: "sigmoid", unit_forget_bias: true },
});

export const rnnForecaster = recurrent({
  title: "forecasts the next row with a plain recurrent layer",
  about:
    "The smallest network with a memory, h = tanh(Wx + Rh + b); for devices with little of everything. Elman 1990.",
  className: "SimpleRNN",
  gates: {},
});
