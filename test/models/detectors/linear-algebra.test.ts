import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { identity, solvePositive } from "../../../models/detectors/linear-algebra.ts";
import { fromEigen, symmetricEigen } from "../../../models/detectors/symmetric-eigen.ts";
import { createRandom } from "../../../models/engine/random.ts";

/** The definition: (A B)[i][j] = sum over k of A[i][k] B[k][j]. */
function product(a: Float64Array, b: Float64Array, n: number): Float64Array {
  const m = b.length / n;
  return Float64Array.from({ length: (a.length / n) * m }, (_, at) => {
    const [i, j] = [Math.floor(at / m), at % m];
    let sum = 0;
    for (let k = 0; k < n; k++) sum += a[i * n + k]! * b[k * m + j]!;
    return sum;
  });
}

function transposed(a: Float64Array, n: number): Float64Array {
  return a.map((_, at) => a[(at % n) * n + Math.floor(at / n)]!);
}

function normals(length: number, seed: number): Float64Array {
  const random = createRandom(seed);
  return Float64Array.from({ length }, () => random.normal());
}

function largestGap(a: Float64Array, b: Float64Array): number {
  return a.reduce((most, value, i) => Math.max(most, Math.abs(value - b[i]!)), 0);
}

const cases = fc.record({ n: fc.integer({ min: 1, max: 24 }), seed: fc.integer({ min: 0, max: 1e6 }) });

describe("linear algebra", () => {
  it("A times the solution of A X = B is B again, for any positive definite A", () => {
    fc.assert(
      fc.property(cases, ({ n, seed }) => {
        const root = normals(n * n, seed);
        const a = product(root, transposed(root, n), n).map((x, i) => x + (i % (n + 1) === 0 ? 0.1 : 0));
        const b = normals(n * 3, seed + 1);
        const x = b.slice();
        expect(solvePositive(a.slice(), x, n)).toBe(true);
        expect(largestGap(product(a, x, n), b)).toBeLessThan(1e-9 * (1 + Math.max(...x.map(Math.abs))) * n);
      }),
      { numRuns: 50 },
    );
  });

  it("a system of two equations has the solution that paper gives", () => {
    // 4x + 2y = 10, 2x + 3y = 11: x = 1, y = 3.
    const b = Float64Array.of(10, 11);
    expect(solvePositive(Float64Array.of(4, 2, 2, 3), b, 2)).toBe(true);
    expect(b[0]).toBeCloseTo(1, 12);
    expect(b[1]).toBeCloseTo(3, 12);
  });

  it("a matrix that is not positive definite, or holds NaN, is refused and the right side left alone", () => {
    const b = Float64Array.of(1, 2);
    expect(solvePositive(Float64Array.of(1, 2, 2, 1), b, 2)).toBe(false);
    expect(solvePositive(new Float64Array(4), b, 2)).toBe(false);
    expect(solvePositive(Float64Array.of(Number.NaN, 0, 0, 1), b, 2)).toBe(false);
    expect([...b]).toEqual([1, 2]);
  });

  it("eigenvectors are orthonormal, A v = value v, and the values fall, for any symmetric A", () => {
    fc.assert(
      fc.property(cases, ({ n, seed }) => {
        const any = normals(n * n, seed);
        const a = any.map((x, i) => x + transposed(any, n)[i]!);
        const eigen = symmetricEigen(a, n);
        const { values, vectors } = eigen;
        expect(largestGap(product(vectors, transposed(vectors, n), n), identity(n))).toBeLessThan(1e-12);
        expect(
          largestGap(
            fromEigen(eigen, (k) => values[k]!),
            a,
          ),
        ).toBeLessThan(1e-11);
        expect([...values].sort((x, y) => y - x)).toEqual([...values]);
      }),
      { numRuns: 50 },
    );
  });

  it("equal eigenvalues, zeros and a spread of ten decades are no trouble", () => {
    expect([...symmetricEigen(identity(4), 4).values]).toEqual([1, 1, 1, 1]);
    expect([...symmetricEigen(new Float64Array(9), 3).values]).toEqual([0, 0, 0]);
    // [[2, 1], [1, 2]] has 3 and 1.
    const small = symmetricEigen(Float64Array.of(2, 1, 1, 2), 2);
    expect(small.values[0]).toBeCloseTo(3, 12);
    expect(small.values[1]).toBeCloseTo(1, 12);
    const { vectors } = symmetricEigen(product(normals(25, 3), transposed(normals(25, 3), 5), 5), 5);
    const spread = Float64Array.of(1e6, 1, 1e-2, 1e-4, 0);
    const found = symmetricEigen(
      fromEigen({ values: spread, vectors }, (k) => spread[k]!),
      5,
    );
    expect(largestGap(found.values, spread)).toBeLessThan(1e-8);
  });

  it("a matrix that holds NaN has no values, and is no endless loop", () => {
    const found = symmetricEigen(new Float64Array(2500).fill(Number.NaN), 50);
    expect([...found.values].every(Number.isNaN)).toBe(true);
  });

  it("the inverse square root of a matrix, twice, is its inverse", () => {
    const root = normals(36, 5);
    const a = product(root, transposed(root, 6), 6);
    const eigen = symmetricEigen(a, 6);
    const half = fromEigen(eigen, (k) => 1 / Math.sqrt(eigen.values[k]!));
    expect(largestGap(product(product(half, half, 6), a, 6), identity(6))).toBeLessThan(1e-6);
    expect(largestGap(half, transposed(half, 6))).toBeLessThan(1e-9);
  });
});
