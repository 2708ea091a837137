import type { Address } from "../../kernels/load.ts";
import type { Site } from "./layer.ts";

/** Rows of all heads side by side, `stride` floats apart. */
export interface Rows {
  readonly value: Address;
  readonly gradient: Address;
  readonly stride: number;
}

export interface DotProduct {
  readonly query: Rows;
  readonly key: Rows;
  readonly value: Rows;
  readonly output: Rows;
  /** Masks of the inputs that they come from, or 0. */
  readonly masks: { readonly query: Address; readonly key: Address; readonly value: Address };
  /** What a masked query weighs each value with. */
  readonly maskedQuery: number;
  readonly causal: boolean;
  /** Share of the weights that are left out while training. */
  readonly dropout: number;
  readonly scale: number;
  readonly heads: number;
  /** Queries. */
  readonly T: number;
  /** Keys and values. */
  readonly S: number;
  /** Channels of a query and of a key, in one head. */
  readonly K: number;
  /** Channels of a value, in one head. */
  readonly V: number;
}

/** 4 MiB: up to there the weights stay in memory for the way back; past it they are computed again. */
const KEPT_FLOATS = 1 << 20;

/** softmax(scale q k) over v for each head: what Attention and MultiHeadAttention have in common. */
export function dotProduct(
  { kernels, maxBatch, allocate, random }: Site,
  { query, key, value, output, masks, maskedQuery, causal, dropout, scale, heads, T, S, K, V }: DotProduct,
) {
  const floats = maxBatch * heads * T * S;
  const weights = floats <= KEPT_FLOATS ? allocate(floats) : 0; // (batch, heads, T, S)
  const factors = dropout > 0 ? allocate(floats) : 0; // (batch, heads, T, S): 0, or 1 / (1 - dropout)
  const scratch = allocate(kernels.attentionFloats(T, S, K, V));
  return {
    forward(batch: number, training: boolean): void {
      const drops = training && dropout > 0;
      if (drops) kernels.dropFactors(random, factors, batch * heads * T * S, dropout);
      kernels.attentionForward(
        query.value,
        query.stride,
        key.value,
        key.stride,
        value.value,
        value.stride,
        output.value,
        output.stride,
        weights,
        drops ? factors : 0,
        masks.query,
        masks.key,
        masks.value,
        maskedQuery,
        causal,
        scale,
        batch,
        heads,
        T,
        S,
        K,
        V,
        scratch,
      );
    },
    /** Sets the gradients of query, key and value. */
    backward(batch: number): void {
      kernels.attentionBackward(
        query.value,
        query.stride,
        key.value,
        key.stride,
        value.value,
        value.stride,
        output.gradient,
        output.stride,
        weights,
        query.gradient,
        key.gradient,
        value.gradient,
        factors,
        masks.query,
        masks.key,
        masks.value,
        maskedQuery,
        causal,
        scale,
        batch,
        heads,
        T,
        S,
        K,
        V,
        scratch,
      );
    },
  };
}
