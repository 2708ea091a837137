import { maxAbsBits } from "./tensor";
import { at, splat } from "./vector";

// Codecs for updates: 8-bit integers in blocks that share a scale, and the k largest values. Nothing here may use `madd`: all builds must
// give the same bits.

const BLOCK: i32 = 256; // ../codec.ts knows it too
/** Blocks whose scale would be subnormal become zeros: such a scale has too few bits left to divide by. */
const LEAST_SCALE: f32 = 1.1754943508222875e-38; // 2^-126
/** 1.5 * 2^23: added to a float below 2^22 it rounds to the nearest whole number, ties to even, and leaves it in the low bits. */
const ROUNDER: f32 = 12582912;
const ROUNDER_BITS: i32 = 0x4b400000;

/**
 * codes (n) i8 = x (n) / scale, scales (n/256, rounded up) = max |x| / 127 of each block. x must be finite. Rounds to the nearest, ties to
 * even; with `state` (16 words: four generators side by side) up or down by chance, so that the mean is x.
 */
export function encodeInt8(x: usize, n: i32, codes: usize, scales: usize, state: usize): void {
  for (let i = 0; i < n; i += BLOCK, scales += 4) {
    const count = min(BLOCK, n - i);
    const scale = reinterpret<f32>(maxAbsBits(x + at(i), count)) / 127;
    const zero = scale < LEAST_SCALE;
    store<f32>(scales, zero ? 0 : scale);
    if (zero) memory.fill(codes + i, 0, count);
    else if (state) encodeBlock(x + at(i), count, codes + i, scale, state, true);
    else encodeBlock(x + at(i), count, codes + i, scale, 0, false);
  }
}

// @ts-ignore: decorator
@inline
function encodeBlock(x: usize, n: i32, codes: usize, scale: f32, state: usize, chance: bool): void {
  const divisor = splat(scale);
  let i = 0;
  for (; i + 4 <= n; i += 4) {
    store<u32>(codes + i, packed(coded(v128.load(x + at(i)), divisor, state, chance)));
  }
  if (i == n) return;
  let last = v128.load_zero<f32>(x + at(i));
  if (n - i > 1) last = f32x4.replace_lane(last, 1, load<f32>(x + at(i + 1)));
  if (n - i > 2) last = f32x4.replace_lane(last, 2, load<f32>(x + at(i + 2)));
  let word = packed(coded(last, divisor, state, chance));
  for (; i < n; i++, word >>= 8) store<u8>(codes + i, <u8>word);
}

/** Four codes as i32. */
// @ts-ignore: decorator
@inline
function coded(x: v128, scale: v128, state: usize, chance: bool): v128 {
  const steps = f32x4.div(x, scale);
  if (!chance) return rounded(steps);
  // On magnitudes the part behind the point is exact. The largest may be a last bit above 127.
  const size = f32x4.pmin(f32x4.abs(steps), splat(127));
  const whole = f32x4.floor(size);
  const up = f32x4.lt(uniforms(state), f32x4.sub(size, whole));
  const sign = i32x4.shr_s(x, 31);
  return i32x4.sub(v128.xor(i32x4.sub(rounded(whole), up), sign), sign); // `up` is -1 where it holds
}

// @ts-ignore: decorator
@inline
function rounded(x: v128): v128 {
  return i32x4.sub(f32x4.add(x, splat(ROUNDER)), i32x4.splat(ROUNDER_BITS));
}

// @ts-ignore: decorator
@inline
function packed(codes: v128): u32 {
  const halves = i16x8.narrow_i32x4_s(codes, codes);
  return <u32>i32x4.extract_lane(i8x16.narrow_i16x8_s(halves, halves), 0);
}

/**
 * Four numbers in [0, 1), 24 bits fine: lane l of four xoshiro128** whose words lie at state + 16 word + 4 l.
 * Source: Blackman & Vigna 2021, arXiv 1805.01407.
 */
// @ts-ignore: decorator
@inline
function uniforms(state: usize): v128 {
  const a = v128.load(state);
  const b = v128.load(state, 16);
  const c = v128.xor(v128.load(state, 32), a);
  const d = v128.xor(v128.load(state, 48), b);
  v128.store(state, v128.xor(a, d));
  v128.store(state, v128.xor(b, c), 16);
  v128.store(state, v128.xor(c, i32x4.shl(b, 9)), 32);
  v128.store(state, turned(d, 11), 48);
  const bits = i32x4.mul(turned(i32x4.mul(b, i32x4.splat(5)), 7), i32x4.splat(9));
  return f32x4.mul(f32x4.convert_i32x4_u(i32x4.shr_u(bits, 8)), splat(5.960464477539063e-8)); // 2^-24
}

// @ts-ignore: decorator
@inline
function turned(x: v128, k: i32): v128 {
  return v128.or(i32x4.shl(x, k), i32x4.shr_u(x, 32 - k));
}

