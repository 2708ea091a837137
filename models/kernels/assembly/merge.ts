import { at, ld, splat, st } from "./vector";

// Element by element over two tensors of one size. `to` may be `a`.

// The same numbers stand in models/engine/layers/merge.ts.
const ADD: i32 = 0;
const SUBTRACT: i32 = 1;
const MULTIPLY: i32 = 2;
const MAXIMUM: i32 = 3;
const MINIMUM: i32 = 4;

/** to[i] = a[i] op b[i]. One loop per operation, so that none has a branch. */
export function combine(op: i32, a: usize, b: usize, to: usize, n: i32): void {
  const full = n & ~3;
  const rest = n & 3;
  if (op == ADD) {
    for (let k = 0; k < full; k += 4) v128.store(to + at(k), f32x4.add(v128.load(a + at(k)), v128.load(b + at(k))));
  } else if (op == SUBTRACT) {
    for (let k = 0; k < full; k += 4) v128.store(to + at(k), f32x4.sub(v128.load(a + at(k)), v128.load(b + at(k))));
  } else if (op == MULTIPLY) {
    for (let k = 0; k < full; k += 4) v128.store(to + at(k), f32x4.mul(v128.load(a + at(k)), v128.load(b + at(k))));
  } else if (op == MAXIMUM) {
    for (let k = 0; k < full; k += 4) v128.store(to + at(k), f32x4.pmax(v128.load(a + at(k)), v128.load(b + at(k))));
  } else {
    for (let k = 0; k < full; k += 4) v128.store(to + at(k), f32x4.pmin(v128.load(a + at(k)), v128.load(b + at(k))));
  }
  if (rest) st(to + at(full), combine4(op, ld(a + at(full), rest), ld(b + at(full), rest)), rest);
}

function combine4(op: i32, a: v128, b: v128): v128 {
  if (op == ADD) return f32x4.add(a, b);
  if (op == SUBTRACT) return f32x4.sub(a, b);
  if (op == MULTIPLY) return f32x4.mul(a, b);
  if (op == MAXIMUM) return f32x4.pmax(a, b);
  return f32x4.pmin(a, b);
}

/**
 * The way back of a maximum or minimum y of several x, called for each in turn: dx (or 0) takes the gradient where x is
 * y, and dy loses it there. So of equals the first takes all, as in tfjs.
 */
export function claim(x: usize, y: usize, dy: usize, dx: usize, n: i32): void {
  for (let k = 0; k < n; k += 4) {
    const lanes = min(4, n - k);
    const mine = f32x4.eq(ld(x + at(k), lanes), ld(y + at(k), lanes));
    const g = ld(dy + at(k), lanes);
    if (dx) st(dx + at(k), v128.and(g, mine), lanes);
    st(dy + at(k), v128.andnot(g, mine), lanes);
  }
}

/** to[i] = from[i] * factor */
export function scaled(from: usize, to: usize, n: i32, factor: f32): void {
  const f = splat(factor);
  for (let k = 0; k < n; k += 4) {
    const lanes = min(4, n - k);
    st(to + at(k), f32x4.mul(ld(from + at(k), lanes), f), lanes);
  }
}
