import { activate, activateBackward } from "./activation";
import { ConvShape } from "./conv-shape";
import { addTo, clear, copy } from "./elementwise";
import { BIAS, gemm, gemmPacked, pack, packedFloats, packTransposed, ZERO } from "./gemm";
import { columnSums } from "./tensor";
import { at, ld, splat, st } from "./vector";

// Winograd's minimal filtering F(4x4, 3x3): 4x4 outputs of a 3x3 convolution with stride 1 take 36 multiplications instead
// of 144. For each tile, with g the kernel (3,3), d the image (6,6) that the tile looks at, * element by element:
//   Y = At [ (G g Gt) * (Bt d B) ] A
// Over all channels, each of the 36 places is a matrix product: M_p (tiles,N) = V_p (tiles,C) U_p (C,N), V = Bt d B, U = G g Gt.
// The way back is the same turned around, with as few multiplications: dM = A dY At, dU_p = V_pt dM_p, dg = Gt dU G,
// dV_p = dM_p U_pt, dd = B dV Bt, and tiles overlap in dd. Source: Lavin & Gray 2015, arXiv 1509.09308, section 4.

const PLACES: i32 = 36;
const SPAN: i32 = 6; // rows and columns of the image under a tile
const EDGE: i32 = 4; // rows and columns of a tile
const CENTRE: i32 = 7; // place (1,1), which At and A hand on to all outputs as it is

const LINES: usize = memory.data(36 * 16, 16); // (6,6) vectors: a tile between its two passes

/** Between the 36 matrices lies a cache line, or their rows would all fall in the same few sets of the cache. */
export function pitchOf(rows: i32, cols: i32): i32 {
  return ((rows * cols + 15) & ~15) + 16;
}

/** As pitchOf, for a kernel's place that is packed: U, or U transposed. */
function packedPitchOf(c: i32, n: i32): i32 {
  return pitchOf(max(packedFloats(c, n), packedFloats(n, c)), 1);
}

/**
 * As `convForward`, for a kernel of 3x3 without strides or dilation; `tiles` are worked on at a time. kept: w is what it was at the last
 * call, and there was no winogradBackward since, so that its transform is still there.
 * scratch: 36 pitched matrices each of U, then dU (C,N) | U or Ut, packed | V (tiles,C) | M (tiles,N), then one image under a tile.
 */
export function winogradForward(
  shape: usize, x: usize, w: usize, b: usize, y: usize, batch: i32, act: i32, scratch: usize, tiles: i32, kept: bool,
): void {
  const s = changetype<ConvShape>(shape);
  const c = s.c, n = s.n;
  const across = (s.ow + EDGE - 1) / EDGE;
  const perImage = across * ((s.oh + EDGE - 1) / EDGE);
  const total = batch * perImage;
  tiles = min(tiles, total); // of few tiles the matrices stand closer together
  const uPitch = pitchOf(c, n), vPitch = pitchOf(tiles, c), mPitch = pitchOf(tiles, n);
  const uPacked = packedPitchOf(c, n);
  const packed = scratch + at(PLACES * uPitch);
  const v = packed + at(PLACES * uPacked);
  const m = v + at(PLACES * vPitch);
  const patch = m + at(PLACES * mPitch);
  if (!kept) {
    kernelTransform(w, c * n, scratch, uPitch);
    for (let p = 0; p < PLACES; p++) pack(scratch + at(p * uPitch), n, c, n, packed + at(p * uPacked));
  }
  for (let first = 0; first < total; first += tiles) {
    const count = min(tiles, total - first);
    imagesIn(s, x, first, count, across, perImage, v, vPitch, patch);
    for (let p = 0; p < PLACES; p++) {
      const vp = v + at(p * vPitch), up = packed + at(p * uPacked), mp = m + at(p * mPitch);
      // The last row of places goes into the last row of a tile alone, and so do columns: not wanted where a tile sticks out.
      const noRows = p >= PLACES - SPAN && s.oh % EDGE > 0, noCols = p % SPAN == SPAN - 1 && s.ow % EDGE > 0;
      if (!noRows && !noCols) {
        gemmPacked(count, n, c, vp, c, up, mp, n, b && p == CENTRE ? BIAS : ZERO, b);
        continue;
      }
      const length = noCols ? across : perImage;
      for (let i = 0; i < count; ) {
        const tile = (first + i) % perImage;
        const run = min(count - i, length - (tile % length));
        const whole = noRows ? perImage - across - tile : run;
        const wanted = min(min(run, whole), noCols ? across - 1 - (tile % across) : run);
        if (wanted > 0) gemmPacked(wanted, n, c, vp + at(i * c), c, up, mp + at(i * n), n, ZERO, 0);
        i += run;
      }
    }
    for (let i = 0; i < count; i++) {
      const tile = (first + i) % perImage;
      const oy = (tile / across) * EDGE, ox = (tile % across) * EDGE;
      const rows = min(EDGE, s.oh - oy), cols = min(EDGE, s.ow - ox);
      const to = y + at(((((first + i) / perImage) * s.oh + oy) * s.ow + ox) * n);
      const whole = rows == EDGE && cols == EDGE;
      outputTransform(m + at(i * n), mPitch, n, whole ? to : patch, whole ? at(s.ow * n) : at(EDGE * n));
      for (let r = 0; r < rows; r++) {
        const row = to + at(r * s.ow * n);
        if (!whole) copy(row, patch + at(r * EDGE * n), cols * n);
        activate(act, row, cols * n);
      }
    }
  }
}

