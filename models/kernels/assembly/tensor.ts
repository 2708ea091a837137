import { at, ld, splat, st } from "./vector";

/** out (N) += the sum of the rows of A (M,N; row stride lda). */
export function columnSums(a: usize, lda: i32, m: i32, n: i32, out: usize): void {
  const step = at(lda);
  let j = 0;
  for (; j + 16 <= n; j += 16) {
    let p = a + at(j);
    const o = out + at(j);
    let s0 = splat(0), s1 = splat(0), s2 = splat(0), s3 = splat(0);
    for (let i = 0; i < m; i++, p += step) {
      s0 = f32x4.add(s0, v128.load(p));
      s1 = f32x4.add(s1, v128.load(p, 16));
      s2 = f32x4.add(s2, v128.load(p, 32));
      s3 = f32x4.add(s3, v128.load(p, 48));
    }
    v128.store(o, f32x4.add(v128.load(o), s0));
    v128.store(o, f32x4.add(v128.load(o, 16), s1), 16);
    v128.store(o, f32x4.add(v128.load(o, 32), s2), 32);
    v128.store(o, f32x4.add(v128.load(o, 48), s3), 48);
  }
  for (; j < n; j += 4) {
    const cols = min(4, n - j);
    let p = a + at(j);
    let s = splat(0);
    for (let i = 0; i < m; i++, p += step) s = f32x4.add(s, ld(p, cols));
    st(out + at(j), f32x4.add(ld(out + at(j), cols), s), cols);
  }
}

/** (rows, columns, inner) -> (columns, rows, inner): batch-major to time-major and back. */
export function reorder(from: usize, to: usize, rows: i32, columns: i32, inner: i32): void {
  const bytes = at(inner);
  for (let i = 0; i < rows; i++) {
    let p = to + (<usize>i) * bytes;
    for (let j = 0; j < columns; j++, from += bytes, p += (<usize>rows) * bytes) {
      let k: usize = 0;
      for (; k + 16 <= bytes; k += 16) v128.store(p + k, v128.load(from + k));
      for (; k < bytes; k += 4) store<f32>(p + k, load<f32>(from + k));
    }
  }
}

/**
 * The bits of the largest |x[i]|. Without their sign, floats sort as integers do, with Inf (0x7f800000) and NaN (above
 * it) at the top: so one pass gives both the range and whether all is finite.
 */
export function maxAbsBits(p: usize, n: i32): i32 {
  const mask = i32x4.splat(0x7fffffff);
  let top = i32x4.splat(0);
  const end = p + at(n & ~3);
  for (; p < end; p += 16) top = i32x4.max_s(top, v128.and(v128.load(p), mask));
  if (n & 3) top = i32x4.max_s(top, v128.and(ld(p, n & 3), mask));
  return max(
    max(i32x4.extract_lane(top, 0), i32x4.extract_lane(top, 1)),
    max(i32x4.extract_lane(top, 2), i32x4.extract_lane(top, 3)),
  );
}

/** Whether any x[i] is +-Inf; NaN is let pass, as it stands for a missing target. */
export function hasInfinity(p: usize, n: i32): bool {
  for (let i = 0; i < n; i++) {
    if ((load<i32>(p + at(i)) & 0x7fffffff) == 0x7f800000) return true;
  }
  return false;
}
