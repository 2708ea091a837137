import { at } from "./vector";

// What is done to targets and weights before a loss sees them.

/** The targets of masked steps go missing: y (steps,inner) becomes NaN where mask (steps) is 0. */
export function maskTargets(y: usize, mask: usize, steps: i32, inner: i32): void {
  for (let i = 0; i < steps; i++) {
    if (load<f32>(mask + at(i)) != 0) continue;
    for (let j = 0; j < inner; j++) store<f32>(y + at(i * inner + j), NaN);
  }
}

/** Whether any y[i] is neither NaN nor a whole number from 0 to classes - 1. */
export function hasStrayClass(y: usize, n: i32, classes: i32): bool {
  for (let i = 0; i < n; i++) {
    const v = load<f32>(y + at(i));
    if (v == v && (v < 0 || v >= <f32>classes || floor(v) != v)) return true;
  }
  return false;
}

/** to (n,times): each weight of `from` (n, or 0 for ones) as often as its sample has rows. */
export function spreadWeights(from: usize, to: usize, n: i32, times: i32): void {
  for (let i = 0; i < n; i++) {
    const w: f32 = from ? load<f32>(from + at(i)) : 1;
    for (let j = 0; j < times; j++, to += 4) store<f32>(to, w);
  }
}

/**
 * w (rows) times the weight of each row's class, from `table` (classes). y (rows,cols): with one column the class itself, to the nearest, else one
 * column a class, of which the largest counts. Missing rows stay as they are.
 */
export function weighClasses(y: usize, rows: i32, cols: i32, table: usize, classes: i32, w: usize): void {
  for (let i = 0; i < rows; i++, y += at(cols)) {
    let best = load<f32>(y);
    let found = cols == 1 ? <i32>nearest(best == best ? best : 0) : 0;
    for (let j = 1; j < cols; j++) {
      const v = load<f32>(y + at(j));
      if (v > best) {
        best = v;
        found = j;
      }
    }
    if (best != best) continue;
    found = max(0, min(found, classes - 1));
    store<f32>(w + at(i), load<f32>(w + at(i)) * load<f32>(table + at(found)));
  }
}
