import { seriesAugments } from "./augment/names.ts";
import { causalConvolutions, convolutionHyperparameters } from "./causal-convolutions.ts";
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
  augments: seriesAugments,
  pretexts: ["masked"],
  hyperparameters: {
    ...linearHyperparameters,
    ...convolutionHyperparameters,
  },
  blueprint({ channels, spec, tuned }) {
    const g = graph(spec.name);
    const rows = g.input("rows", [spec.window, channels]);
    const features = causalConvolutions(g, rows, tuned);
    return g.topology(forecastHead(g, rows, features, channels));
  },
  open: openForecaster,
};