/** As `convBackward`, for the same convolutions and with the same scratch as `winogradForward`. */
export function winogradBackward(
  shape: usize, x: usize, w: usize, y: usize, dy: usize, dx: usize, dw: usize, db: usize,
  batch: i32, act: i32, scratch: usize, tiles: i32,
): void {
  const s = changetype<ConvShape>(shape);
  const c = s.c, n = s.n;
  const uPitch = pitchOf(c, n), vPitch = pitchOf(tiles, c), mPitch = pitchOf(tiles, n);
  const uPacked = packedPitchOf(c, n);
  const du = scratch;
  const packed = du + at(PLACES * uPitch);
  const v = packed + at(PLACES * uPacked);
  const m = v + at(PLACES * vPitch);
  const patch = m + at(PLACES * mPitch);
  const positions = batch * s.oh * s.ow;
  activateBackward(act, y, dy, positions * n);
  if (db) columnSums(dy, n, positions, n, db);
  if (dx) {
    kernelTransform(w, c * n, scratch, uPitch);
    for (let p = 0; p < PLACES; p++) packTransposed(scratch + at(p * uPitch), n, n, c, packed + at(p * uPacked));
    clear(dx, batch * s.h * s.w * c);
  }
  if (dw) clear(du, PLACES * uPitch);
  const across = (s.ow + EDGE - 1) / EDGE;
  const perImage = across * ((s.oh + EDGE - 1) / EDGE);
  const total = batch * perImage;
  for (let first = 0; first < total; first += tiles) {
    const count = min(tiles, total - first);
    for (let i = 0; i < count; i++) {
      const tile = (first + i) % perImage;
      const oy = (tile / across) * EDGE, ox = (tile % across) * EDGE;
      const rows = min(EDGE, s.oh - oy), cols = min(EDGE, s.ow - ox);
      let from = dy + at(((((first + i) / perImage) * s.oh + oy) * s.ow + ox) * n);
      let line = at(s.ow * n);
      if (rows < EDGE || cols < EDGE) {
        clear(patch, EDGE * EDGE * n);
        for (let r = 0; r < rows; r++) copy(patch + at(r * EDGE * n), from + at(r * s.ow * n), cols * n);
        from = patch;
        line = at(EDGE * n);
      }
      outputTransposed(from, line, n, m + at(i * n), mPitch);
    }
    if (dw) {
      imagesIn(s, x, first, count, across, perImage, v, vPitch, patch);
      for (let p = 0; p < PLACES; p++) {
        const mp = m + at(p * mPitch);
        gemm(true, false, c, n, count, v + at(p * vPitch), c, mp, n, du + at(p * uPitch), n, true, 0);
      }
    }
    if (dx) {
      for (let p = 0; p < PLACES; p++) {
        const mp = m + at(p * mPitch);
        gemmPacked(count, c, n, mp, n, packed + at(p * uPacked), v + at(p * vPitch), c, ZERO, 0);
      }
      for (let i = 0; i < count; i++) {
        const tile = (first + i) % perImage;
        const y0 = (tile / across) * EDGE - s.top, x0 = (tile % across) * EDGE - s.left;
        const image = dx + at(((first + i) / perImage) * s.h * s.w * c);
        if (y0 >= 0 && x0 >= 0 && y0 + SPAN <= s.h && x0 + SPAN <= s.w) {
          inputTransposed(v + at(i * c), vPitch, c, image + at((y0 * s.w + x0) * c), at(s.w * c));
          continue;
        }
        clear(patch, PLACES * c);
        inputTransposed(v + at(i * c), vPitch, c, patch, at(SPAN * c));
        const left = max(0, -x0), right = min(SPAN, s.w - x0);
        for (let r = max(0, -y0); r < min(SPAN, s.h - y0); r++) {
          addTo(image + at(((y0 + r) * s.w + x0 + left) * c), patch + at((r * SPAN + left) * c), (right - left) * c);
        }
      }
    }
  }
  if (dw) kernelTransposed(du, uPitch, c * n, dw);
}

