import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { builds } from "../../../models/kernels/load.ts";
import { naiveGemm } from "../../../models/kernels/reference/gemm.ts";
import { randomFloats, relativeError } from "../engine/support.ts";
import { kernelArena } from "./arena.ts";

const FORMS = [
  { ta: false, tb: false },
  { ta: false, tb: true },
  { ta: true, tb: false },
  { ta: true, tb: true },
];

// Past 64 rows, 128 columns and a depth of 256 the product is cut in blocks; the sizes straddle all three.
const size = (edge: number) =>
  fc.oneof(
    { weight: 3, arbitrary: fc.integer({ min: 1, max: 20 }) },
    fc.integer({ min: edge - 3, max: edge + 9 }),
  );

describe.each(builds())("%s build", (build) => {
  it("gemm - every form equals the naive product, for any size and from any start", async () => {
    const arena = await kernelArena(undefined, build);
    fc.assert(
      fc.property(
        fc.constantFrom(...FORMS),
        size(64),
        size(128),
        size(256),
        fc.constantFrom("zero", "add", "bias"),
        fc.integer(),
        ({ ta, tb }, m, n, k, start, seed) => {
          arena.clear();
          const a = arena.put(randomFloats(m * k, seed));
          const b = arena.put(randomFloats(k * n, seed + 1));
          const before = randomFloats(m * n, seed + 2);
          const c = arena.put(before);
          const bias = arena.put(randomFloats(n, seed + 3));
          const [lda, ldb] = [ta ? m : k, tb ? k : n];
          const expected = naiveGemm(a.view, b.view, { m, n, k, ta, tb }).map((value, i) => {
            if (start === "add") return value + before[i]!;
            return start === "bias" ? value + bias.view[i % n]! : value;
          });
          const biasAddress = start === "bias" ? bias.address : 0;
          arena.kernels.gemm(
            ta,
            tb,
            m,
            n,
            k,
            a.address,
            lda,
            b.address,
            ldb,
            c.address,
            n,
            start === "add",
            biasAddress,
          );
          expect(relativeError(c.view, expected)).toBeLessThan(1e-5);
          expect(arena.intact()).toBe(true);
        },
      ),
      { numRuns: 150, seed: 1 },
    );
  });

  it("gemm - works on a part of wider matrices and leaves the rest alone", async () => {
    const arena = await kernelArena(undefined, build);
    const [m, n, k, wide] = [6, 5, 7, 20];
    const a = arena.put(randomFloats(m * wide, 1));
    const b = arena.put(randomFloats(k * wide, 2));
    const c = arena.put(new Float32Array(m * wide).fill(9));
    arena.kernels.gemm(false, false, m, n, k, a.address, wide, b.address, wide, c.address, wide, false, 0);
    const narrow = (from: Float32Array, rows: number, columns: number) =>
      Float32Array.from(
        { length: rows * columns },
        (_, i) => from[Math.floor(i / columns) * wide + (i % columns)]!,
      );
    const expected = naiveGemm(narrow(a.view, m, k), narrow(b.view, k, n), { m, n, k, ta: false, tb: false });
    expect(relativeError(narrow(c.view, m, n), expected)).toBeLessThan(1e-6);
    expect(c.view.every((value, i) => i % wide < n || value === 9)).toBe(true);
  });

  it("gemv - adds the naive product for any size", async () => {
    const arena = await kernelArena(undefined, build);
    fc.assert(
      fc.property(
        // From 16,384 weights on, W is read in one line.
        fc.oneof(fc.integer({ min: 1, max: 70 }), fc.integer({ min: 240, max: 260 })),
        fc.integer({ min: 1, max: 140 }),
        fc.integer(),
        (k, n, seed) => {
          arena.clear();
          const x = arena.put(randomFloats(k, seed));
          const w = arena.put(randomFloats(k * n, seed + 1));
          const before = randomFloats(n, seed + 2);
          const y = arena.put(before);
          const expected = naiveGemm(x.view, w.view, { m: 1, n, k, ta: false, tb: false }).map(
            (v, i) => v + before[i]!,
          );
          arena.kernels.gemv(x.address, w.address, n, y.address, k, n);
          expect(relativeError(y.view, expected)).toBeLessThan(1e-5);
          expect(arena.intact()).toBe(true);
        },
      ),
      { numRuns: 60, seed: 1 },
    );
  });

  it("columnSums - adds the sum of each column for any size", async () => {
    const arena = await kernelArena(undefined, build);
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 30 }),
        fc.integer({ min: 1, max: 40 }),
        fc.integer(),
        (m, n, seed) => {
          arena.clear();
          const a = arena.put(randomFloats(m * n, seed));
          const out = arena.put(new Float32Array(n).fill(1));
          const expected = Float64Array.from({ length: n }, (_, j) => {
            let sum = 1;
            for (let i = 0; i < m; i++) sum += a.view[i * n + j]!;
            return sum;
          });
          arena.kernels.columnSums(a.address, n, m, n, out.address);
          expect(relativeError(out.view, expected)).toBeLessThan(1e-5);
          expect(arena.intact()).toBe(true);
        },
      ),
      { numRuns: 40, seed: 1 },
    );
  });
});
