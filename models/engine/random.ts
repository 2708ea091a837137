/** A seeded source of numbers: the same seed and stream give the same numbers on every machine. */
export interface Random {
  /** 32 random bits, 0 .. 2^32 - 1. */
  bits(): number;
  /** Uniform in [0, 1), 32 bits fine. */
  uniform(): number;
  /** Uniform among 0 .. n-1. */
  integer(n: number): number;
  /** Standard normal. */
  normal(): number;
  /** Puts `items` in random order, in place. */
  shuffle(items: Uint32Array): void;
}

/**
 * xoshiro128**, its state filled by a 32-bit splitmix of (seed, stream). Streams of one seed are independent of each
 * other, so that what one part draws never shifts what another part gets.
 * Source: Blackman & Vigna 2021, arXiv 1805.01407; reference code at prng.di.unimi.it/xoshiro128starstar.c.
 */
export function createRandom(seed: number, stream = 0): Random {
  const mix = splitmix32(
    splitmix32(Math.floor(seed / 2 ** 32))() ^ splitmix32(seed)() ^ (stream * 0x9e3779b1),
  );
  let [a, b, c, d] = [mix(), mix(), mix(), mix() | 1]; // never all zero
  const bits = () => {
    const result = Math.imul(rotate(Math.imul(b, 5), 7), 9) >>> 0;
    const t = b << 9;
    c ^= a;
    d ^= b;
    b ^= c;
    a ^= d;
    c ^= t;
    d = rotate(d, 11);
    return result;
  };
  const uniform = () => bits() / 2 ** 32;
  // Multiply and shift (Lemire 2019) without its rejection: the bias is below n / 2^32.
  const integer = (n: number) => Math.floor(uniform() * n);
  return {
    bits,
    uniform,
    integer,
    normal() {
      // Marsaglia's polar method; the second value of the pair is dropped, which keeps the source free of state.
      for (;;) {
        const u = 2 * uniform() - 1;
        const v = 2 * uniform() - 1;
        const s = u * u + v * v;
        if (s > 0 && s < 1) return u * Math.sqrt((-2 * Math.log(s)) / s);
      }
    },
    shuffle(items) {
      for (let i = items.length - 1; i > 0; i--) {
        const j = integer(i + 1);
        const item = items[i]!;
        items[i] = items[j]!;
        items[j] = item;
      }
    },
  };
}

function rotate(x: number, k: number): number {
  return (x << k) | (x >>> (32 - k));
}

/** Source: Steele, Lea & Flood 2014, with the 32-bit finalizer of MurmurHash3. */
function splitmix32(seed: number): () => number {
  let state = seed | 0;
  return () => {
    state = (state + 0x9e3779b9) | 0;
    let z = state;
    z = Math.imul(z ^ (z >>> 16), 0x85ebca6b);
    z = Math.imul(z ^ (z >>> 13), 0xc2b2ae35);
    return z ^ (z >>> 16);
  };
}
