import { z } from "zod";
import { sizeOf } from "../shape.ts";
import { common, parseConfig, weightOf, weightOptions } from "./config.ts";
import type { LayerKind } from "./layer.ts";

const Config = () =>
  z.strictObject({
    ...common,
    ...weightOptions("alpha", "zeros"),
    /** Counted from the batch axis, which is 0. */
    shared_axes: z.union([z.array(z.int()), z.int().transform((axis) => [axis])]).nullish(),
  });

/** x, or alpha x below 0: alpha is a weight of the sample's shape, 1 long along the shared axes. Source: He et al. 2015, arXiv 1502.01852. */
export const prelu: LayerKind = (layer) => {
  const config = parseConfig(Config, layer);
  const shape = layer.inputShape;
  const shared = new Set((config.shared_axes ?? []).map((axis) => axis - 1));
  const alphaShape = shape.map((size, axis) => (shared.has(axis) ? 1 : size));
  const size = sizeOf(shape);
  const channels = shape.at(-1)!;
  // Of one row at a time, alpha is known only where it is the same at all places but the last axis.
  const sameOnRows = alphaShape.slice(0, -1).every((length) => length === 1);
  // From alpha to the sample's shape, one axis after the other, the last one first.
  const spreads = shape
    .map((n, axis) => ({
      axis,
      n,
      outer: sizeOf(alphaShape.slice(0, axis)),
      inner: sizeOf(shape.slice(axis + 1)),
    }))
    .filter(({ axis, n }) => shared.has(axis) && n > 1)
    .reverse();
  return {
    name: layer.name,
    className: layer.className,
    order: "batch",
    outputShape: shape,
    weights: [weightOf(config, "alpha", alphaShape)],
    flops: 2 * size,
    stateFloats: sameOnRows ? 0 : null,
    bind({ kernels, allocate, inputs, output, rows, weights, weightGradients }) {
      const input = inputs[0]!;
      const alpha = weights[0]!;
      const wide = [alpha, ...spreads.map(({ n, outer, inner }) => allocate(outer * n * inner))];
      const full = wide.at(-1)!;
      // The same sizes on the way back; the first holds what is added to alpha's gradient.
      const narrow = [
        allocate(sizeOf(alphaShape)),
        ...spreads.map(({ n, outer, inner }) => allocate(outer * n * inner)),
      ];
      return {
        forward(batch) {
          spreads.forEach(({ outer, n, inner }, i) => {
            kernels.spread(wide[i]!, wide[i + 1]!, outer, n, inner);
          });
          kernels.preluForward(input.value, full, output.value, batch, size);
        },
        backward(batch) {
          kernels.preluBackward(
            input.value,
            full,
            output.gradient,
            input.gradient,
            narrow.at(-1)!,
            batch,
            size,
          );
          for (let i = spreads.length - 1; i >= 0; i--) {
            const { outer, n, inner } = spreads[i]!;
            kernels.sumOver(narrow[i + 1]!, narrow[i]!, outer, n, inner);
          }
          kernels.addTo(weightGradients[0]!, narrow[0]!, sizeOf(alphaShape));
        },
        step() {
          const row = shared.has(shape.length - 1) ? wide[1]! : alpha;
          if (row !== alpha) kernels.spread(alpha, row, 1, channels, 1);
          kernels.preluForward(rows.inputs[0]!, row, rows.output, 1, channels);
        },
      };
    },
  };
};
