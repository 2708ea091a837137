import type { Hyperparameters } from "./kind.ts";
import type { Graph } from "./topology.ts";

/** What networks of two causal convolutions can be tuned by. */
export const convolutionHyperparameters = {
  filters: {
    default: 32,
    least: 1,
    most: 512,
    about: "filters of each convolution",
    source: "as DeepAnT, Munir et al. 2019, has",
    search: [16, 32, 64],
  },
  kernel: {
    default: 5,
    least: 2,
    most: 64,
    about: "rows that the first convolution sees; the second sees three of its outputs",
    source: "a choice: small kernels in two layers",
    search: [3, 5, 9],
  },
} as const satisfies Hyperparameters;

/** (window, channels) -> (window, filters); what stands at a row is of that row and the kernel + 1 rows before it. */
export function causalConvolutions(g: Graph, rows: string, tuned: Readonly<Record<string, number>>): string {
  const causal = (name: string, kernel: number, from: string) =>
    g.layer(
      "Conv1D",
      name,
      {
        filters: tuned.filters,
        kernel_size: [kernel],
        padding: "causal",
        activation: "relu",
        use_bias: true,
      },
      from,
    );
  return causal("wide", 3, causal("near", tuned.kernel!, rows));
}
