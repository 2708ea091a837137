import { at, ld, splat, st } from "./vector";

// Pooling over (batch, H, W, C) tensors, channels last, so the inner loop runs over neighbouring floats. A series
// (batch, T, C) is an image of height 1. Windows are KH x KW at strides SH x SW; PT and PL rows and columns of padding lie before the first
// ones, and what a window has outside the image does not count.

/** Winners lie (batch, OH, OW, C rounded up to four), so that they are written in whole vectors. */
// @ts-ignore: decorator
@inline
function padded(c: i32): i32 {
  return (c + 3) & ~3;
}

/**
 * y (batch,OH,OW,C) = the largest of each window. `winners` (or 0: not wanted): i32, the winner's place h * W + w. Of
 * equals the first in row order wins, as in tfjs.
 */
export function maxPool(
  x: usize, y: usize, winners: usize, batch: i32, h: i32, w: i32, c: i32,
  oh: i32, ow: i32, kh: i32, kw: i32, sh: i32, sw: i32, pt: i32, pl: i32,
): void {
  const full = c & ~3;
  const rest = c & 3;
  for (let b = 0; b < batch; b++, x += at(h * w * c)) {
    for (let i = 0; i < oh; i++) {
      const h0 = max(0, i * sh - pt);
      const h1 = min(h, i * sh - pt + kh);
      for (let j = 0; j < ow; j++, y += at(c)) {
        const w0 = max(0, j * sw - pl);
        const w1 = min(w, j * sw - pl + kw);
        for (let k = 0; k < full; k += 4) {
          maxOfWindow(x + at(k), y + at(k), winners, w, c, h0, h1, w0, w1, 4);
          if (winners) winners += 16;
        }
        if (rest) {
          maxOfWindow(x + at(full), y + at(full), winners, w, c, h0, h1, w0, w1, rest);
          if (winners) winners += 16;
        }
      }
    }
  }
}

// @ts-ignore: decorator
@inline
function maxOfWindow(
  x: usize, y: usize, winners: usize, w: i32, c: i32, h0: i32, h1: i32, w0: i32, w1: i32, lanes: i32,
): void {
  let place = i32x4.splat(h0 * w + w0);
  let top = ld(x + at((h0 * w + w0) * c), lanes);
  for (let i = h0; i < h1; i++) {
    let p = x + at((i * w + w0) * c);
    for (let j = w0; j < w1; j++, p += at(c)) {
      const v = ld(p, lanes);
      const above = f32x4.gt(v, top);
      top = v128.bitselect(v, top, above);
      place = v128.bitselect(i32x4.splat(i * w + j), place, above);
    }
  }
  st(y, top, lanes);
  if (winners) v128.store(winners, place);
}

/** dx (batch,H,W,C) = each window's gradient at its winner; overlapping windows add up. */
export function maxPoolBackward(
  dy: usize, winners: usize, dx: usize, batch: i32, h: i32, w: i32, c: i32, oh: i32, ow: i32,
): void {
  const size = at(h * w * c);
  memory.fill(dx, 0, (<usize>batch) * size);
  for (let b = 0; b < batch; b++, dx += size) {
    for (let i = 0; i < oh * ow; i++, dy += at(c), winners += at(padded(c))) {
      for (let k = 0; k < c; k++) {
        const p = dx + at(load<i32>(winners + at(k)) * c + k);
        store<f32>(p, load<f32>(p) + load<f32>(dy + at(k)));
      }
    }
  }
}

/**
 * maxPool where KH and KW are 2 (or KH is 1: a series) with strides of the same, and no padding: windows do not overlap. `winners` (or 0):
 * one byte each, 0 to 3 in row order.
 */
export function maxPoolPairs(
  x: usize, y: usize, winners: usize, batch: i32, h: i32, w: i32, c: i32, kh: i32,
): void {
  const oh = h / kh;
  const ow = w / 2;
  const row = at(w * c);
  const full = c & ~3;
  const rest = c & 3;
  for (let b = 0; b < batch; b++, x += at(h * w * c)) {
    for (let i = 0; i < oh; i++) {
      let p = x + (<usize>(i * kh)) * row;
      for (let j = 0; j < ow; j++, p += at(2 * c), y += at(c)) {
        for (let k = 0; k < full; k += 4) {
          maxOfPairs(p + at(k), y + at(k), winners, row, at(c), kh, 4);
          if (winners) winners += 4;
        }
        if (rest) {
          maxOfPairs(p + at(full), y + at(full), winners, row, at(c), kh, rest);
          if (winners) winners += 4;
        }
      }
    }
  }
}

