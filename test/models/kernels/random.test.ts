import { expect, it } from "vitest";
import { createRandom } from "../../../models/engine/random.ts";
import { kernelArena } from "./arena.ts";

/** A kernel's generator and the one of random.ts, in the same state. */
async function both(seed: number) {
  const arena = await kernelArena();
  const words = arena.put([0, 0, 0, 0]);
  const state = new Uint32Array(arena.kernels.memory.buffer, words.address, 4);
  const source = createRandom(seed);
  // random.ts fills its state by splitmix32; the first outputs of another stream serve as well.
  for (let k = 0; k < 4; k++) state[k] = source.bits() | (k === 3 ? 1 : 0);
  return { ...arena, state, address: words.address, reference: reference([...state]) };
}

/** xoshiro128** as in its paper, on 64-bit integers. */
function reference(start: number[]) {
  let s = start.map(BigInt);
  const mask = 0xffffffffn;
  const rotate = (x: bigint, k: bigint) => ((x << k) | (x >> (32n - k))) & mask;
  return () => {
    const result = (rotate((s[1]! * 5n) & mask, 7n) * 9n) & mask;
    const t = (s[1]! << 9n) & mask;
    let [a, b, c, d] = s as [bigint, bigint, bigint, bigint];
    c ^= a;
    d ^= b;
    b ^= c;
    a ^= d;
    c ^= t;
    d = rotate(d, 11n);
    s = [a, b, c, d];
    return Number(result);
  };
}

it("fillKept - draws the stream of xoshiro128** and compares it with the threshold", async () => {
  const { kernels, put, address, reference: next, intact } = await both(7);
  const threshold = 0.3 * 2 ** 32;
  const out = put(new Float32Array(1_001));
  kernels.fillKept(address, out.address, 1_001, threshold, 2.5);
  expect([...out.view]).toEqual(Array.from({ length: 1_001 }, () => (next() >= threshold ? 2.5 : 0)));
  expect(intact()).toBe(true);
});

it("fillNormal - draws what random.ts draws from the same state, to float precision", async () => {
  const { kernels, put, address, reference: next } = await both(11);
  const uniform = () => next() / 2 ** 32;
  const normal = () => {
    for (;;) {
      const u = 2 * uniform() - 1;
      const v = 2 * uniform() - 1;
      const s = u * u + v * v;
      if (s > 0 && s < 1) return u * Math.sqrt((-2 * Math.log(s)) / s);
    }
  };
  const n = 10_000;
  const out = put(new Float32Array(n));
  kernels.fillNormal(address, out.address, n, 1, 0.5);
  let [sum, squares] = [0, 0];
  for (const value of out.view) {
    expect(Math.abs(value - (1 + 0.5 * normal()))).toBeLessThan(1e-5);
    sum += value;
    squares += (value - 1) ** 2;
  }
  expect(sum / n).toBeCloseTo(1, 1);
  expect(Math.sqrt(squares / n)).toBeCloseTo(0.5, 1);
});
