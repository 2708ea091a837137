import { seriesAugments } from "./augment/names.ts";
import type { DetectorKind } from "./kind.ts";
import { linearHyperparameters } from "./linear-part.ts";
import { openMaskedReconstruction } from "./masked-reconstruction.ts";
import { type Graph, graph, linearLayer, zeros } from "./topology.ts";

export const attention: DetectorKind = {
  title:
    "fills in hidden rows of a window with a small transformer encoder, and hides the newest to judge it",
  about:
    "For windows in which rows far apart belong together. Trained to reconstruct rows hidden at random; a row of a stream is judged by what the rows before it make of it. Vaswani et al. 2017, arXiv 1706.03762; normalised before each part as Xiong et al. 2020, arXiv 2002.04745; hidden rows of sensor data as Zerveas et al. 2021, arXiv 2010.02803.",
  input: "series",
  learns: "by gradients",
  scaling: "channels",
  normalized: true,
  augments: seriesAugments,
  pretexts: ["masked"],
  hyperparameters: {
    ...linearHyperparameters,
    size: {
      default: 24,
      least: 4,
      most: 128,
      about: "numbers that stand for a row inside the network",
      source: "16 lose a little on held-back data of SMD, 32 gain less than they cost",
      search: [16, 24, 32],
    },
    heads: {
      default: 2,
      least: 1,
      most: 8,
      about: "attention heads, size / heads numbers each",
      source: "four lose a little on held-back data of SMD",
    },
    layers: {
      default: 1,
      least: 1,
      most: 4,
      about: "blocks of attention and a dense layer",
      source: "a second gains nothing on held-back data of SMD",
      search: [1, 2],
    },
    hidden: {
      default: 0.05,
      least: 0,
      most: 0.9,
      real: true,
      about: "share of the rows before the newest that are hidden while training; the newest always is",
      source:
        "Zerveas et al. 2021 and Devlin et al. 2019 (arXiv 1810.04805) hide 0.15, which on held-back data of SMD is as good as this; none is worse by a third",
      search: [0, 0.05, 0.15],
    },
  },
  blueprint({ channels, spec, tuned }) {
    const { size, heads, layers } = tuned as Record<string, number>;
    const g = graph(spec.name);
    const rows = g.input("rows", [spec.window, channels + 1]);
    const dense = (name: string, from: string, units: number, more: object = {}) =>
      g.layer("Dense", name, { units, activation: "linear", use_bias: true, ...more }, from);
    const normal = (name: string, from: string) => g.layer("LayerNormalization", name, { axis: [-1] }, from);
    const embedded = dense("embedding", rows, size!);
    let tokens = g.layer(
      "Add",
      "placed",
      {},
      embedded,
      g.layer("SinePositionEncoding", "places", {}, embedded),
    );
    for (let i = 1; i <= layers!; i++) {
      const before = normal(`attention${i}_norm`, tokens);
      const config = { num_heads: heads, key_dim: Math.max(1, Math.floor(size! / heads!)) };
      const attended = g.layer("MultiHeadAttention", `attention${i}`, config, before, before);
      const mixed = g.layer("Add", `attention${i}_sum`, {}, tokens, attended);
      const wide = dense(`dense${i}_wide`, normal(`dense${i}_norm`, mixed), 2 * size!, {
        activation: "relu",
      });
      tokens = g.layer("Add", `dense${i}_sum`, {}, mixed, dense(`dense${i}`, wide, size!));
    }
    const rest = dense("rest", normal("norm", tokens), channels, { kernel_initializer: zeros });
    // A hidden row has the values of the row before it: "no change", and what is linear in the three rows before it.
    const seen = withoutMarks(g, rows);
    const later = g.layer("ZeroPadding1D", "later", { padding: [1, 0] }, seen);
    const before = g.layer("Cropping1D", "rows_before", { cropping: [0, 1] }, later);
    return g.topology(g.layer("Add", "row", {}, seen, linearLayer(g, before, channels), rest));
  },
  open: openMaskedReconstruction,
};

function withoutMarks(g: Graph, rows: string): string {
  const turned = g.layer("Permute", "channels_first", { dims: [2, 1] }, rows);
  const values = g.layer("Cropping1D", "marks_off", { cropping: [0, 1] }, turned);
  return g.layer("Permute", "values", { dims: [2, 1] }, values);
}
