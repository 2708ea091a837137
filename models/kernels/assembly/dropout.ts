import { at, ld, splat, st } from "./vector";

/** y[i] = x[i] m[i]. y may be x. */
export function applyMask(x: usize, m: usize, y: usize, n: i32): void {
  for (let i = 0; i < n; i += 4) {
    const k = min(4, n - i);
    st(y + at(i), f32x4.mul(ld(x + at(i), k), ld(m + at(i), k)), k);
  }
}

/** y[i] = x[i] + m[i] */
export function applyNoise(x: usize, m: usize, y: usize, n: i32): void {
  for (let i = 0; i < n; i += 4) {
    const k = min(4, n - i);
    st(y + at(i), f32x4.add(ld(x + at(i), k), ld(m + at(i), k)), k);
  }
}

/** y (batch,rows,cols) = x times one m (batch,1,cols) for all rows. y may be x. */
export function applyChannelMask(x: usize, m: usize, y: usize, batch: i32, rows: i32, cols: i32): void {
  for (let i = 0; i < batch; i++, m += at(cols))
    for (let j = 0; j < rows; j++, x += at(cols), y += at(cols)) applyMask(x, m, y, cols);
}

/** y[i] = x[i] m[i] + kept, or dropped where m[i] is 0 */
export function alphaDropout(x: usize, m: usize, y: usize, n: i32, kept: f32, dropped: f32): void {
  for (let i = 0; i < n; i += 4) {
    const k = min(4, n - i);
    const mask = ld(m + at(i), k);
    const v = f32x4.add(f32x4.mul(ld(x + at(i), k), mask), splat(kept));
    st(y + at(i), v128.bitselect(splat(dropped), v, f32x4.eq(mask, splat(0))), k);
  }
}
