import type { EarlyStopping } from "./fit-options.ts";

/** Watches one value over the epochs. */
export interface Patience {
  /** Whether it is the best so far, and whether training should end. */
  see(value: number): { readonly best: boolean; readonly stop: boolean };
}

/** As Keras: better is lower by more than minDelta; training ends once `patience` epochs in a row were not better. NaN is never better. */
export function createPatience({ patience, minDelta }: EarlyStopping): Patience {
  let lowest = Number.POSITIVE_INFINITY;
  let waited = 0;
  return {
    see(value) {
      const best = value < lowest - minDelta;
      if (best) lowest = value;
      waited = best ? 0 : waited + 1;
      return { best, stop: waited >= patience };
    },
  };
}