/** V of `count` tiles from the `first` on. */
function imagesIn(
  s: ConvShape, x: usize, first: i32, count: i32, across: i32, perImage: i32, v: usize, pitch: i32, patch: usize,
): void {
  const c = s.c;
  for (let i = 0; i < count; i++) {
    const tile = (first + i) % perImage;
    const y0 = (tile / across) * EDGE - s.top, x0 = (tile % across) * EDGE - s.left;
    const image = x + at(((first + i) / perImage) * s.h * s.w * c);
    let from = image + at((y0 * s.w + x0) * c);
    let line = at(s.w * c);
    if (y0 < 0 || x0 < 0 || y0 + SPAN > s.h || x0 + SPAN > s.w) {
      clear(patch, PLACES * c);
      const left = max(0, -x0), right = min(SPAN, s.w - x0);
      for (let r = max(0, -y0); r < min(SPAN, s.h - y0); r++) {
        copy(patch + at((r * SPAN + left) * c), image + at(((y0 + r) * s.w + x0 + left) * c), (right - left) * c);
      }
      from = patch;
      line = at(SPAN * c);
    }
    inputTransform(from, line, c, v + at(i * c), pitch);
  }
}

// The transforms: along the columns into LINES, along the rows to where they go, four channels at a time. `line`: bytes
// from one row of an image to the next. `pitch`: floats from one place's matrix to the next.

/** V = Bt d B. */
function inputTransform(d: usize, line: usize, c: i32, v: usize, pitch: i32): void {
  let i = 0;
  for (; i + 4 <= c; i += 4) inputTransform4(d + at(i), line, at(c), v + at(i), at(pitch), 4);
  if (i < c) inputTransform4(d + at(i), line, at(c), v + at(i), at(pitch), c - i);
}

// @ts-ignore: decorator
@inline
function inputTransform4(d: usize, line: usize, next: usize, v: usize, pitch: usize, cols: i32): void {
  for (let j: usize = 0; j < 6; j++) bt(d + j * next, line, LINES + j * 16, 96, cols, 4);
  for (let j: usize = 0; j < 6; j++) bt(LINES + j * 96, 16, v + j * 6 * pitch, pitch, 4, cols);
}

// @ts-ignore: decorator
@inline
function bt(from: usize, step: usize, to: usize, next: usize, cols: i32, outCols: i32): void {
  const d0 = ld(from, cols), d1 = ld(from + step, cols), d2 = ld(from + 2 * step, cols);
  const d3 = ld(from + 3 * step, cols), d4 = ld(from + 4 * step, cols), d5 = ld(from + 5 * step, cols);
  const a = f32x4.sub(d4, mul(4, d2));
  const b = f32x4.sub(d3, mul(4, d1));
  const e = f32x4.sub(d4, d2);
  const f = mul(2, f32x4.sub(d3, d1));
  st(to, f32x4.add(f32x4.sub(mul(4, d0), mul(5, d2)), d4), outCols);
  st(to + next, f32x4.add(a, b), outCols);
  st(to + 2 * next, f32x4.sub(a, b), outCols);
  st(to + 3 * next, f32x4.add(e, f), outCols);
  st(to + 4 * next, f32x4.sub(e, f), outCols);
  st(to + 5 * next, f32x4.add(f32x4.sub(mul(4, d1), mul(5, d3)), d5), outCols);
}

/** dd += B dV Bt. */
function inputTransposed(v: usize, pitch: i32, c: i32, d: usize, line: usize): void {
  let i = 0;
  for (; i + 4 <= c; i += 4) inputTransposed4(v + at(i), at(pitch), d + at(i), line, at(c), 4);
  if (i < c) inputTransposed4(v + at(i), at(pitch), d + at(i), line, at(c), c - i);
}

