import { z } from "zod";
import type { Address } from "../../kernels/load.ts";
import { comparableInputs, scoreOptions } from "./attention-inputs.ts";
import { common, parseConfig } from "./config.ts";
import { dotProduct } from "./dot-product.ts";
import type { LayerKind } from "./layer.ts";

const Config = () =>
  z.strictObject({
    ...common,
    score_mode: z.literal("dot").nullish(),
    ...scoreOptions(),
  });

/**
 * softmax(g q k) over v, with g a learned number where use_scale is set, else 1: Luong's attention as Keras has it. A masked query gives zeros.
 * Source: Luong et al. 2015, arXiv 1508.04025, equation 8, "dot".
 */
export const attention: LayerKind = (layer) => {
  const config = parseConfig(Config, layer);
  const { T, S, channels, key: keyInput, causal: causalCall } = comparableInputs(layer);
  const [K, V] = channels;
  const causal = causalCall || (config.causal ?? false);
  const useScale = config.use_scale ?? false;
  return {
    name: layer.name,
    className: layer.className,
    severalInputs: true,
    order: "batch",
    outputShape: [T, V],
    weights: useScale ? [{ name: "scale", shape: [], initialize: (out) => void out.fill(1) }] : [],
    flops: T * S * (2 * K + 2 * V + 5),
    stateFloats: null,
    bind(site) {
      const { kernels, maxBatch, allocate, inputs, output, weights, weightGradients } = site;
      const [query, value, key] = [inputs[0]!, inputs[1]!, inputs[keyInput]!];
      const [g = 0] = weights;
      const [dg = 0] = weightGradients;
      const own = (gradient: Address, floats: number) =>
        gradient === 0 ? allocate(maxBatch * floats) : gradient;
      const queries = useScale ? allocate(maxBatch * T * K) : query.value;
      const dq = own(query.gradient, T * K);
      const dv = own(value.gradient, S * V);
      // One input that is key and value gets the sum of both.
      const both = keyInput === 1;
      const dk = own(both ? 0 : key.gradient, S * K);
      const core = dotProduct(site, {
        query: { value: queries, gradient: dq, stride: K },
        key: { value: key.value, gradient: dk, stride: K },
        value: { value: value.value, gradient: dv, stride: V },
        output: { ...output, stride: V },
        masks: { query: query.mask, key: 0, value: value.mask },
        maskedQuery: 0,
        causal,
        dropout: config.dropout ?? 0,
        scale: 1,
        heads: 1,
        T,
        S,
        K,
        V,
      });
      return {
        forward(batch, training) {
          if (useScale) kernels.timesWeight(query.value, g, queries, batch * T * K);
          core.forward(batch, training);
        },
        backward(batch) {
          core.backward(batch);
          if (useScale) kernels.timesWeightBackward(query.value, g, dq, dq, dg, batch * T * K);
          if (both && value.gradient !== 0) kernels.addTo(dv, dk, batch * S * K);
        },
      };
    },
  };
};
