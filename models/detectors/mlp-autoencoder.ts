import type { DetectorKind } from "./kind.ts";
import { openReconstruction } from "./reconstruction.ts";
import { graph } from "./topology.ts";

export const mlpAutoencoder: DetectorKind = {
  title: "gives a record back through a few numbers; for rows without an order, such as network flows",
  about:
    "Finds records whose fields do not fit each other. It sees one row at a time, so its window is 1 whatever the task's is. Sakurada and Yairi 2014, MLSDA; for flows Mirsky et al. 2018 (Kitsune), arXiv 1802.09089.",
  input: "records",
  learns: "by gradients",
  scaling: "channels",
  normalized: true,
  // A record has no time to warp.
  augments: ["jitter", "scaling", "masking", "mixup"],
  pretexts: ["masked"],
  hyperparameters: {
    hidden: {
      default: 64,
      least: 1,
      most: 1024,
      about: "units of the layer before the code and of the one after it",
      source: "as many as a flow has fields after one-hot; 32 and 64 do alike on NSL-KDD",
      search: [32, 64, 128],
    },
    code: {
      default: 8,
      least: 1,
      most: 512,
      about: "units in the middle: the numbers that a record must pass through",
      source: "codes of 4 to 16 do alike on NSL-KDD",
      search: [4, 8, 16],
    },
  },
  blueprint({ channels, spec, tuned }) {
    const g = graph(spec.name);
    const dense = (name: string, from: string, units: number, activation: string) =>
      g.layer("Dense", name, { units, activation, use_bias: true }, from);
    const record = g.input("record", [channels]);
    const narrowing = dense("narrowing", record, tuned.hidden!, "relu");
    const code = dense("code", narrowing, tuned.code!, "tanh");
    const widening = dense("widening", code, tuned.hidden!, "relu");
    return g.topology(dense("record_back", widening, channels, "linear"));
  },
  open: (options) => openReconstruction(options),
};