// @ts-ignore: decorator
@inline
function inputTransposed4(v: usize, pitch: usize, d: usize, line: usize, next: usize, cols: i32): void {
  for (let j: usize = 0; j < 6; j++) b(v + j * pitch, 6 * pitch, LINES + j * 16, 96, cols, 4, false);
  for (let j: usize = 0; j < 6; j++) b(LINES + j * 96, 16, d + j * line, next, 4, cols, true);
}

// @ts-ignore: decorator
@inline
function b(from: usize, step: usize, to: usize, next: usize, cols: i32, outCols: i32, add: bool): void {
  const m0 = ld(from, cols), m1 = ld(from + step, cols), m2 = ld(from + 2 * step, cols);
  const m3 = ld(from + 3 * step, cols), m4 = ld(from + 4 * step, cols), m5 = ld(from + 5 * step, cols);
  const s12 = f32x4.add(m1, m2), d12 = f32x4.sub(m1, m2);
  const s34 = f32x4.add(m3, m4), d34 = mul(2, f32x4.sub(m3, m4));
  put(to, mul(4, m0), outCols, add);
  put(to + next, f32x4.sub(mul(4, f32x4.sub(m5, d12)), d34), outCols, add);
  put(to + 2 * next, f32x4.sub(splat(0), f32x4.add(f32x4.add(mul(5, m0), mul(4, s12)), s34)), outCols, add);
  put(to + 3 * next, f32x4.sub(f32x4.add(d12, d34), mul(5, m5)), outCols, add);
  put(to + 4 * next, f32x4.add(f32x4.add(m0, s12), s34), outCols, add);
  put(to + 5 * next, m5, outCols, add);
}

/** Y = At M A. */
function outputTransform(m: usize, pitch: i32, n: i32, y: usize, line: usize): void {
  let i = 0;
  for (; i + 4 <= n; i += 4) outputTransform4(m + at(i), at(pitch), y + at(i), line, at(n), 4);
  if (i < n) outputTransform4(m + at(i), at(pitch), y + at(i), line, at(n), n - i);
}

// @ts-ignore: decorator
@inline
function outputTransform4(m: usize, pitch: usize, y: usize, line: usize, next: usize, cols: i32): void {
  for (let j: usize = 0; j < 6; j++) a_t(m + j * pitch, 6 * pitch, LINES + j * 16, 96, cols, 4);
  for (let j: usize = 0; j < 4; j++) a_t(LINES + j * 96, 16, y + j * line, next, 4, cols);
}

// @ts-ignore: decorator
@inline
function a_t(from: usize, step: usize, to: usize, next: usize, cols: i32, outCols: i32): void {
  const m1 = ld(from + step, cols), m2 = ld(from + 2 * step, cols);
  const m3 = ld(from + 3 * step, cols), m4 = ld(from + 4 * step, cols);
  const s12 = f32x4.add(m1, m2), d12 = f32x4.sub(m1, m2);
  const s34 = f32x4.add(m3, m4), d34 = f32x4.sub(m3, m4);
  st(to, f32x4.add(f32x4.add(ld(from, cols), s12), s34), outCols);
  st(to + next, f32x4.add(d12, mul(2, d34)), outCols);
  st(to + 2 * next, f32x4.add(s12, mul(4, s34)), outCols);
  st(to + 3 * next, f32x4.add(f32x4.add(d12, mul(8, d34)), ld(from + 5 * step, cols)), outCols);
}

/** dM = A dY At. */
function outputTransposed(y: usize, line: usize, n: i32, m: usize, pitch: i32): void {
  let i = 0;
  for (; i + 4 <= n; i += 4) outputTransposed4(y + at(i), line, at(n), m + at(i), at(pitch), 4);
  if (i < n) outputTransposed4(y + at(i), line, at(n), m + at(i), at(pitch), n - i);
}

// @ts-ignore: decorator
@inline
function outputTransposed4(y: usize, line: usize, next: usize, m: usize, pitch: usize, cols: i32): void {
  for (let j: usize = 0; j < 4; j++) a(y + j * next, line, LINES + j * 16, 96, cols, 4);
  for (let j: usize = 0; j < 6; j++) a(LINES + j * 96, 16, m + j * 6 * pitch, pitch, 4, cols);
}

