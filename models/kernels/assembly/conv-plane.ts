import { activate, LINEAR, RELU } from "./activation";
import { ConvShape } from "./conv-shape";
import { clear } from "./elementwise";
import { at, ld, madd, splat, st } from "./vector";

/**
 * As `convForward`, for a kernel of 3x3 on images of one channel without strides or dilation: the first layer of an image network.
 * Nine weights of four outputs each stay in registers while they pass over two rows of outputs; the image's floats are spread to
 * vectors beforehand. A product of patches would load four weights for every two floats of the image.
 * scratch: (oh + 3, ow + 2) vectors, the padded image and a row that is read for nothing where there is one row of outputs.
 */
export function planeForward(
  shape: usize, x: usize, w: usize, b: usize, y: usize, batch: i32, act: i32, scratch: usize,
): void {
  const s = changetype<ConvShape>(shape);
  const n = s.n, oh = s.oh, width = s.ow + 2;
  const line = at(4 * width), row = at(s.ow * n);
  const rows = min(s.h, oh + 2 - s.top), cols = min(s.w, width - s.left);
  const floor = splat(act == RELU ? 0 : -Infinity);
  clear(scratch, (oh + 3) * width * 4);
  for (let image = 0; image < batch; image++, x += at(s.h * s.w), y += <usize>oh * row) {
    for (let r = 0; r < rows; r++) {
      const from = x + at(r * s.w);
      const to = scratch + <usize>(r + s.top) * line + at(4 * s.left);
      for (let i = 0; i < cols; i++) v128.store(to + at(4 * i), v128.load_splat<f32>(from + at(i)));
    }
    for (let i = 0; i < oh; i += 2) {
      // The last two rows once more where their number is odd. Of one row the second result is overwritten by the first.
      const first = max(0, min(i, oh - 2));
      const p = scratch + <usize>first * line;
      const to = y + <usize>first * row;
      const below = oh > 1 ? row : 0;
      let j = 0;
      for (; j + 4 <= n; j += 4) twoRows(p, line, w + at(j), at(n), b ? b + at(j) : 0, to + at(j), below, s.ow, floor, 4);
      if (j < n) twoRows(p, line, w + at(j), at(n), b ? b + at(j) : 0, to + at(j), below, s.ow, floor, n - j);
    }
    if (act != RELU && act != LINEAR) activate(act, y, oh * s.ow * n);
  }
}

/**
 * `count` outputs of two rows, of which `cols` channels are there. line: bytes of a row of the image; next: bytes from output to output and
 * from weight to weight; below: bytes from the first row of outputs to the second.
 */
// @ts-ignore: decorator
@inline
function twoRows(
  p: usize, line: usize, w: usize, next: usize, b: usize, y: usize, below: usize, count: i32, floor: v128, cols: i32,
): void {
  const w0 = ld(w, cols), w1 = ld(w + next, cols), w2 = ld(w + 2 * next, cols);
  const w3 = ld(w + 3 * next, cols), w4 = ld(w + 4 * next, cols), w5 = ld(w + 5 * next, cols);
  const w6 = ld(w + 6 * next, cols), w7 = ld(w + 7 * next, cols), w8 = ld(w + 8 * next, cols);
  const start = b ? ld(b, cols) : splat(0);
  const end = p + at(4 * count);
  for (; p < end; p += 16, y += next) {
    let s = start, t = start;
    // The breaks are never taken: V8 puts all loads of a block before its arithmetic, and there are no registers for twelve.
    do {
      let q = p;
      let x0 = v128.load(q), x1 = v128.load(q, 16), x2 = v128.load(q, 32);
      s = madd(x2, w2, madd(x1, w1, madd(x0, w0, s)));
      q += line;
      if (q == p) break;
      x0 = v128.load(q), x1 = v128.load(q, 16), x2 = v128.load(q, 32);
      s = f32x4.add(s, madd(x2, w5, madd(x1, w4, f32x4.mul(x0, w3))));
      t = madd(x2, w2, madd(x1, w1, madd(x0, w0, t)));
      q += line;
      if (q == p) break;
      x0 = v128.load(q), x1 = v128.load(q, 16), x2 = v128.load(q, 32);
      s = f32x4.add(s, madd(x2, w8, madd(x1, w7, f32x4.mul(x0, w6))));
      t = f32x4.add(t, madd(x2, w5, madd(x1, w4, f32x4.mul(x0, w3))));
      q += line;
      if (q == p) break;
      x0 = v128.load(q), x1 = v128.load(q, 16), x2 = v128.load(q, 32);
      t = f32x4.add(t, madd(x2, w8, madd(x1, w7, f32x4.mul(x0, w6))));
    } while (false);
    st(y + below, f32x4.pmax(t, floor), cols);
    st(y, f32x4.pmax(s, floor), cols);
  }
}
