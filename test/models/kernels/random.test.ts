import { expect, it } from "vitest";
import { createRandom, type Random } from "../../../models/engine/random.ts";
import { kernelArena } from "./arena.ts";

/** A kernel's generator, and the one of random.ts in the same state. */
async function both(seed: number) {
  const arena = await kernelArena();
  const words = arena.put([0, 0, 0, 0]);
  new Uint32Array(arena.kernels.memory.buffer, words.address, 4).set(stateAfterOne(createRandom(seed)));
  const source = createRandom(seed);
  source.bits();
  return { ...arena, address: words.address, source };
}

/** The four words of xoshiro128** behind its first number, found from its first four: each shows the second word. */
function stateAfterOne(source: Random): number[] {
  // The output is rotl(b 5, 7) 9; odd factors have inverses modulo 2^32.
  const b = [0, 1, 2, 3].map(() => {
    const x = Math.imul(source.bits(), 0x38e38e39);
    return Math.imul((x >>> 7) | (x << 25), 0xcccccccd);
  }) as [number, number, number, number];
  const c1 = b[1] ^ b[0] ^ (b[0] << 9);
  const a1 = b[2] ^ b[1] ^ c1;
  const c2 = c1 ^ a1 ^ (b[1] << 9);
  const a2 = b[3] ^ b[2] ^ c2;
  return [a1, b[1], c1, a2 ^ a1 ^ b[1]].map((word) => word >>> 0);
}

it("fillKept - compares the stream of random.ts with the threshold", async () => {
  const { kernels, put, address, source, intact } = await both(7);
  const threshold = 0.3 * 2 ** 32;
  const out = put(new Float32Array(1_001));
  kernels.fillKept(address, out.address, 1_001, threshold, 2.5);
  expect([...out.view]).toEqual(Array.from({ length: 1_001 }, () => (source.bits() >= threshold ? 2.5 : 0)));
  expect(intact()).toBe(true);
});

it("fillNormal - draws the normals of random.ts, to float precision", async () => {
  const { kernels, put, address, source } = await both(11);
  const n = 10_000;
  const out = put(new Float32Array(n));
  kernels.fillNormal(address, out.address, n, 1, 0.5);
  let [sum, squares] = [0, 0];
  for (const value of out.view) {
    expect(Math.abs(value - (1 + 0.5 * source.normal()))).toBeLessThan(1e-5);
    sum += value;
    squares += (value - 1) ** 2;
  }
  expect(sum / n).toBeCloseTo(1, 1);
  expect(Math.sqrt(squares / n)).toBeCloseTo(0.5, 1);
});