// @ts-ignore: decorator
@inline
function a(from: usize, step: usize, to: usize, next: usize, cols: i32, outCols: i32): void {
  const y0 = ld(from, cols), y1 = ld(from + step, cols), y2 = ld(from + 2 * step, cols);
  const y3 = ld(from + 3 * step, cols);
  const p = f32x4.add(y0, y2), q = f32x4.add(y1, y3);
  const r = f32x4.add(y0, mul(4, y2)), t = f32x4.add(mul(2, y1), mul(8, y3));
  st(to, y0, outCols);
  st(to + next, f32x4.add(p, q), outCols);
  st(to + 2 * next, f32x4.sub(p, q), outCols);
  st(to + 3 * next, f32x4.add(r, t), outCols);
  st(to + 4 * next, f32x4.sub(r, t), outCols);
  st(to + 5 * next, y3, outCols);
}

/** U = G g Gt for a kernel (3,3,size). */
function kernelTransform(g: usize, size: i32, u: usize, pitch: i32): void {
  let i = 0;
  for (; i + 4 <= size; i += 4) kernelTransform4(g + at(i), at(size), u + at(i), at(pitch), 4);
  if (i < size) kernelTransform4(g + at(i), at(size), u + at(i), at(pitch), size - i);
}

// @ts-ignore: decorator
@inline
function kernelTransform4(k: usize, size: usize, u: usize, pitch: usize, cols: i32): void {
  for (let j: usize = 0; j < 3; j++) g(k + j * size, 3 * size, LINES + j * 16, 96, cols, 4);
  for (let j: usize = 0; j < 6; j++) g(LINES + j * 96, 16, u + j * 6 * pitch, pitch, 4, cols);
}

// @ts-ignore: decorator
@inline
function g(from: usize, step: usize, to: usize, next: usize, cols: i32, outCols: i32): void {
  const g0 = ld(from, cols), g1 = ld(from + step, cols), g2 = ld(from + 2 * step, cols);
  const p = mul(-1.0 / 6, f32x4.add(g0, g2)), q = mul(1.0 / 6, g1);
  const r = mul(1.0 / 24, f32x4.add(g0, mul(4, g2))), t = mul(1.0 / 12, g1);
  st(to, mul(0.25, g0), outCols);
  st(to + next, f32x4.sub(p, q), outCols);
  st(to + 2 * next, f32x4.add(p, q), outCols);
  st(to + 3 * next, f32x4.add(r, t), outCols);
  st(to + 4 * next, f32x4.sub(r, t), outCols);
  st(to + 5 * next, g2, outCols);
}

/** dg += Gt dU G. */
function kernelTransposed(u: usize, pitch: i32, size: i32, dg: usize): void {
  let i = 0;
  for (; i + 4 <= size; i += 4) kernelTransposed4(u + at(i), at(pitch), dg + at(i), at(size), 4);
  if (i < size) kernelTransposed4(u + at(i), at(pitch), dg + at(i), at(size), size - i);
}

// @ts-ignore: decorator
@inline
function kernelTransposed4(u: usize, pitch: usize, dg: usize, size: usize, cols: i32): void {
  for (let j: usize = 0; j < 6; j++) g_t(u + j * pitch, 6 * pitch, LINES + j * 16, 96, cols, 4, false);
  for (let j: usize = 0; j < 3; j++) g_t(LINES + j * 96, 16, dg + j * 3 * size, size, 4, cols, true);
}

// @ts-ignore: decorator
@inline
function g_t(from: usize, step: usize, to: usize, next: usize, cols: i32, outCols: i32, add: bool): void {
  const u1 = ld(from + step, cols), u2 = ld(from + 2 * step, cols);
  const u3 = ld(from + 3 * step, cols), u4 = ld(from + 4 * step, cols);
  const s12 = mul(-1.0 / 6, f32x4.add(u1, u2)), d12 = mul(1.0 / 6, f32x4.sub(u2, u1));
  const s34 = f32x4.add(u3, u4), d34 = mul(1.0 / 12, f32x4.sub(u3, u4));
  put(to, f32x4.add(f32x4.add(mul(0.25, ld(from, cols)), s12), mul(1.0 / 24, s34)), outCols, add);
  put(to + next, f32x4.add(d12, d34), outCols, add);
  put(to + 2 * next, f32x4.add(f32x4.add(s12, mul(1.0 / 6, s34)), ld(from + 5 * step, cols)), outCols, add);
}

// @ts-ignore: decorator
@inline
export function mul(factor: f32, x: v128): v128 {
  return f32x4.mul(splat(factor), x);
}

// @ts-ignore: decorator
@inline
export function put(to: usize, x: v128, cols: i32, add: bool): void {
  st(to, add ? f32x4.add(ld(to, cols), x) : x, cols);
}
