import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { LINEAR } from "../../../models/engine/activations.ts";
import { packInt8 } from "../../../models/engine/int8.ts";
import { createRandom, type Random } from "../../../models/engine/random.ts";
import { builds } from "../../../models/kernels/load.ts";
import { kernelArena } from "./arena.ts";

const integers = (random: Random, length: number, from: number, to: number) =>
  Array.from({ length }, () => from + Math.floor(random.uniform() * (to - from + 1)));

/** Integers in a buffer of floats. */
function putBytes(arena: Awaited<ReturnType<typeof kernelArena>>, values: Int8Array | Int16Array) {
  const buffer = arena.put(new Float32Array(Math.ceil(values.byteLength / 4)));
  new Uint8Array(arena.kernels.memory.buffer, buffer.address, values.byteLength).set(
    new Uint8Array(values.buffer, values.byteOffset, values.byteLength),
  );
  return buffer.address;
}

describe.each(builds())("in the %s build", (build) => {
  it("quantize8 - rounds to the nearest, ties to even, and clips, at every length", async () => {
    const arena = await kernelArena(undefined, build);
    for (let n = 1; n <= 40; n++) {
      arena.clear();
      const random = createRandom(n);
      const steps = integers(random, n, -1_000, 1_000);
      const x = arena.put(steps.map((step) => step / 4));
      const q = arena.put(new Float32Array(Math.ceil(n / 2)));
      const bytes = new Int16Array(arena.kernels.memory.buffer, q.address, 2 * Math.ceil(n / 2));
      bytes.fill(-7);
      arena.kernels.quantize8(x.address, q.address, n, 2, -100, 155);
      const expected = steps.map((step) => Math.max(-100, Math.min(155, nearest(step / 2))));
      expect([...bytes.subarray(0, n)]).toEqual(expected);
      if (n % 2 === 1) expect(bytes[n]).toBe(-7);
      expect(arena.intact()).toBe(true);
    }
  });

  it("product8 - is the sum of products, exactly, for every size up to 20 and some larger", async () => {
    const arena = await kernelArena(undefined, build);
    const sizes = [
      ...[1, 2, 3, 5].flatMap((m) =>
        Array.from({ length: 20 }, (_, k) => Array.from({ length: 9 }, (_, n) => [m, k + 1, n + 1])).flat(),
      ),
      [17, 129, 31],
      [64, 500, 12],
    ] as [number, number, number][];
    for (const [m, k, n] of sizes) {
      arena.clear();
      const random = createRandom(m * 10_007 + k * 101 + n);
      const a = integers(random, m * k, -255, 255);
      const w = integers(random, k * n, -127, 127);
      // What stands behind the last row must not count.
      const rows = putBytes(arena, Int16Array.from([...a, ...integers(random, 8, -32_768, 32_767)]));
      const packed = putBytes(arena, packInt8(Int8Array.from(w), n));
      const scales = arena.put(Array.from({ length: n }, (_, j) => 2 ** -(j % 5)));
      const bias = arena.put(integers(random, n, -50, 50));
      const y = arena.put(new Float32Array(m * n));
      arena.kernels.product8(rows, k, packed, k, scales.address, bias.address, y.address, m, n);
      for (let i = 0; i < m; i++) {
        for (let j = 0; j < n; j++) {
          let sum = 0;
          for (let t = 0; t < k; t++) sum += a[i * k + t]! * w[t * n + j]!;
          expect(y.view[i * n + j]).toBe(sum * scales.view[j]! + bias.view[j]!);
        }
      }
      expect(arena.intact()).toBe(true);
    }
  });

  it("product8 - holds its largest sum: 65536 products of 255 and 127", async () => {
    const arena = await kernelArena(undefined, build);
    const k = 65_536;
    const rows = putBytes(arena, new Int16Array(k).fill(-255));
    const packed = putBytes(arena, packInt8(new Int8Array(k).fill(127), 1));
    const scales = arena.put([1]);
    const y = arena.put([0]);
    arena.kernels.product8(rows, k, packed, k, scales.address, 0, y.address, 1, 1);
    expect(y.view[0]).toBe(-255 * 127 * k);
  });

  it("convForward8 - is the plain sum over any window", async () => {
    const arena = await kernelArena(undefined, build);
    const size = (max: number) => fc.integer({ min: 1, max });
    const sizes = fc.record({
      ...{ batch: size(3), h: size(9), w: size(9), c: size(10), n: size(6), oh: size(9), ow: size(9) },
      ...{ kh: size(3), kw: size(4), sh: size(2), sw: size(2), dh: size(2), dw: size(2) },
      ...{ top: fc.integer({ min: 0, max: 3 }), left: fc.integer({ min: 0, max: 3 }), seed: fc.nat() },
    });
    fc.assert(
      fc.property(sizes, (s) => {
        arena.clear();
        const random = createRandom(s.seed);
        const x = integers(random, s.batch * s.h * s.w * s.c, -128, 127);
        const w = integers(random, s.kh * s.kw * s.c * s.n, -127, 127);
        const { kernels } = arena;
        const shape = arena.put(new Float32Array(14));
        kernels.convShape(
          shape.address,
          ...([s.h, s.w, s.c, s.oh, s.ow, s.n] as const),
          ...([s.kh, s.kw, s.sh, s.sw, s.dh, s.dw, s.top, s.left] as const),
        );
        const from = arena.put(x.map((q) => q / 2));
        const packed = putBytes(arena, packInt8(Int8Array.from(w), s.n));
        const scales = arena.put(new Float32Array(s.n).fill(1));
        const y = arena.put(new Float32Array(s.batch * s.oh * s.ow * s.n));
        const image = Math.max(s.h * s.w, 64) * s.c;
        const scratch = arena.put(
          new Float32Array(Math.ceil((image + 64 * (s.kh * s.kw * s.c + 8)) / 2) + 16).fill(Number.NaN),
        );
        kernels.convForward8(
          shape.address,
          from.address,
          packed,
          scales.address,
          0,
          y.address,
          s.batch,
          LINEAR,
          2,
          -128,
          127,
          scratch.address,
        );
        expect([...y.view]).toEqual(plainConv(s, x, w));
        expect(arena.intact()).toBe(true);
      }),
      { numRuns: 300 },
    );
  });
});

type Sizes = Record<
  | ("batch" | "h" | "w" | "c" | "n" | "oh" | "ow")
  | ("kh" | "kw" | "sh" | "sw" | "dh" | "dw" | "top" | "left"),
  number
>;

function plainConv(s: Sizes, x: readonly number[], w: readonly number[]): number[] {
  const y: number[] = [];
  for (let b = 0; b < s.batch; b++)
    for (let oy = 0; oy < s.oh; oy++)
      for (let ox = 0; ox < s.ow; ox++)
        for (let n = 0; n < s.n; n++) {
          let sum = 0;
          for (let ky = 0; ky < s.kh; ky++)
            for (let kx = 0; kx < s.kw; kx++) {
              const iy = oy * s.sh - s.top + ky * s.dh;
              const ix = ox * s.sw - s.left + kx * s.dw;
              if (iy < 0 || iy >= s.h || ix < 0 || ix >= s.w) continue;
              for (let c = 0; c < s.c; c++)
                sum += x[((b * s.h + iy) * s.w + ix) * s.c + c]! * w[((ky * s.kw + kx) * s.c + c) * s.n + n]!;
            }
          y.push(sum);
        }
  return y;
}

function nearest(value: number): number {
  const floor = Math.floor(value);
  if (value - floor !== 0.5) return Math.round(value);
  return floor % 2 === 0 ? floor : floor + 1;
}
