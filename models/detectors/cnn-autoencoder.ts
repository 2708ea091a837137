import { seriesAugments } from "./augment/names.ts";
import type { DetectorKind } from "./kind.ts";
import { openReconstruction } from "./reconstruction.ts";
import { aboutMean, centred, graph } from "./topology.ts";

export const cnnAutoencoder: DetectorKind = {
  title: "squeezes a window with strided convolutions and widens it again, all channels at once",
  about:
    "Complements a forecaster: it sees channels that no longer fit each other, even where each is easy to forecast. An encoder of two convolutions that halve the rows, a decoder of two that double them. Zhang et al. 2019, arXiv 1811.08055, without its recurrent part; Masci et al. 2011.",
  input: "series",
  learns: "by gradients",
  scaling: "channels",
  normalized: true,
  augments: seriesAugments,
  pretexts: ["masked"],
  hyperparameters: {
    filters: {
      default: 24,
      least: 1,
      most: 256,
      about: "filters of the outer convolutions",
      source: "16 to 32 reconstruct held-back data of SMD about alike",
      search: [16, 24, 32],
    },
    code: {
      default: 8,
      least: 1,
      most: 256,
      about: "filters of the inner convolution, each a number for four rows: what a window must pass through",
      source: "4 to 16 find anomalies of three machines of SMD alike",
      search: [4, 8, 16],
    },
    kernel: {
      default: 5,
      least: 2,
      most: 32,
      about: "rows that each convolution sees",
      source: "3 and 5 reconstruct held-back data of SMD alike; 5 sees more of the window",
    },
    centred,
  },
  blueprint({ channels, spec, tuned }) {
    const { window } = spec;
    const g = graph(spec.name);
    const layer = (className: string, name: string, from: string, filters: number, activation: string) =>
      g.layer(
        className,
        name,
        { filters, kernel_size: [tuned.kernel], strides: [2], padding: "same", activation, use_bias: true },
        from,
      );
    const rows = g.input("rows", [window, channels]);
    const network = (from: string) => {
      const halves = layer("Conv1D", "halves", from, tuned.filters!, "relu");
      const code = layer("Conv1D", "code", halves, tuned.code!, "relu");
      const back = layer("Conv1DTranspose", "halves_back", code, tuned.filters!, "relu");
      const wide = layer("Conv1DTranspose", "rows_back", back, channels, "linear");
      // A window that is no multiple of four comes back longer; its last rows are kept.
      const more = 4 * Math.ceil(Math.ceil(window / 2) / 2) - window;
      return more === 0 ? wide : g.layer("Cropping1D", "window", { cropping: [more, 0] }, wide);
    };
    return g.topology(tuned.centred ? aboutMean(g, rows, window, network) : network(rows));
  },
  open: (options) => openReconstruction(options),
};
