import { z } from "zod";
import type { Address } from "../../kernels/load.ts";
import { initializer } from "../initializers.ts";
import { comparableInputs, scoreOptions } from "./attention-inputs.ts";
import { common, parseConfig } from "./config.ts";
import { dotProduct } from "./dot-product.ts";
import type { LayerKind } from "./layer.ts";

const Config = () =>
  z.strictObject({
    ...common,
    ...scoreOptions(),
  });

/**
 * softmax(sum of g tanh(q + k)) over v, with g a learned number for each channel where use_scale is left out or true, else 1. A masked query
 * gives zeros. Source: Bahdanau et al. 2015, arXiv 1409.0473, in the form that Keras gives it.
 */
export const additiveAttention: LayerKind = (layer) => {
  const config = parseConfig(Config, layer);
  const { T, S, channels, key: keyInput, causal: causalCall } = comparableInputs(layer);
  const [K, V] = channels;
  return {
    name: layer.name,
    className: layer.className,
    severalInputs: true,
    order: "batch",
    outputShape: [T, V],
    weights:
      (config.use_scale ?? true)
        ? [{ name: "scale", shape: [K], initialize: initializer("glorot_uniform").parse(undefined) }]
        : [],
    flops: T * S * (20 * K + 2 * V + 5),
    stateFloats: null,
    bind(site) {
      const { kernels, maxBatch, allocate, inputs, output, weights, weightGradients } = site;
      const [query, value, key] = [inputs[0]!, inputs[1]!, inputs[keyInput]!];
      const [g = 0] = weights;
      const [dg = 0] = weightGradients;
      const own = (gradient: Address, floats: number) =>
        gradient === 0 ? allocate(maxBatch * floats) : gradient;
      // One input that is key and value gets the sum of both.
      const both = keyInput === 1;
      const dq = own(query.gradient, T * K);
      const dk = own(both ? 0 : key.gradient, S * K);
      const dv = own(value.gradient, S * V);
      const scores = allocate(maxBatch * T * S); // (batch, T, S)
      const dScores = allocate(maxBatch * T * S);
      // The rest is dot product attention: a row of scores times the identity is the row itself, bit for bit.
      const identity = allocate(maxBatch * S * S);
      const unwanted = allocate(maxBatch * S * S);
      let filled = false; // only now does the memory no longer grow
      const core = dotProduct(site, {
        query: { value: scores, gradient: dScores, stride: S },
        key: { value: identity, gradient: unwanted, stride: S },
        value: { value: value.value, gradient: dv, stride: V },
        output: { ...output, stride: V },
        masks: { query: query.mask, key: 0, value: value.mask },
        maskedQuery: 0,
        causal: causalCall || (config.causal ?? false),
        dropout: config.dropout ?? 0,
        scale: 1,
        heads: 1,
        T,
        S,
        K: S,
        V,
      });
      return {
        forward(batch, training) {
          if (!filled) {
            const values = new Float32Array(kernels.memory.buffer, identity, maxBatch * S * S);
            for (let row = 0; row < maxBatch * S; row++) values[row * S + (row % S)] = 1;
          }
          filled = true;
          kernels.additiveScores(query.value, key.value, g, scores, batch, T, S, K);
          core.forward(batch, training);
        },
        backward(batch) {
          core.backward(batch);
          kernels.additiveScoresBackward(query.value, key.value, g, dScores, dq, dk, dg, batch, T, S, K);
          if (both && value.gradient !== 0) kernels.addTo(dv, dk, batch * S * K);
        },
      };
    },
  };
};
