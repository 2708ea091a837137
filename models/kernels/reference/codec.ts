import type { Quantised, Sparse } from "../codec.ts";

const BLOCK = 256;
const { fround } = Math;

/** Codes to the nearest step, or, with the 16 words of four generators, by chance: value i of a vector takes lane i mod 4. */
export function quantise(x: Float32Array, words?: Uint32Array): Quantised {
  const codes = new Int8Array(x.length);
  const scales = new Float32Array(Math.ceil(x.length / BLOCK));
  const lanes = words && [0, 1, 2, 3].map((lane) => generator([0, 4, 8, 12].map((w) => words[w + lane]!)));
  for (let block = 0; block < scales.length; block++) {
    const values = x.subarray(block * BLOCK, (block + 1) * BLOCK);
    const scale = fround(values.reduce((top, value) => Math.max(top, Math.abs(value)), 0) / 127);
    if (scale < 2 ** -126) continue; // nothing is drawn for it either
    scales[block] = scale;
    values.forEach((value, i) => {
      const steps = fround(value / scale);
      codes[block * BLOCK + i] = lanes ? byChance(steps, lanes[i % 4]!()) : nearest(steps);
    });
  }
  return { codes, scales };
}

function nearest(x: number): number {
  const low = Math.floor(x);
  const rest = x - low;
  if (rest === 0.5) return low % 2 === 0 ? low : low + 1;
  return rest < 0.5 ? low : low + 1;
}

function byChance(x: number, uniform: number): number {
  const size = Math.min(Math.abs(x), 127);
  const whole = Math.floor(size);
  return Math.sign(x) * (uniform < size - whole ? whole + 1 : whole);
}

/** xoshiro128** from its four words, 24 bits of each number as a fraction. */
function generator(words: readonly number[]): () => number {
  let [a, b, c, d] = words as [number, number, number, number];
  const turned = (x: number, k: number) => (x << k) | (x >>> (32 - k));
  return () => {
    const bits = Math.imul(turned(Math.imul(b, 5), 7), 9) >>> 0;
    const t = b << 9;
    c ^= a;
    d ^= b;
    b ^= c;
    a ^= d;
    c ^= t;
    d = turned(d, 11);
    return (bits >>> 8) / 2 ** 24;
  };
}

export function addQuantised({ codes, scales }: Quantised, into: Float32Array): void {
  codes.forEach((code, i) => {
    into[i] = into[i]! + fround(code * scales[Math.floor(i / BLOCK)]!);
  });
}

/** The k values of largest magnitude, by sorting, and the rest with zeros in their place. */
export function sparsify(x: Float32Array, k: number): Sparse & { readonly rest: Float32Array } {
  const order = Array.from(x, (_, i) => i).sort((i, j) => Math.abs(x[j]!) - Math.abs(x[i]!) || i - j);
  const indexes = Uint32Array.from(order.slice(0, k)).sort();
  const rest = x.slice();
  for (const index of indexes) rest[index] = 0;
  return { indexes, values: Float32Array.from(indexes, (index) => x[index]!), rest };
}
