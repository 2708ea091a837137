import { seriesAugments } from "./augment/names.ts";
import { openForecaster } from "./forecaster.ts";
import type { DetectorKind } from "./kind.ts";
import { linearHyperparameters } from "./linear-part.ts";
import { forecastHead, graph } from "./topology.ts";

export const tcnForecaster: DetectorKind = {
  title: "forecasts the next row with dilated causal convolutions and shortcuts",
  about:
    "Looks back over many rows with few weights: each block doubles the distance between the rows that it sees. Bai et al. 2018, arXiv 1803.01271, section 3, without weight normalisation and dropout, which small networks do not need.",
  input: "series",
  learns: "by gradients",
  scaling: "channels",
  normalized: true,
  augments: seriesAugments,
  pretexts: ["masked"],
  hyperparameters: {
    ...linearHyperparameters,
    filters: {
      default: 32,
      least: 1,
      most: 512,
      about: "filters of every convolution",
      source: "as cnn-forecaster; 16 to 48 forecast held-back data of SMD alike",
      search: [16, 32, 48],
    },
    kernel: {
      default: 3,
      least: 2,
      most: 16,
      about: "rows that one convolution sees",
      source: "Bai et al. 2018, table 2: 2 to 8; on held-back data of SMD 2 is a little worse, 5 alike",
      search: [2, 3, 5],
    },
    blocks: {
      default: 3,
      least: 1,
      most: 8,
      about: "residual blocks of two convolutions; all see 1 + 2 (kernel - 1) (2^blocks - 1) rows together",
      source: "29 rows, about the default window; 2 are a little worse on held-back data of SMD, 4 alike",
      search: [2, 3, 4],
    },
  },
  blueprint({ channels, spec, tuned }) {
    const { filters, kernel, blocks } = tuned as Record<string, number>;
    const g = graph(spec.name);
    const rows = g.input("rows", [spec.window, channels]);
    const conv = (name: string, from: string, more: object) =>
      g.layer("Conv1D", name, { filters, padding: "causal", use_bias: true, ...more }, from);
    let features = rows;
    for (let block = 1; block <= blocks!; block++) {
      const wide = {
        kernel_size: [kernel],
        dilation_rate: [2 ** (block - 1)],
        activation: "relu",
        kernel_initializer: "he_normal",
      };
      const inner = conv(`block${block}_second`, conv(`block${block}_first`, features, wide), wide);
      const past =
        block === 1
          ? conv("block1_shortcut", features, { kernel_size: [1], activation: "linear" })
          : features;
      features = g.layer(
        "ReLU",
        `block${block}_out`,
        {},
        g.layer("Add", `block${block}_sum`, {}, past, inner),
      );
    }
    return g.topology(forecastHead(g, rows, features, channels));
  },
  open: openForecaster,
};
