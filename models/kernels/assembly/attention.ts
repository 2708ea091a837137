import { ADD, block, pack, packedFloats, packTransposed, ZERO } from "./gemm";
import { applyMask } from "./dropout";
import { exp4 } from "./math";
import { sum4 } from "./softmax";
import { at, ld, splat, st } from "./vector";

// Scaled dot product attention, O = softmax(scale Q K^T) V, for each sample and head by itself. Heads stand side by
// side in the rows of Q (batch,T,heads*K), K (batch,S,heads*K), V (batch,S,heads*V) and O (batch,T,heads*V), whose row
// strides may be larger: nothing is copied apart. A block of a few queries against all keys stays in the nearest cache.
// Source: Vaswani et al. 2017, arXiv 1706.03762, section 3.2.1; in blocks as Dao et al. 2022, arXiv 2205.14135.

const BLOCK_FLOATS: i32 = 4096; // of the weights of a block: 16 KiB, half of a level 1 cache
const CAUSAL_ROWS: i32 = 16; // smaller blocks leave out more of the future, down to the width of a packed panel
const PANEL: i32 = 16;

const MASKED: f32 = -1e9;

/** Queries of a block. */
function blockRows(t: i32, s: i32, causal: bool): i32 {
  const rows = max(4, min((t + 3) & ~3, (BLOCK_FLOATS / s) & ~3));
  return causal ? min(rows, CAUSAL_ROWS) : rows;
}

/** Floats of scratch that forward and backward need. */
export function attentionFloats(t: i32, s: i32, k: i32, v: i32): i32 {
  const rows = blockRows(t, s, false);
  return (
    packedFloats(k, s) + packedFloats(v, s) + packedFloats(s, max(k, v)) + packedFloats(rows, max(k, v)) +
    2 * rows * s + s
  );
}

/**
 * kept (batch,heads,T,S), or 0: where the weights stay for the way back, which else computes them again. factors
 * (batch,heads,T,S), or 0: what each weight is multiplied with before the values are, which is dropout. queryMask
 * (batch,T), keyMask and valueMask (batch,S), or 0: 1 where a step counts. causal: query t sees keys 0..t. A masked
 * query gives each key the weight `blind`; one that sees no key gives each the same, 1/S, as Keras' softmax does.
 */
export function attentionForward(
  q: usize, ldq: i32, key: usize, ldk: i32, value: usize, ldv: i32, o: usize, ldo: i32, kept: usize,
  factors: usize, queryMask: usize, keyMask: usize, valueMask: usize, blind: f32, causal: bool, scale: f32,
  batch: i32, heads: i32, t: i32, s: i32, k: i32, v: i32, scratch: usize,
): void {
  const rows = blockRows(t, s, causal);
  const keys = scratch; // K^T, packed
  const values = keys + at(packedFloats(k, s)); // V, packed
  const weights = values + at(packedFloats(s, v));
  const joined = weights + at(rows * s);
  for (let b = 0; b < batch; b++) {
    const open = openKeys(keyMask, valueMask, b, s, joined);
    const first = firstOpen(open, s);
    const queries = queryMask ? queryMask + at(b * t) : 0;
    const masked = open != 0 || queries != 0;
    for (let h = 0; h < heads; h++) {
      packTransposed(key + at(b * s * ldk + h * k), ldk, k, s, keys);
      pack(value + at(b * s * ldv + h * v), ldv, s, v, values);
      for (let r = 0; r < t; r += rows) {
        const m = min(rows, t - r);
        const n = seen(causal, masked, r + m, s);
        const p = kept ? kept + at(((b * heads + h) * t + r) * s) : weights;
        block(m, n, k, q + at((b * t + r) * ldq + h * k), ldq, false, keys, k, s, p, s, ZERO, 0);
        weigh(p, m, r, n, s, scale, causal, open, first, queries, blind);
        const a = factors ? dropped(p, factors + at(((b * heads + h) * t + r) * s), weights, m * s) : p;
        block(m, v, n, a, s, false, values, s, v, o + at((b * t + r) * ldo + h * v), ldo, ZERO, 0);
      }
    }
  }
}

