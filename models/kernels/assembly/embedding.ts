import { addTo } from "./elementwise";
import { at } from "./vector";

// Tokens are whole numbers as floats: `tokensWithin` stands before all else, or a table is read past its end.

/** Whether each of n tokens is a whole number from 0 to size - 1. */
export function tokensWithin(tokens: usize, n: i32, size: i32): bool {
  for (let i = 0; i < n; i++) {
    const token = load<f32>(tokens + at(i));
    if (!(token >= 0 && token < <f32>size && token == floor<f32>(token))) return false;
  }
  return true;
}

/** y (n,dim): the row of the table (size,dim) for each token. */
export function embeddingForward(tokens: usize, table: usize, y: usize, n: i32, dim: i32): void {
  for (let i = 0; i < n; i++, y += at(dim)) memory.copy(y, table + at(<i32>load<f32>(tokens + at(i)) * dim), at(dim));
}

/** dtable += : each row of dy to the row that it came from. */
export function embeddingBackward(tokens: usize, dy: usize, dtable: usize, n: i32, dim: i32): void {
  for (let i = 0; i < n; i++, dy += at(dim)) addTo(dtable + at(<i32>load<f32>(tokens + at(i)) * dim), dy, dim);
}

/** mask (n): 0 where the token is 0, else 1. */
export function tokenMask(tokens: usize, mask: usize, n: i32): void {
  for (let i = 0; i < n; i++) store<f32>(mask + at(i), load<f32>(tokens + at(i)) == 0 ? 0 : 1);
}

/** to (times,n): `from` (n) again and again. */
export function repeat(from: usize, to: usize, n: i32, times: i32): void {
  for (let i = 0; i < times; i++, to += at(n)) memory.copy(to, from, at(n));
}
