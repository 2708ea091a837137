import { z } from "zod";
import { Activation } from "../activations.ts";
import { activated } from "./activation.ts";
import { parseConfig, units, weightOf, weightOptions } from "./config.ts";
import {
  causalPadding,
  convFlops,
  convOptions,
  type Geometry,
  geometryOf,
  imageShape,
  padding,
  type Rank,
  shapeOf,
} from "./conv-geometry.ts";
import { bindConv } from "./conv-kernels.ts";
import { quantizable } from "./int8-product.ts";
import type { LayerKind, LayerPlan, Site } from "./layer.ts";

const options = () => ({
  filters: units,
  activation: Activation,
  ...weightOptions("kernel", "glorot_uniform"),
  ...weightOptions("bias", "zeros"),
});
const Configs = {
  1: () => z.strictObject({ ...convOptions(1), ...options(), padding: causalPadding }),
  2: () => z.strictObject({ ...convOptions(2), ...options(), padding }),
};

/** y[t] = f(sum over i of x[t stride - before + i dilation] W[i] + b), W (kernel, channels, filters). */
export const conv1d: LayerKind = conv(1);
/** The same over rows and columns. W (height, width, channels, filters). */
export const conv2d: LayerKind = conv(2);

function conv(rank: Rank): LayerKind {
  return (layer) => {
    const config = parseConfig(Configs[rank], layer);
    const input = imageShape(layer, rank);
    const [C, N] = [input[2], config.filters];
    const geometry = geometryOf(layer, config, { input, channels: N });
    const shape = shapeOf(geometry.output, rank);
    const useBias = config.use_bias ?? true;
    const { code, extra } = activated(config.activation, { name: layer.name, shape });
    const kernel = rank === 1 ? [geometry.kernel[1]] : geometry.kernel;
    // A row that looks at no later one, and one output for each row: a stream can be followed.
    const { strides, dilation } = geometry;
    const past = (geometry.kernel[1] - 1) * dilation[1];
    const causal = rank === 1 && strides[1] === 1 && geometry.before[1] === past && shape[0] === input[1];
    const plan: LayerPlan = {
      ...extra,
      name: layer.name,
      className: layer.className,
      order: "batch",
      mask: "drop",
      outputShape: shape,
      weights: [
        weightOf(config, "kernel", [...kernel, C, N]),
        ...(useBias ? [weightOf(config, "bias", [N])] : []),
      ],
      flops: convFlops(geometry),
      stateFloats: causal ? 1 + (past + 1) * C : null,
      bind(site) {
        const { inputs, output, weights, weightGradients } = site;
        const [w = 0, b = 0] = weights;
        const [dw = 0, db = 0] = weightGradients;
        const bound = bindConv(site, geometry);
        const ends = { x: inputs[0]!.value, w, b, y: output.value };
        const gradients = { ...ends, dx: inputs[0]!.gradient, dy: output.gradient, dw, db };
        return {
          forward: (batch, _training, kept) => bound.forward(batch, code, ends, kept),
          backward: (batch) => bound.backward(batch, code, gradients),
          ...(causal && { step: stepOf(site, geometry, code) }),
        };
      },
    };
    return quantizable(plan, geometry, code);
  };
}

function stepOf({ kernels, weights: [w = 0, b = 0], state, rows }: Site, geometry: Geometry, code: number) {
  const [C, N] = [geometry.input[2], geometry.output[2]];
  const [kernel, dilation] = [geometry.kernel[1], geometry.dilation[1]];
  return () => {
    kernels.convStep(rows.inputs[0]!, w, b, rows.output, state, kernel, dilation, C, N);
    kernels.activate(code, rows.output, N);
  };
}