/** y (n) += codes (n) i8 * scales (a block). False where a code is -128, which no encoder writes; y is spoilt then. */
export function addInt8(codes: usize, scales: usize, n: i32, y: usize): bool {
  let stray = i8x16.splat(0);
  for (let i = 0; i < n; i += BLOCK, scales += 4) {
    const one = load<f32>(scales);
    const scale = splat(one);
    const end = min(i + BLOCK, n);
    let j = i;
    for (; j + 16 <= end; j += 16) {
      const bytes = v128.load(codes + j);
      stray = v128.or(stray, i8x16.eq(bytes, i8x16.splat(-128)));
      const low = i16x8.extend_low_i8x16_s(bytes), high = i16x8.extend_high_i8x16_s(bytes);
      const to = y + at(j);
      addScaled4(to, i32x4.extend_low_i16x8_s(low), scale);
      addScaled4(to + 16, i32x4.extend_high_i16x8_s(low), scale);
      addScaled4(to + 32, i32x4.extend_low_i16x8_s(high), scale);
      addScaled4(to + 48, i32x4.extend_high_i16x8_s(high), scale);
    }
    for (; j < end; j++) {
      const code = load<i8>(codes + j);
      if (code == -128) return false;
      store<f32>(y + at(j), load<f32>(y + at(j)) + <f32>code * one);
    }
  }
  return !v128.any_true(stray);
}

// @ts-ignore: decorator
@inline
function addScaled4(y: usize, codes: v128, scale: v128): void {
  v128.store(y, f32x4.add(v128.load(y), f32x4.mul(f32x4.convert_i32x4_s(codes), scale)));
}

/** Bins of a count, of which the first round, the one that sees every value, has two. */
const BINS: i32 = 2048;
const SIGNLESS: i32 = 0x7fffffff;

/**
 * Moves the k values of x (n) that are largest in magnitude, ties to the lowest index, to indexes (k) u32, rising, and values (k); x keeps
 * the rest, with zeros in their place. 1 <= k <= n, x finite. counts: 4096 words of scratch.
 */
export function takeTop(x: usize, n: i32, k: i32, counts: usize, indexes: usize, values: usize): void {
  // Without their sign floats sort as integers do: three rounds, of 11, 10 and 10 bits, find the bits of the k-th largest.
  memory.fill(counts, 0, at(2 * BINS));
  let i = 0;
  for (; i + 2 <= n; i += 2) {
    // In turn, as a count must wait for the one before it in the same bin.
    addOne(counts, (load<i32>(x + at(i)) & SIGNLESS) >> 20);
    addOne(counts, BINS + ((load<i32>(x + at(i), 4) & SIGNLESS) >> 20));
  }
  if (i < n) addOne(counts, (load<i32>(x + at(i)) & SIGNLESS) >> 20);
  for (let bin = 0; bin < BINS; bin++) {
    store<i32>(counts + at(bin), load<i32>(counts + at(bin)) + load<i32>(counts + at(BINS + bin)));
  }
  let left = k;
  let least = 0;
  for (let shift = 20; ; shift -= 10) {
    let bin = shift == 20 ? BINS - 1 : 1023;
    for (; load<i32>(counts + at(bin)) < left; bin--) left -= load<i32>(counts + at(bin));
    least |= bin << shift;
    if (shift == 0) break;
    countWithin(x, n, least, shift, counts);
  }
  // Of those equal to the k-th, `left` are wanted.
  const bound = i32x4.splat(least), mask = i32x4.splat(SIGNLESS);
  for (i = 0; i < n; i += 4) {
    let lanes = 15;
    if (i + 4 <= n) lanes = i32x4.bitmask(i32x4.ge_s(v128.and(v128.load(x + at(i)), mask), bound));
    else lanes >>= i + 4 - n;
    for (; lanes; lanes &= lanes - 1) {
      const index = i + ctz(lanes);
      const bits = load<i32>(x + at(index));
      const size = bits & SIGNLESS;
      if (size < least) continue;
      if (size == least && left-- <= 0) continue;
      store<i32>(indexes, index);
      store<i32>(values, bits);
      store<i32>(x + at(index), 0);
      indexes += 4;
      values += 4;
    }
  }
}

/** Counts the next 10 bits of the values that are equal to `prefix` from bit `shift` on. */
function countWithin(x: usize, n: i32, prefix: i32, shift: i32, counts: usize): void {
  memory.fill(counts, 0, at(1024));
  const wanted = i32x4.splat(prefix >> shift), mask = i32x4.splat(SIGNLESS);
  for (let i = 0; i < n; i += 4) {
    let lanes = 15;
    if (i + 4 <= n) {
      lanes = i32x4.bitmask(i32x4.eq(i32x4.shr_u(v128.and(v128.load(x + at(i)), mask), shift), wanted));
    } else lanes >>= i + 4 - n;
    for (; lanes; lanes &= lanes - 1) {
      const size = load<i32>(x + at(i + ctz(lanes))) & SIGNLESS;
      if (size >> shift == prefix >> shift) addOne(counts, (size >> (shift - 10)) & 1023);
    }
  }
}

// @ts-ignore: decorator
@inline
function addOne(counts: usize, bin: i32): void {
  store<i32>(counts + at(bin), load<i32>(counts + at(bin)) + 1);
}
