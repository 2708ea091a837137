// Four lanes of f32 at a time, and the last one to three elements of a row.

/** The first `n` (1..3) floats at `p`; the other lanes are zero. */
export function loadTail(p: usize, n: i32): v128 {
  if (n == 1) return v128.load_zero<f32>(p);
  let v = v128.load_zero<u64>(p);
  if (n == 3) v = v128.load_lane<f32>(p, v, 2, 8);
  return v;
}

/** Writes the first `n` (1..3) lanes of `v` to `p` and nothing behind them. */
export function storeTail(p: usize, v: v128, n: i32): void {
  if (n == 1) {
    v128.store_lane<f32>(p, v, 0);
    return;
  }
  v128.store_lane<u64>(p, v, 0);
  if (n == 3) v128.store_lane<f32>(p, v, 2, 8);
}

/** With a literal `n` of 4 this folds to a plain vector load. */
// @ts-ignore: decorator
@inline
export function ld(p: usize, n: i32): v128 {
  if (n == 4) return v128.load(p);
  return loadTail(p, n);
}

/**
 * A whole vector of which up to three lanes may lie behind the buffer's end: for copies that are cut off later. Every arena has that much room
 * behind its last buffer.
 */
// @ts-ignore: decorator
@inline
export function loadBeyond(p: usize): v128 {
  return v128.load(p);
}

// @ts-ignore: decorator
@inline
export function st(p: usize, v: v128, n: i32): void {
  if (n == 4) v128.store(p, v);
  else storeTail(p, v, n);
}

// @ts-ignore: decorator
@inline
export function splat(x: f32): v128 {
  return f32x4.splat(x);
}

/** Bytes from the start of a float buffer to element `i`. */
// @ts-ignore: decorator
@inline
export function at(i: i32): usize {
  return (<usize>i) << 2;
}

/** a b + c: in the build with relaxed SIMD one instruction, rounded once where the processor has it. */
// @ts-ignore: decorator
@inline
export function madd(a: v128, b: v128, c: v128): v128 {
  if (ASC_FEATURE_RELAXED_SIMD) return f32x4.relaxed_madd(a, b, c);
  return f32x4.add(c, f32x4.mul(a, b));
}
