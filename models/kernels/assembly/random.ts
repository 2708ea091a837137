import { log1 } from "./math";
import { at } from "./vector";

// The same streams as models/engine/random.ts, whose four words lie at `state`.

/** 32 random bits. Source: Blackman & Vigna 2021, arXiv 1805.01407 (xoshiro128**). */
// @ts-ignore: decorator
@inline
export function bits(state: usize): u32 {
  const a = load<u32>(state);
  const b = load<u32>(state, 4);
  const c = load<u32>(state, 8) ^ a;
  const d = load<u32>(state, 12) ^ b;
  store<u32>(state, a ^ d);
  store<u32>(state, b ^ c, 4);
  store<u32>(state, c ^ (b << 9), 8);
  store<u32>(state, rotl<u32>(d, 11), 12);
  return rotl<u32>(b * 5, 7) * 9;
}

// @ts-ignore: decorator
@inline
function uniform(state: usize): f64 {
  return <f64>bits(state) / 4294967296.0;
}

/** Standard normal, by Marsaglia's polar method; the second value of the pair is dropped, as in random.ts. */
// @ts-ignore: decorator
@inline
export function normal(state: usize): f32 {
  let u: f64, s: f64;
  do {
    u = 2 * uniform(state) - 1;
    const v = 2 * uniform(state) - 1;
    s = u * u + v * v;
  } while (s >= 1 || s == 0);
  return <f32>(u * Math.sqrt((-2 * <f64>log1(<f32>s)) / s));
}

/** out (n) = mean + deviation * standard normal */
export function fillNormal(state: usize, out: usize, n: i32, mean: f32, deviation: f32): void {
  const end = out + at(n);
  for (; out < end; out += 4) store<f32>(out, normal(state) * deviation + mean);
}

/** out (n) = 0 with the probability threshold / 2^32, else `kept` */
export function fillKept(state: usize, out: usize, n: i32, threshold: u32, kept: f32): void {
  // As `bits`, but with the state in registers: through memory each number waits for the one before it.
  let a = load<u32>(state);
  let b = load<u32>(state, 4);
  let c = load<u32>(state, 8);
  let d = load<u32>(state, 12);
  // A choice of floats would become a branch, which goes either way.
  const word = reinterpret<u32>(kept);
  const end = out + at(n);
  for (; out < end; out += 4) {
    const keep = rotl<u32>(b * 5, 7) * 9 >= threshold;
    store<u32>(out, (0 - <u32>keep) & word);
    const t = b << 9;
    c ^= a;
    d ^= b;
    b ^= c;
    a ^= d;
    c ^= t;
    d = rotl<u32>(d, 11);
  }
  store<u32>(state, a);
  store<u32>(state, b, 4);
  store<u32>(state, c, 8);
  store<u32>(state, d, 12);
}