/** Sets dq, dk and dv from the gradient dO, with the strides and everything else as in `attentionForward`. */
export function attentionBackward(
  q: usize, ldq: i32, key: usize, ldk: i32, value: usize, ldv: i32, dO: usize, ldo: i32, kept: usize,
  dq: usize, dk: usize, dv: usize,
  factors: usize, queryMask: usize, keyMask: usize, valueMask: usize, blind: f32, causal: bool, scale: f32,
  batch: i32, heads: i32, t: i32, s: i32, k: i32, v: i32, scratch: usize,
): void {
  const rows = blockRows(t, s, causal);
  const turnedKeys = scratch; // K^T, packed
  const turnedValues = turnedKeys + at(packedFloats(k, s)); // V^T, packed
  const keys = turnedValues + at(packedFloats(v, s)); // K, packed
  const block4 = keys + at(packedFloats(s, k)); // the block's rows of Q or of dO, packed
  const weights = block4 + at(packedFloats(rows, max(k, v)));
  const ds = weights + at(rows * s); // dP, then dS
  const joined = ds + at(rows * s);
  for (let b = 0; b < batch; b++) {
    const open = openKeys(keyMask, valueMask, b, s, joined);
    const first = firstOpen(open, s);
    const queries = queryMask ? queryMask + at(b * t) : 0;
    const masked = open != 0 || queries != 0;
    for (let h = 0; h < heads; h++) {
      const keyRows = key + at(b * s * ldk + h * k);
      const dkRows = dk + at(b * s * ldk + h * k);
      const dvRows = dv + at(b * s * ldv + h * v);
      if (!kept) packTransposed(keyRows, ldk, k, s, turnedKeys);
      packTransposed(value + at(b * s * ldv + h * v), ldv, v, s, turnedValues);
      pack(keyRows, ldk, s, k, keys);
      if (causal) {
        clearRows(dkRows, ldk, s, k);
        clearRows(dvRows, ldv, s, v);
      }
      for (let r = 0; r < t; r += rows) {
        const m = min(rows, t - r);
        const n = seen(causal, masked, r + m, s);
        const mode = causal || r > 0 ? ADD : ZERO;
        const queryRows = q + at((b * t + r) * ldq + h * k);
        const dORows = dO + at((b * t + r) * ldo + h * v);
        let p = weights;
        if (kept) p = kept + at(((b * heads + h) * t + r) * s);
        else {
          block(m, n, k, queryRows, ldq, false, turnedKeys, k, s, p, s, ZERO, 0);
          weigh(p, m, r, n, s, scale, causal, open, first, queries, blind);
        }
        block(m, n, v, dORows, ldo, false, turnedValues, v, s, ds, s, ZERO, 0);
        const f = factors ? factors + at(((b * heads + h) * t + r) * s) : 0;
        if (f) applyMask(ds, f, ds, m * s);
        scoreGradients(p, ds, m, r, n, s, scale, causal, first, queries);
        block(m, k, n, ds, s, false, keys, s, k, dq + at((b * t + r) * ldq + h * k), ldq, ZERO, 0);
        pack(queryRows, ldq, m, k, block4);
        block(n, k, m, ds, s, true, block4, m, k, dkRows, ldk, mode, 0);
        pack(dORows, ldo, m, v, block4);
        const a = f ? dropped(p, f, weights, m * s) : p;
        block(n, v, m, a, s, true, block4, m, v, dvRows, ldv, mode, 0);
      }
    }
  }
}

/**
 * How many keys, from the first, a block of queries that ends before `end` may give a weight: whole panels of the packed
 * keys and values, as a part of one would be read with another width.
 */
// @ts-ignore: decorator
@inline
function seen(causal: bool, masked: bool, end: i32, s: i32): i32 {
  // A blind query gives one to all, also to those behind it.
  return causal && !masked ? min((end + PANEL - 1) & ~(PANEL - 1), s) : s;
}

