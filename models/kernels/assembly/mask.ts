import { at } from "./vector";

// Masks over time steps: 1 where a step counts, 0 where it does not.

/**
 * x, y (rows,C), mask (rows): a row that is `value` in every column is masked, and zero in y. Rows are steps, in batch order.
 */
export function maskSteps(x: usize, y: usize, mask: usize, rows: i32, C: i32, value: f32): void {
  const bytes = at(C);
  for (let i = 0; i < rows; i++, x += bytes, y += bytes, mask += 4) {
    let counts = false;
    for (let j: usize = 0; j < bytes; j += 4) {
      if (load<f32>(x + j) != value) {
        counts = true;
        break;
      }
    }
    store<f32>(mask, counts ? 1 : 0);
    if (counts) memory.copy(y, x, bytes);
    else memory.fill(y, 0, bytes);
  }
}

/** dx = dy where a row counts, else 0. */
export function maskStepsBackward(mask: usize, dy: usize, dx: usize, rows: i32, C: i32): void {
  const bytes = at(C);
  for (let i = 0; i < rows; i++, dy += bytes, dx += bytes, mask += 4) {
    if (load<f32>(mask) != 0) memory.copy(dx, dy, bytes);
    else memory.fill(dx, 0, bytes);
  }
}

/** mask (B,T) -> (T,B), as the recurrent kernels want it; backwards: the last step first. */
export function maskByTime(mask: usize, to: usize, T: i32, B: i32, backwards: bool): void {
  for (let t = 0; t < T; t++) {
    let from = mask + at(backwards ? T - 1 - t : t);
    for (let i = 0; i < B; i++, from += at(T), to += 4) store<f32>(to, load<f32>(from));
  }
}

/** now = before (rows of H floats) where the step is masked: the state is carried on. */
export function carry(mask: usize, before: usize, now: usize, B: i32, H: i32): void {
  const bytes = at(H);
  for (let i = 0; i < B; i++, before += bytes, now += bytes, mask += 4) {
    if (load<f32>(mask) == 0) memory.copy(now, before, bytes);
  }
}

/**
 * The way back of `carry`, first half: the gradient d (B,H) of a masked step goes to `aside` and leaves zero, so that
 * nothing of it reaches the step's weights and input; aside is zero elsewhere. Once d is the gradient of the step
 * before, aside is added to it.
 */
export function setAside(mask: usize, d: usize, aside: usize, B: i32, H: i32): void {
  const bytes = at(H);
  for (let i = 0; i < B; i++, d += bytes, aside += bytes, mask += 4) {
    if (load<f32>(mask) == 0) {
      memory.copy(aside, d, bytes);
      memory.fill(d, 0, bytes);
    } else memory.fill(aside, 0, bytes);
  }
}
