import { at, ld, splat, st } from "./vector";

// What moves values and computes none: cuts, pads, joins, transposes, repeats.

/**
 * Copies blocks of rows: `outer` blocks of `rows` rows of `cols` neighbouring floats. Blocks and rows have their own strides, in floats, on
 * either side. Padding, cropping and concatenation are this with different addresses.
 */
export function copyBlocks(
  from: usize, fromBlock: i32, fromRow: i32, to: usize, toBlock: i32, toRow: i32, outer: i32, rows: i32, cols: i32,
): void {
  for (let b = 0; b < outer; b++, from += at(fromBlock), to += at(toBlock)) {
    let p = from;
    let q = to;
    for (let i = 0; i < rows; i++, p += at(fromRow), q += at(toRow)) copyRow(p, q, cols);
  }
}

export function fillZero(to: usize, n: i32): void {
  memory.fill(to, 0, at(n));
}

export function fill(to: usize, n: i32, value: f32): void {
  for (let i = 0; i < n; i += 4) st(to + at(i), splat(value), min(4, n - i));
}

/** A call of memory.copy costs more than a short row. */
// @ts-ignore: decorator
@inline
function copyRow(from: usize, to: usize, n: i32): void {
  if (n > 64) {
    memory.copy(to, from, at(n));
    return;
  }
  const full = n & ~3;
  for (let k = 0; k < full; k += 4) v128.store(to + at(k), v128.load(from + at(k)));
  for (let k = full; k < n; k++) store<f32>(to + at(k), load<f32>(from + at(k)));
}

/**
 * to (n0,n1,n2,n3,n4), packed, = from[i0 s0 + ... + i4 s4]. Strides count floats; 0 repeats, others transpose. Permute, nearest upsampling,
 * repetition and broadcasting are all this.
 */
export function gather(
  from: usize, to: usize, n0: i32, n1: i32, n2: i32, n3: i32, n4: i32,
  s0: i32, s1: i32, s2: i32, s3: i32, s4: i32,
): void {
  for (let i0 = 0; i0 < n0; i0++) {
    for (let i1 = 0; i1 < n1; i1++) {
      for (let i2 = 0; i2 < n2; i2++) {
        let p = from + at(i0 * s0 + i1 * s1 + i2 * s2);
        for (let i3 = 0; i3 < n3; i3++, p += at(s3), to += at(n4)) {
          if (s4 == 1) copyRow(p, to, n4);
          else for (let k = 0; k < n4; k++) store<f32>(to + at(k), load<f32>(p + at(k * s4)));
        }
      }
    }
  }
}

/** The way back: to[i0 s0 + ... + i4 s4] += from (n0,n1,n2,n3,n4), packed. */
export function scatterAdd(
  from: usize, to: usize, n0: i32, n1: i32, n2: i32, n3: i32, n4: i32,
  s0: i32, s1: i32, s2: i32, s3: i32, s4: i32,
): void {
  for (let i0 = 0; i0 < n0; i0++) {
    for (let i1 = 0; i1 < n1; i1++) {
      for (let i2 = 0; i2 < n2; i2++) {
        let p = to + at(i0 * s0 + i1 * s1 + i2 * s2);
        for (let i3 = 0; i3 < n3; i3++, p += at(s3), from += at(n4)) {
          if (s4 == 1) {
            for (let k = 0; k < n4; k += 4) {
              const lanes = min(4, n4 - k);
              st(p + at(k), f32x4.add(ld(p + at(k), lanes), ld(from + at(k), lanes)), lanes);
            }
          } else {
            for (let k = 0; k < n4; k++) {
              const q = p + at(k * s4);
              store<f32>(q, load<f32>(q) + load<f32>(from + at(k)));
            }
          }
        }
      }
    }
  }
}

/**
 * y (batch,H FH,W FW,C) from x (batch,H,W,C), linear between the four pixels around each place. `halfPixel`: pixels are squares whose
 * centres are at halves, as in TensorFlow 2 and Keras; else points at whole numbers, as in tfjs.
 */