// @ts-ignore: decorator
@inline
function maxOfPairs(p: usize, y: usize, winners: usize, row: usize, step: usize, kh: i32, lanes: i32): void {
  const v0 = ld(p, lanes);
  const v1 = ld(p + step, lanes);
  if (!winners) {
    let top = f32x4.pmax(v0, v1);
    if (kh == 2) top = f32x4.pmax(top, f32x4.pmax(ld(p + row, lanes), ld(p + row + step, lanes)));
    st(y, top, lanes);
    return;
  }
  const right = f32x4.gt(v1, v0);
  let top = v128.bitselect(v1, v0, right);
  let place = i32x4.neg(right); // a true comparison is -1
  if (kh == 2) {
    const v2 = ld(p + row, lanes);
    const v3 = ld(p + row + step, lanes);
    const lowerRight = f32x4.gt(v3, v2);
    const lower = v128.bitselect(v3, v2, lowerRight);
    const below = f32x4.gt(lower, top);
    top = v128.bitselect(lower, top, below);
    place = v128.bitselect(i32x4.sub(i32x4.splat(2), lowerRight), place, below);
  }
  st(y, top, lanes);
  const shorts = i16x8.narrow_i32x4_s(place, place);
  v128.store_lane<u32>(winners, i8x16.narrow_i16x8_s(shorts, shorts), 0);
}

/** Every place of dx is written once: no zeros first, but where an odd row or column is in no window. */
export function maxPoolPairsBackward(
  dy: usize, winners: usize, dx: usize, batch: i32, h: i32, w: i32, c: i32, kh: i32,
): void {
  const oh = h / kh;
  const ow = w / 2;
  const row = at(w * c);
  const full = c & ~3;
  const rest = c & 3;
  if ((w & 1) | (h - oh * kh)) memory.fill(dx, 0, (<usize>(batch * h)) * row);
  for (let b = 0; b < batch; b++, dx += at(h * w * c)) {
    for (let i = 0; i < oh; i++) {
      let p = dx + (<usize>(i * kh)) * row;
      for (let j = 0; j < ow; j++, p += at(2 * c), dy += at(c)) {
        for (let k = 0; k < full; k += 4, winners += 4)
          spreadPairs(dy + at(k), winners, p + at(k), row, at(c), kh, 4);
        if (rest) {
          spreadPairs(dy + at(full), winners, p + at(full), row, at(c), kh, rest);
          winners += 4;
        }
      }
    }
  }
}

// @ts-ignore: decorator
@inline
function spreadPairs(dy: usize, winners: usize, p: usize, row: usize, step: usize, kh: i32, lanes: i32): void {
  const place = i32x4.extend_low_i16x8_s(i16x8.extend_low_i8x16_s(v128.load_zero<u32>(winners)));
  const g = ld(dy, lanes);
  st(p, v128.and(g, i32x4.eq(place, i32x4.splat(0))), lanes);
  st(p + step, v128.and(g, i32x4.eq(place, i32x4.splat(1))), lanes);
  if (kh == 2) {
    st(p + row, v128.and(g, i32x4.eq(place, i32x4.splat(2))), lanes);
    st(p + row + step, v128.and(g, i32x4.eq(place, i32x4.splat(3))), lanes);
  }
}

/** y (batch,OH,OW,C) = the mean of what each window has inside the image. */
export function averagePool(
  x: usize, y: usize, batch: i32, h: i32, w: i32, c: i32,
  oh: i32, ow: i32, kh: i32, kw: i32, sh: i32, sw: i32, pt: i32, pl: i32,
): void {
  const full = c & ~3;
  const rest = c & 3;
  for (let b = 0; b < batch; b++, x += at(h * w * c)) {
    for (let i = 0; i < oh; i++) {
      const h0 = max(0, i * sh - pt);
      const h1 = min(h, i * sh - pt + kh);
      for (let j = 0; j < ow; j++, y += at(c)) {
        const w0 = max(0, j * sw - pl);
        const w1 = min(w, j * sw - pl + kw);
        const factor = splat(<f32>1 / <f32>((h1 - h0) * (w1 - w0)));
        for (let k = 0; k < full; k += 4)
          st(y + at(k), f32x4.mul(sumOfWindow(x + at(k), w, c, h0, h1, w0, w1, 4), factor), 4);
        if (rest) st(y + at(full), f32x4.mul(sumOfWindow(x + at(full), w, c, h0, h1, w0, w1, rest), factor), rest);
      }
    }
  }
}

// @ts-ignore: decorator
@inline
function sumOfWindow(x: usize, w: i32, c: i32, h0: i32, h1: i32, w0: i32, w1: i32, lanes: i32): v128 {
  let sum = splat(0);
  for (let r = h0; r < h1; r++) {
    let p = x + at((r * w + w0) * c);
    for (let q = w0; q < w1; q++, p += at(c)) sum = f32x4.add(sum, ld(p, lanes));
  }
  return sum;
}

