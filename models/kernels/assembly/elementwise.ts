import { at, ld, st } from "./vector";

/** to[i] += from[i] */
export function addTo(to: usize, from: usize, n: i32): void {
  const end = to + at(n & ~3);
  for (; to < end; to += 16, from += 16) v128.store(to, f32x4.add(v128.load(to), v128.load(from)));
  if (n & 3) st(to, f32x4.add(ld(to, n & 3), ld(from, n & 3)), n & 3);
}

/** to[i] = from[i] */
export function copy(to: usize, from: usize, n: i32): void {
  memory.copy(to, from, at(n));
}

/** to[i] = 0 */
export function clear(to: usize, n: i32): void {
  memory.fill(to, 0, at(n));
}

/** Each of `rows` rows (n) += row. */
export function addRow(to: usize, row: usize, rows: i32, n: i32): void {
  for (let i = 0; i < rows; i++, to += at(n)) addTo(to, row, n);
}