/** The keys' own mask of sample b: one of the two, or both in one, or 0. */
function openKeys(keyMask: usize, valueMask: usize, b: i32, s: i32, joined: usize): usize {
  const a = keyMask ? keyMask + at(b * s) : 0;
  const c = valueMask ? valueMask + at(b * s) : 0;
  if (a == 0 || c == 0 || a == c) return a | c;
  for (let j = 0; j < s; j++) store<f32>(joined + at(j), load<f32>(a + at(j)) * load<f32>(c + at(j)));
  return joined;
}

function firstOpen(open: usize, s: i32): i32 {
  if (open == 0) return 0;
  let j = 0;
  while (j < s && load<f32>(open + at(j)) == 0) j++;
  return j;
}

/** Whether query i, of whose keys the first n are not in its future, has nothing to look at. */
// @ts-ignore: decorator
@inline
function isBlind(queries: usize, i: i32, first: i32, n: i32): bool {
  return first >= n || (queries != 0 && load<f32>(queries + at(i)) == 0);
}

/** Raw scores (rows,S) of the queries from r on, of which n columns are there, to weights, in place. */
function weigh(
  p: usize, rows: i32, r: i32, n: i32, s: i32, scale: f32, causal: bool, open: usize, first: i32, queries: usize,
  blind: f32,
): void {
  for (let i = r; i < r + rows; i++, p += at(s)) {
    const visible = causal ? min(i + 1, n) : n;
    if (isBlind(queries, i, first, visible)) {
      const even = queries != 0 && load<f32>(queries + at(i)) == 0 ? blind : <f32>1 / <f32>s;
      for (let j = 0; j < s; j++) store<f32>(p + at(j), even);
      continue;
    }
    if (open) maskRow(p, open, visible);
    const factor = exponentials(p, visible, scale);
    if (open) {
      for (let j = 0; j < visible; j += 4) {
        const c = min(4, visible - j);
        // The mask first: what it hides is the smallest normal float, whose products are slow.
        const v = f32x4.mul(ld(open + at(j), c), splat(factor));
        st(p + at(j), f32x4.mul(ld(p + at(j), c), v), c);
      }
    } else {
      let j = 0;
      for (; j + 4 <= visible; j += 4) v128.store(p + at(j), f32x4.mul(v128.load(p + at(j)), splat(factor)));
      for (; j < visible; j++) store<f32>(p + at(j), load<f32>(p + at(j)) * factor);
    }
    if (visible < s) memory.fill(p + at(visible), 0, at(s - visible));
  }
}

function maskRow(p: usize, open: usize, n: i32): void {
  for (let j = 0; j < n; j += 4) {
    const c = min(4, n - j);
    const hidden = f32x4.eq(ld(open + at(j), c), splat(0));
    st(p + at(j), v128.bitselect(splat(MASKED), ld(p + at(j), c), hidden), c);
  }
}

/** x = e^(scale (x - max)), in place; gives 1 / sum. */
function exponentials(x: usize, n: i32, scale: f32): f32 {
  const full = n & ~3;
  const rest = n & 3;
  let top: f32 = -Infinity;
  if (full) {
    let m = v128.load(x);
    for (let j = 4; j < full; j += 4) m = f32x4.pmax(m, v128.load(x + at(j)));
    m = f32x4.pmax(m, v128.shuffle<f32>(m, m, 2, 3, 0, 1));
    m = f32x4.pmax(m, v128.shuffle<f32>(m, m, 1, 0, 3, 2));
    top = f32x4.extract_lane(m, 0);
  }
  for (let j = full; j < n; j++) top = max(top, load<f32>(x + at(j)));
  const shift = splat(top);
  const by = splat(scale);
  let s = splat(0);
  let j = 0;
  // Four at a time share the constants of the polynomial, which are loaded anew in each round.
  for (; j + 16 <= n; j += 16) {
    const p = x + at(j);
    const a = exp4(f32x4.mul(f32x4.sub(v128.load(p), shift), by));
    const b = exp4(f32x4.mul(f32x4.sub(v128.load(p, 16), shift), by));
    const c = exp4(f32x4.mul(f32x4.sub(v128.load(p, 32), shift), by));
    const d = exp4(f32x4.mul(f32x4.sub(v128.load(p, 48), shift), by));
    v128.store(p, a);
    v128.store(p, b, 16);
    v128.store(p, c, 32);
    v128.store(p, d, 48);
    s = f32x4.add(s, f32x4.add(f32x4.add(a, b), f32x4.add(c, d)));
  }
  for (; j < full; j += 4) {
    const e = exp4(f32x4.mul(f32x4.sub(v128.load(x + at(j)), shift), by));
    v128.store(x + at(j), e);
    s = f32x4.add(s, e);
  }
  if (rest) {
    st(x + at(full), exp4(f32x4.mul(f32x4.sub(ld(x + at(full), rest), shift), by)), rest);
    s = f32x4.add(s, ld(x + at(full), rest)); // the missing lanes are read as zero
  }
  return 1 / sum4(s);
}

