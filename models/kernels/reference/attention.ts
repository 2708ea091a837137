// Scaled dot product attention of one head of one sample, written as the formulas stand, in f64: what the fused kernels must match.

export interface Head {
  /** (T,K) */
  readonly q: ArrayLike<number>;
  /** (S,K) */
  readonly k: ArrayLike<number>;
  /** (S,V) */
  readonly v: ArrayLike<number>;
  readonly T: number;
  readonly S: number;
  readonly K: number;
  readonly V: number;
  readonly scale: number;
  /** Query t sees keys 0..t. */
  readonly causal?: boolean;
  /** (T) and (S), 0 where a step does not count. */
  readonly queryMask?: ArrayLike<number> | undefined;
  readonly keyMask?: ArrayLike<number> | undefined;
  /** What a masked query weighs each key with. */
  readonly maskedQuery?: number;
  /** (T,S): what each weight is multiplied with before the values are. */
  readonly factors?: ArrayLike<number> | undefined;
}

/** softmax(scale q k) over the keys that are seen: (T,S). A query that sees none weighs all alike. */
export function attentionWeights(head: Head): Float64Array {
  const { q, k, T, S, K, scale, maskedQuery = 0 } = head;
  const weights = new Float64Array(T * S);
  for (let t = 0; t < T; t++) {
    const row = weights.subarray(t * S, (t + 1) * S);
    if (head.queryMask?.[t] === 0) {
      row.fill(maskedQuery);
      continue;
    }
    const seen = (s: number) => (!head.causal || s <= t) && head.keyMask?.[s] !== 0;
    if (!sees(head, t)) {
      row.fill(1 / S);
      continue;
    }
    const scores = Array.from({ length: S }, (_, s) => {
      let sum = 0;
      for (let i = 0; i < K; i++) sum += q[t * K + i]! * k[s * K + i]!;
      return seen(s) ? scale * sum : Number.NEGATIVE_INFINITY;
    });
    const top = Math.max(...scores);
    const sum = scores.reduce((total, score) => total + Math.exp(score - top), 0);
    scores.forEach((score, s) => {
      row[s] = Math.exp(score - top) / sum;
    });
  }
  return weights;
}

/** weights (T,S), times their factors, over v (S,V): (T,V). */
export function attentionOutput(head: Head): Float64Array {
  const { v, T, S, V } = head;
  const weights = attentionWeights(head);
  const out = new Float64Array(T * V);
  for (let t = 0; t < T; t++)
    for (let s = 0; s < S; s++)
      for (let j = 0; j < V; j++)
        out[t * V + j]! += factorOf(head, t, s) * weights[t * S + s]! * v[s * V + j]!;
  return out;
}

/** The gradients of q, k and v for dO (T,V), by the chain rule. The weights of a query that sees nothing do not depend on any score. */
export function attentionGradients(head: Head, dO: ArrayLike<number>) {
  const { q, k, v, T, S, K, V, scale } = head;
  const weights = attentionWeights(head);
  const [dq, dk, dv] = [new Float64Array(T * K), new Float64Array(S * K), new Float64Array(S * V)];
  for (let t = 0; t < T; t++) {
    const p = weights.subarray(t * S, (t + 1) * S);
    const dp = p.map((_, s) => {
      let sum = 0;
      for (let j = 0; j < V; j++) sum += dO[t * V + j]! * v[s * V + j]!;
      return factorOf(head, t, s) * sum;
    });
    const blind = head.queryMask?.[t] === 0 || !sees(head, t);
    const dot = p.reduce((sum, weight, s) => sum + weight * dp[s]!, 0);
    for (let s = 0; s < S; s++) {
      const ds = blind ? 0 : scale * p[s]! * (dp[s]! - dot);
      for (let i = 0; i < K; i++) {
        dq[t * K + i]! += ds * k[s * K + i]!;
        dk[s * K + i]! += ds * q[t * K + i]!;
      }
      for (let j = 0; j < V; j++) dv[s * V + j]! += factorOf(head, t, s) * p[s]! * dO[t * V + j]!;
    }
  }
  return { q: dq, k: dk, v: dv };
}

function factorOf({ S, factors }: Head, t: number, s: number): number {
  return factors?.[t * S + s] ?? 1;
}

function sees({ S, causal, keyMask }: Head, t: number): boolean {
  for (let s = 0; s < S; s++) if ((!causal || s <= t) && keyMask?.[s] !== 0) return true;
  return false;
}
