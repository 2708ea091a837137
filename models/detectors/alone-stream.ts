import type { ResidualStream } from "./kind.ts";

/** Rows that stand alone: nothing is carried from one to the next. `residuals` fills `out` and allocates what the network gives. */
export function aloneStream(
  width: number,
  residuals: (row: Float32Array, target: Float32Array, out: Float32Array) => void,
): ResidualStream {
  const out = new Float32Array(width);
  return {
    push(row, target) {
      // Of a row without any value there is nothing to say.
      if (target.every(Number.isNaN)) out.fill(Number.NaN);
      else residuals(row, target, out);
      return out;
    },
    stateSize: 0,
    state: () => new Float32Array(0),
    restore() {},
    reset() {},
    dispose() {},
  };
}
