import { openForecaster } from "./forecaster.ts";
import type { DetectorKind } from "./kind.ts";
import { linearHyperparameters } from "./linear-part.ts";
import { forecastHead, graph } from "./topology.ts";

export const cnnForecaster: DetectorKind = {
  title: "forecasts the next row with two causal convolutions; the default",
  about:
    "Trains fastest and looks back a fixed number of rows, so it forgets an anomaly as soon as that has left its view. Munir et al. 2019 (DeepAnT), IEEE Access 7.",
  input: "series",
  learns: "by gradients",
  scaling: "channels",
  normalized: true,
  hyperparameters: {
    ...linearHyperparameters,
    filters: {
      default: 32,
      least: 1,
      most: 512,
      about: "filters of each convolution",
      source: "Munir et al. 2019, section III",
      search: [16, 32, 64],
    },
    kernel: {
      default: 5,
      least: 2,
      most: 64,
      about: "rows that the first convolution sees; the second sees three of its outputs",
      source: "small kernels in two layers, as in Munir et al. 2019",
      search: [3, 5, 9],
    },
  },
  blueprint({ channels, spec, tuned }) {
    const g = graph(spec.name);
    const rows = g.input("rows", [spec.window, channels]);
    const causal = (name: string, rows: number, from: string) =>
      g.layer(
        "Conv1D",
        name,
        {
          filters: tuned.filters,
          kernel_size: [rows],
          padding: "causal",
          activation: "relu",
          use_bias: true,
        },
        from,
      );
    const features = causal("wide", 3, causal("near", tuned.kernel!, rows));
    return g.topology(forecastHead(g, rows, features, channels));
  },
  open: openForecaster,
};