/** dx (batch,H,W,C): each window's gradient shared out evenly among its places inside the image. */
export function averagePoolBackward(
  dy: usize, dx: usize, batch: i32, h: i32, w: i32, c: i32,
  oh: i32, ow: i32, kh: i32, kw: i32, sh: i32, sw: i32, pt: i32, pl: i32,
): void {
  const full = c & ~3;
  const rest = c & 3;
  memory.fill(dx, 0, (<usize>batch) * at(h * w * c));
  for (let b = 0; b < batch; b++, dx += at(h * w * c)) {
    for (let i = 0; i < oh; i++) {
      const h0 = max(0, i * sh - pt);
      const h1 = min(h, i * sh - pt + kh);
      for (let j = 0; j < ow; j++, dy += at(c)) {
        const w0 = max(0, j * sw - pl);
        const w1 = min(w, j * sw - pl + kw);
        const factor = splat(<f32>1 / <f32>((h1 - h0) * (w1 - w0)));
        for (let k = 0; k < full; k += 4)
          addToWindow(dx + at(k), f32x4.mul(ld(dy + at(k), 4), factor), w, c, h0, h1, w0, w1, 4);
        if (rest)
          addToWindow(dx + at(full), f32x4.mul(ld(dy + at(full), rest), factor), w, c, h0, h1, w0, w1, rest);
      }
    }
  }
}

// @ts-ignore: decorator
@inline
function addToWindow(
  dx: usize, g: v128, w: i32, c: i32, h0: i32, h1: i32, w0: i32, w1: i32, lanes: i32,
): void {
  for (let r = h0; r < h1; r++) {
    let p = dx + at((r * w + w0) * c);
    for (let q = w0; q < w1; q++, p += at(c)) st(p, f32x4.add(ld(p, lanes), g), lanes);
  }
}

/**
 * y (batch,C) = the mean over the steps of x (batch,T,C) whose mask (batch,T; or 0: all) is not zero; 0 where all are
 * masked, where Keras has 0/0.
 */
export function meanOverTime(x: usize, mask: usize, y: usize, batch: i32, t: i32, c: i32): void {
  for (let b = 0; b < batch; b++, x += at(t * c), y += at(c)) {
    const factor = splat(shareOf(mask, t));
    for (let k = 0; k < c; k += 4) {
      const lanes = min(4, c - k);
      let p = x + at(k);
      let sum = splat(0);
      for (let i = 0; i < t; i++, p += at(c)) {
        if (mask == 0 || load<f32>(mask + at(i)) != 0) sum = f32x4.add(sum, ld(p, lanes));
      }
      st(y + at(k), f32x4.mul(sum, factor), lanes);
    }
    if (mask) mask += at(t);
  }
}

export function meanOverTimeBackward(dy: usize, mask: usize, dx: usize, batch: i32, t: i32, c: i32): void {
  for (let b = 0; b < batch; b++, dy += at(c)) {
    const factor = splat(shareOf(mask, t));
    for (let i = 0; i < t; i++, dx += at(c)) {
      const counts = mask == 0 || load<f32>(mask + at(i)) != 0;
      const share = counts ? factor : splat(0);
      for (let k = 0; k < c; k += 4) {
        const lanes = min(4, c - k);
        st(dx + at(k), f32x4.mul(ld(dy + at(k), lanes), share), lanes);
      }
    }
    if (mask) mask += at(t);
  }
}

/** 1 / how many steps count. */
function shareOf(mask: usize, t: i32): f32 {
  if (mask == 0) return <f32>1 / <f32>t;
  let count: i32 = 0;
  for (let i = 0; i < t; i++) count += i32(load<f32>(mask + at(i)) != 0);
  return count > 0 ? <f32>1 / <f32>count : 0;
}

/**
 * One more row (C) of a stream: state (C+1) is the mean so far and the count; y (C) = the new mean. A row whose mask (one float; or 0: counts)
 * is zero changes nothing.
 */
export function meanStep(row: usize, mask: usize, state: usize, y: usize, c: i32): void {
  const counts = mask == 0 || load<f32>(mask) != 0;
  const count: f32 = load<f32>(state + at(c)) + (counts ? 1 : 0);
  store<f32>(state + at(c), count);
  const share = splat(counts ? <f32>1 / count : 0);
  for (let k = 0; k < c; k += 4) {
    const lanes = min(4, c - k);
    const mean = ld(state + at(k), lanes);
    const next = f32x4.add(mean, f32x4.mul(f32x4.sub(ld(row + at(k), lanes), mean), share));
    st(state + at(k), next, lanes);
    st(y + at(k), next, lanes);
  }
}

/** One more row (C) of a stream: state (C+1) is the largest so far and whether there was one; y (C) = the new largest. */
export function maxStep(row: usize, state: usize, y: usize, c: i32): void {
  const first = load<f32>(state + at(c)) == 0;
  store<f32>(state + at(c), 1);
  for (let k = 0; k < c; k += 4) {
    const lanes = min(4, c - k);
    const v = ld(row + at(k), lanes);
    const next = first ? v : f32x4.pmax(ld(state + at(k), lanes), v);
    st(state + at(k), next, lanes);
    st(y + at(k), next, lanes);
  }
}
