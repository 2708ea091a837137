// One GRU over one sequence, written as the formulas stand, in f64: what the fused kernel must match.

export interface GruWeights {
  readonly units: number;
  readonly channels: number;
  /** (channels, 3 units), gates z, r, h */
  readonly kernel: ArrayLike<number>;
  /** (units, 3 units) */
  readonly recurrent: ArrayLike<number>;
  /** (2, 3 units): for the input and for the recurrent side. */
  readonly bias: ArrayLike<number>;
}

/** x: (time, channels) -> all states (time, units), with the reset gate applied after the recurrent product. */
export function gruResetAfter(weights: GruWeights, x: ArrayLike<number>, time: number): number[][] {
  const { units: H, channels: C, kernel, recurrent, bias } = weights;
  const sigmoid = (v: number) => 1 / (1 + Math.exp(-v));
  const states: number[][] = [];
  let h = new Array<number>(H).fill(0);
  for (let t = 0; t < time; t++) {
    const input = (column: number) => {
      let sum = bias[column]!;
      for (let c = 0; c < C; c++) sum += x[t * C + c]! * kernel[c * 3 * H + column]!;
      return sum;
    };
    const before = h;
    const inner = (column: number) => {
      let sum = bias[3 * H + column]!;
      for (let k = 0; k < H; k++) sum += before[k]! * recurrent[k * 3 * H + column]!;
      return sum;
    };
    h = before.map((previous, j) => {
      const z = sigmoid(input(j) + inner(j));
      const r = sigmoid(input(H + j) + inner(H + j));
      const candidate = Math.tanh(input(2 * H + j) + r * inner(2 * H + j));
      return z * previous + (1 - z) * candidate;
    });
    states.push(h);
  }
  return states;
}