export function bilinear(
  x: usize, y: usize, batch: i32, h: i32, w: i32, c: i32, fh: i32, fw: i32, halfPixel: bool,
): void {
  for (let b = 0; b < batch; b++, x += at(h * w * c)) {
    for (let i = 0; i < h * fh; i++) {
      const ys = source(i, fh, halfPixel);
      const y0 = below(ys, h);
      const y1 = min(y0 + 1, h - 1);
      const fy = splat(clampFraction(ys, y0));
      for (let j = 0; j < w * fw; j++, y += at(c)) {
        const xs = source(j, fw, halfPixel);
        const x0 = below(xs, w);
        const x1 = min(x0 + 1, w - 1);
        const fx = splat(clampFraction(xs, x0));
        const p00 = x + at((y0 * w + x0) * c);
        const p01 = x + at((y0 * w + x1) * c);
        const p10 = x + at((y1 * w + x0) * c);
        const p11 = x + at((y1 * w + x1) * c);
        for (let k = 0; k < c; k += 4) {
          const lanes = min(4, c - k);
          const top = between(ld(p00 + at(k), lanes), ld(p01 + at(k), lanes), fx);
          const bottom = between(ld(p10 + at(k), lanes), ld(p11 + at(k), lanes), fx);
          st(y + at(k), between(top, bottom, fy), lanes);
        }
      }
    }
  }
}

/** dx (batch,H,W,C) = each place's gradient, shared among the four pixels that it came from. */
export function bilinearBackward(
  dy: usize, dx: usize, batch: i32, h: i32, w: i32, c: i32, fh: i32, fw: i32, halfPixel: bool,
): void {
  memory.fill(dx, 0, (<usize>batch) * at(h * w * c));
  for (let b = 0; b < batch; b++, dx += at(h * w * c)) {
    for (let i = 0; i < h * fh; i++) {
      const ys = source(i, fh, halfPixel);
      const y0 = below(ys, h);
      const y1 = min(y0 + 1, h - 1);
      const fy = clampFraction(ys, y0);
      for (let j = 0; j < w * fw; j++, dy += at(c)) {
        const xs = source(j, fw, halfPixel);
        const x0 = below(xs, w);
        const x1 = min(x0 + 1, w - 1);
        const fx = clampFraction(xs, x0);
        addScaled(dx + at((y0 * w + x0) * c), dy, c, (1 - fy) * (1 - fx));
        addScaled(dx + at((y0 * w + x1) * c), dy, c, (1 - fy) * fx);
        addScaled(dx + at((y1 * w + x0) * c), dy, c, fy * (1 - fx));
        addScaled(dx + at((y1 * w + x1) * c), dy, c, fy * fx);
      }
    }
  }
}

/** Where place `i` of the output lies among the input's pixels. */
// @ts-ignore: decorator
@inline
function source(i: i32, factor: i32, halfPixel: bool): f32 {
  const whole = <f32>i;
  return halfPixel ? (whole + 0.5) / <f32>factor - 0.5 : whole / <f32>factor;
}

// @ts-ignore: decorator
@inline
function below(place: f32, size: i32): i32 {
  return min(max(0, <i32>Mathf.floor(place)), size - 1);
}

/** 0 outside the outermost centres: there the border's own value holds. */
// @ts-ignore: decorator
@inline
function clampFraction(place: f32, floor: i32): f32 {
  return max<f32>(0, place - <f32>floor);
}

// @ts-ignore: decorator
@inline
function between(a: v128, b: v128, share: v128): v128 {
  return f32x4.add(a, f32x4.mul(f32x4.sub(b, a), share));
}

/** to[i] += from[i] * factor */
export function addScaled(to: usize, from: usize, n: i32, factor: f32): void {
  const f = splat(factor);
  for (let k = 0; k < n; k += 4) {
    const lanes = min(4, n - k);
    st(to + at(k), f32x4.add(ld(to + at(k), lanes), f32x4.mul(ld(from + at(k), lanes), f)), lanes);
  }
}
