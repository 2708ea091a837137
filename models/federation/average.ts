import { createExactSum } from "../kernels/exact-sum.ts";

/**
 * Federated averaging: w <- w + sum_k n_k (w_k - w) / sum_k n_k, in O(model) memory however many updates arrive. The sum is a fixed-point
 * integer of 128 bits for every weight, so the result has the same bits in any order of arrival.
 *
 * Source: McMahan et al. 2017, arXiv 1602.05629, Algorithm 1 (server side), on deltas.
 */
export interface Average {
  readonly updates: number;
  /** `delta`: w_k - w, one value a weight; `samples`: n_k. Both passed the gate. */
  add(delta: Float32Array, samples: number): void;
  /** The new weights, from the weights that the deltas are against. */
  apply(base: Float32Array): Float32Array;
}

export async function openAverage(parameters: number): Promise<Average> {
  const sum = await createExactSum(parameters);
  let updates = 0;
  return {
    get updates() {
      return updates;
    },
    add(delta, samples) {
      sum.add(delta, samples);
      updates += 1;
    },
    apply(base) {
      const mean = sum.mean();
      return base.map((w, i) => w + mean[i]!);
    },
  };
}
