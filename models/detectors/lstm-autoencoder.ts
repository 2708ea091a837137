import { seriesAugments } from "./augment/names.ts";
import type { DetectorKind } from "./kind.ts";
import { openReconstruction } from "./reconstruction.ts";
import { aboutMean, centred, graph } from "./topology.ts";

export const lstmAutoencoder: DetectorKind = {
  title: "reads a window into one vector and writes it out again, both with long short-term memory",
  about:
    "For faults that show in the shape of a stretch rather than in its next row. The slowest to train. The decoder gives the last row first and is fed the vector at every step. Malhotra et al. 2016, arXiv 1607.00148; the unfed decoder is one of Srivastava et al. 2015, arXiv 1502.04681.",
  input: "series",
  learns: "by gradients",
  scaling: "channels",
  normalized: true,
  augments: seriesAugments,
  pretexts: ["masked"],
  hyperparameters: {
    units: {
      default: 24,
      least: 1,
      most: 256,
      about: "units of the encoder and of the decoder: the numbers that a window must pass through",
      source: "16 reconstruct held-back data of SMD worse, 32 hardly better, and 24 keep a row within 50 us",
      search: [16, 24, 32],
    },
    centred,
  },
  blueprint({ channels, spec, tuned }) {
    const { window } = spec;
    const g = graph(spec.name);
    const rows = g.input("rows", [window, channels]);
    const memory = (name: string, from: string, every: boolean) =>
      g.layer(
        "LSTM",
        name,
        {
          units: tuned.units,
          activation: "tanh",
          recurrent_activation: "sigmoid",
          use_bias: true,
          unit_forget_bias: true,
          return_sequences: every,
        },
        from,
      );
    const network = (from: string) => {
      const vector = memory("encoder", from, false);
      const decoded = memory("decoder", g.layer("RepeatVector", "vector", { n: window }, vector), true);
      return g.layer(
        "Dense",
        "rows_back",
        { units: channels, activation: "linear", use_bias: true },
        decoded,
      );
    };
    return g.topology(tuned.centred ? aboutMean(g, rows, window, network) : network(rows));
  },
  open: (options) => openReconstruction(options, { reversed: true }),
};
