import { columnSums } from "./tensor";
import { at, ld, splat, st } from "./vector";

/** y = x, or alpha x below 0. x, y: (batch,size); alpha: (size). */
export function preluForward(x: usize, alpha: usize, y: usize, batch: i32, size: i32): void {
  for (let i = 0; i < batch; i++, x += at(size), y += at(size)) {
    for (let j = 0; j < size; j += 4) {
      const k = min(4, size - j);
      const v = ld(x + at(j), k);
      const below = f32x4.mul(v, ld(alpha + at(j), k));
      st(y + at(j), v128.bitselect(v, below, f32x4.gt(v, splat(0))), k);
    }
  }
}

/** dalpha (size) = the sum over the batch of dy x where x is below 0; dx (or 0) = dy, or alpha dy there. */
export function preluBackward(
  x: usize, alpha: usize, dy: usize, dx: usize, dalpha: usize, batch: i32, size: i32,
): void {
  memory.fill(dalpha, 0, at(size));
  for (let i = 0; i < batch; i++, x += at(size), dy += at(size)) {
    for (let j = 0; j < size; j += 4) {
      const k = min(4, size - j);
      const v = ld(x + at(j), k);
      const g = ld(dy + at(j), k);
      const positive = f32x4.gt(v, splat(0));
      const part = v128.andnot(f32x4.mul(g, v), positive);
      st(dalpha + at(j), f32x4.add(ld(dalpha + at(j), k), part), k);
      if (dx) st(dx + at(j), v128.bitselect(g, f32x4.mul(g, ld(alpha + at(j), k)), positive), k);
    }
    if (dx) dx += at(size);
  }
}

/** (outer,1,inner) -> (outer,n,inner) */
export function spread(from: usize, to: usize, outer: i32, n: i32, inner: i32): void {
  for (let i = 0; i < outer; i++, from += at(inner))
    for (let j = 0; j < n; j++, to += at(inner)) memory.copy(to, from, at(inner));
}

/** (outer,n,inner) -> (outer,1,inner): to = the sum over n. */
export function sumOver(from: usize, to: usize, outer: i32, n: i32, inner: i32): void {
  memory.fill(to, 0, at(outer * inner));
  for (let i = 0; i < outer; i++, from += at(n * inner), to += at(inner)) columnSums(from, inner, n, inner, to);
}