/** dS = scale P (dP - sum(P dP)), row by row, over dP. The weights of a blind query do not depend on any score. */
function scoreGradients(
  p: usize, dp: usize, rows: i32, r: i32, n: i32, s: i32, scale: f32, causal: bool, first: i32, queries: usize,
): void {
  const full = n & ~3;
  const by = splat(scale);
  for (let i = r; i < r + rows; i++, p += at(s), dp += at(s)) {
    if (isBlind(queries, i, first, causal ? min(i + 1, n) : n)) {
      memory.fill(dp, 0, at(n));
      continue;
    }
    let sum = splat(0);
    for (let j = 0; j < full; j += 4) sum = f32x4.add(sum, f32x4.mul(v128.load(p + at(j)), v128.load(dp + at(j))));
    if (n & 3) sum = f32x4.add(sum, f32x4.mul(ld(p + at(full), n & 3), ld(dp + at(full), n & 3)));
    const dot = splat(sum4(sum));
    for (let j = 0; j < full; j += 4) {
      const v = f32x4.mul(v128.load(p + at(j)), f32x4.sub(v128.load(dp + at(j)), dot));
      v128.store(dp + at(j), f32x4.mul(v, by));
    }
    if (n & 3) {
      const v = f32x4.mul(ld(p + at(full), n & 3), f32x4.sub(ld(dp + at(full), n & 3), dot));
      st(dp + at(full), f32x4.mul(v, by), n & 3);
    }
  }
}

/** to = p times the factors; to may be p. */
function dropped(p: usize, factors: usize, to: usize, n: i32): usize {
  applyMask(p, factors, to, n);
  return to;
}

/** Zero in `cols` columns of `rows` rows. */
function clearRows(p: usize, stride: i32, rows: i32, cols: i32): void {
  for (let i = 0; i < rows; i++, p += at(stride)) memory.fill(p, 0, at(cols));
}

/** Columns of `from` (rows,cols) to those of `to`, whose rows are `stride` floats apart: matrices side by side. */
export function placeColumns(from: usize, to: usize, rows: i32, cols: i32, stride: i32): void {
  for (let i = 0; i < rows; i++, from += at(cols), to += at(stride)) memory.copy(to, from, at(cols));
}

/** y = w x with one weight w for all n. */
export function timesWeight(x: usize, w: usize, y: usize, n: i32): void {
  const factor = v128.load_splat<f32>(w);
  for (let i = 0; i < n; i += 4) st(y + at(i), f32x4.mul(ld(x + at(i), min(4, n - i)), factor), min(4, n - i));
}

/** dw += ; dx (or 0) = . dx may be dy. */
export function timesWeightBackward(x: usize, w: usize, dy: usize, dx: usize, dw: usize, n: i32): void {
  let sum: f64 = 0;
  for (let i = 0; i < n; i++) sum += <f64>load<f32>(x + at(i)) * load<f32>(dy + at(i));
  store<f32>(dw, load<f32>(dw) + <f32>sum);
  if (dx) timesWeight(dy, w, dx, n);
}
