import { z } from "zod";
import { attentionInputs } from "./attention-inputs.ts";
import { common, ignored, none, off, parseConfig, units, weightOf, weightOptions } from "./config.ts";
import { dotProduct } from "./dot-product.ts";
import type { LayerKind } from "./layer.ts";
import { projections } from "./projections.ts";

const Config = () =>
  z.strictObject({
    ...common,
    num_heads: units,
    key_dim: units,
    value_dim: units.nullish(),
    /** Share of the weights that are left out while training; what is left is scaled up. */
    dropout: z.number().min(0).lt(1).nullish(),
    use_bias: z.boolean().nullish(),
    output_shape: z.union([units, z.tuple([units]).transform(([size]) => size)]).nullish(),
    /** The time axis of (batch, time, channels) is the only one there is. */
    attention_axes: z.union([z.literal(1), z.tuple([z.literal(1)])]).nullish(),
    ...weightOptions("kernel", "glorot_uniform"),
    ...weightOptions("bias", "zeros"),
    use_gate: off,
    sliding_window: none,
    flash_attention: ignored,
    seed: ignored,
    query_shape: ignored,
    key_shape: ignored,
    value_shape: ignored,
  });

/**
 * Heads side by side, each softmax(q k / sqrt(key_dim)) over v with q, k and v projected from the inputs, then one projection of all heads
 * together, as Keras has it. Source: Vaswani et al. 2017, arXiv 1706.03762, section 3.2.2.
 */
export const multiHeadAttention: LayerKind = (layer) => {
  const config = parseConfig(Config, layer);
  const { T, S, channels, key: keyInput, causal } = attentionInputs(layer);
  const [queryChannels, valueChannels, keyChannels] = channels;
  const H = config.num_heads;
  const K = config.key_dim;
  const V = config.value_dim ?? K;
  const N = config.output_shape ?? queryChannels;
  const useBias = config.use_bias ?? true;
  const project = (name: string, C: number, size: number) => [
    weightOf(config, "kernel", [C, H, size], `${name}/kernel`),
    ...(useBias ? [weightOf(config, "bias", [H, size], `${name}/bias`)] : []),
  ];
  return {
    name: layer.name,
    className: layer.className,
    severalInputs: true,
    order: "batch",
    outputShape: [T, N],
    weights: [
      ...project("query", queryChannels, K),
      ...project("key", keyChannels, K),
      ...project("value", valueChannels, V),
      weightOf(config, "kernel", [H, V, N], "attention_output/kernel"),
      ...(useBias ? [weightOf(config, "bias", [N], "attention_output/bias")] : []),
    ],
    flops:
      2 * H * (T * queryChannels * K + S * keyChannels * K + S * valueChannels * V) +
      H * T * S * (2 * K + 2 * V + 5) +
      2 * T * H * V * N,
    stateFloats: null,
    bind(site) {
      const { kernels, maxBatch, allocate, inputs, output } = site;
      /** The weights of projection i: query, key, value, output. */
      const weight = (i: number) => {
        const at = useBias ? 2 * i : i;
        const [w, dw] = [site.weights[at]!, site.weightGradients[at]!];
        return {
          w,
          dw,
          b: useBias ? site.weights[at + 1]! : 0,
          db: useBias ? site.weightGradients[at + 1]! : 0,
        };
      };
      const [query, value, key] = [inputs[0]!, inputs[1]!, inputs[keyInput]!];
      const inward = projections(site, [
        { input: query, size: H * K, ...weight(0) },
        { input: key, size: H * K, ...weight(1) },
        { input: value, size: H * V, ...weight(2) },
      ]);
      const { w, dw, b, db } = weight(3);
      const HV = H * V;
      const floats = maxBatch * T * HV;
      const heads = { value: allocate(floats), gradient: allocate(floats), stride: HV }; // (batch, T, heads V)
      const core = dotProduct(site, {
        ...inward.rows,
        output: heads,
        masks: { query: query.mask, key: key.mask, value: value.mask },
        maskedQuery: 1 / S, // as if all keys were masked
        causal,
        dropout: config.dropout ?? 0,
        scale: 1 / Math.sqrt(K),
        heads: H,
        T,
        S,
        K,
        V,
      });
      return {
        forward(batch, training) {
          inward.forward(batch);
          core.forward(batch, training);
          kernels.gemm(false, false, batch * T, N, HV, heads.value, HV, w, N, output.value, N, false, b);
        },
        backward(batch) {
          const rows = batch * T;
          const dy = output.gradient;
          kernels.gemm(true, false, HV, N, rows, heads.value, HV, dy, N, dw, N, true, 0);
          if (db !== 0) kernels.columnSums(dy, N, rows, N, db);
          kernels.gemm(false, true, rows, HV, N, dy, N, w, N, heads.gradient, HV, false, 0);
          core.backward(batch);
          inward.backward(batch);
        },
      };
    },
  };
};
