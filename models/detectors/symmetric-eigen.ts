import { identity } from "./linear-algebra.ts";

export interface Eigen {
  /** (n), largest first. */
  readonly values: Float64Array;
  /** (n, n): row k is the unit vector of value k. */
  readonly vectors: Float64Array;
}

/** Two or three steps a value are usual; more than these mean that the matrix holds no numbers. */
const MOST_STEPS = 60;

/**
 * Eigenvalues and eigenvectors of a symmetric matrix (n, n), float64: to three diagonals by Householder reflections, and from there by QR steps with Wilkinson's shift.
 * a stays as it is. Source: Golub and Van Loan 2013, Matrix Computations, algorithms 8.3.1 to 8.3.3.
 */
export function symmetricEigen(a: Float64Array, n: number): Eigen {
  const { diagonal, beside, rows } = tridiagonal(a, n);
  diagonalize(diagonal, beside, rows, n);
  const order = Array.from({ length: n }, (_, k) => k).sort((p, q) => diagonal[q]! - diagonal[p]!);
  const vectors = new Float64Array(n * n);
  order.forEach((from, k) => {
    vectors.set(rows.subarray(from * n, (from + 1) * n), k * n);
  });
  return { values: Float64Array.from(order, (k) => diagonal[k]!), vectors };
}

/** rows A rows' = T: T has `diagonal` (n) and `beside` (n - 1), rows (n, n) is orthogonal. */
function tridiagonal(a: Float64Array, n: number) {
  const t = a.slice();
  // rows = H_last .. H_1 H_0, H_k = 1 - scale v v', v at k + 1 and beyond.
  const rows = identity(n);
  const reflections: { v: Float64Array; scale: number }[] = [];
  const p = new Float64Array(n);
  for (let k = 0; k < n - 2; k++) {
    const from = k + 1;
    let squares = 0;
    for (let i = from + 1; i < n; i++) squares += t[k * n + i]! ** 2;
    const v = new Float64Array(n);
    let scale = 0;
    if (squares > 0) {
      const first = t[k * n + from]!;
      const length = Math.sqrt(first * first + squares);
      for (let i = from; i < n; i++) v[i] = t[k * n + i]!;
      // Away from zero, so that nothing cancels.
      v[from] = first + (first < 0 ? -length : length);
      scale = 2 / (v[from]! ** 2 + squares);
      t[k * n + from] = first < 0 ? length : -length;
      let along = 0;
      for (let i = from; i < n; i++) {
        let sum = 0;
        for (let j = from; j < n; j++) sum += t[i * n + j]! * v[j]!;
        p[i] = scale * sum;
        along += p[i]! * v[i]!;
      }
      for (let i = from; i < n; i++) p[i]! -= (scale * along * v[i]!) / 2;
      for (let i = from; i < n; i++) {
        const [vi, pi] = [v[i]!, p[i]!];
        for (let j = from; j < n; j++) t[i * n + j]! -= vi * p[j]! + pi * v[j]!;
      }
    }
    reflections.push({ v, scale });
  }
  // From the last one on, the part of `rows` that a reflection meets is no larger than itself: rows <- rows H.
  for (let k = reflections.length - 1; k >= 0; k--) {
    const { v, scale } = reflections[k]!;
    if (scale === 0) continue;
    for (let i = k + 1; i < n; i++) {
      let sum = 0;
      for (let j = k + 1; j < n; j++) sum += rows[i * n + j]! * v[j]!;
      const times = scale * sum;
      for (let j = k + 1; j < n; j++) rows[i * n + j]! -= times * v[j]!;
    }
  }
  return {
    diagonal: Float64Array.from({ length: n }, (_, i) => t[i * n + i]!),
    beside: Float64Array.from({ length: Math.max(0, n - 1) }, (_, i) => t[i * n + i + 1]!),
    rows,
  };
}

/** Until nothing is left beside the diagonal; rows (n, n) turn with it. */
function diagonalize(d: Float64Array, e: Float64Array, rows: Float64Array, n: number): void {
  let steps = MOST_STEPS * n;
  for (let hi = n - 1; hi > 0 && steps > 0; ) {
    let lo = hi;
    while (lo > 0 && !isNothing(e[lo - 1]!, d[lo - 1]!, d[lo]!)) lo--;
    if (lo > 0) e[lo - 1] = 0;
    if (lo === hi) {
      hi--;
      continue;
    }
    steps--;
    qrStep(d, e, rows, { n, lo, hi });
  }
}

function isNothing(beside: number, a: number, b: number): boolean {
  // Of NaN nothing can be taken away.
  return !(Math.abs(beside) > Number.EPSILON * (Math.abs(a) + Math.abs(b)));
}

/** One step on the rows lo..hi, by Givens rotations. */
function qrStep(
  d: Float64Array,
  e: Float64Array,
  rows: Float64Array,
  { n, lo, hi }: { readonly n: number; readonly lo: number; readonly hi: number },
): void {
  const half = (d[hi - 1]! - d[hi]!) / 2;
  const last = e[hi - 1]!;
  const root = Math.sqrt(half * half + last * last);
  const shift = d[hi]! - (last * last) / (half < 0 ? half - root : half + root);
  let x = d[lo]! - shift;
  let z = e[lo]!;
  for (let k = lo; k < hi; k++) {
    const r = Math.sqrt(x * x + z * z);
    const c = r === 0 ? 1 : x / r;
    const s = r === 0 ? 0 : z / r;
    if (k > lo) e[k - 1] = r;
    const [a, b, g] = [d[k]!, e[k]!, d[k + 1]!];
    d[k] = c * c * a + 2 * c * s * b + s * s * g;
    d[k + 1] = s * s * a - 2 * c * s * b + c * c * g;
    e[k] = c * s * (g - a) + (c * c - s * s) * b;
    if (k < hi - 1) {
      x = e[k]!;
      z = s * e[k + 1]!;
      e[k + 1]! *= c;
    }
    for (let i = k * n, j = i + n; i < (k + 1) * n; i++, j++) {
      const [one, two] = [rows[i]!, rows[j]!];
      rows[i] = c * one + s * two;
      rows[j] = c * two - s * one;
    }
  }
}

/** The symmetric matrix with these eigenvectors whose eigenvalue k is `value(k)`: a function of a matrix, such as its inverse square root. */
export function fromEigen({ values, vectors }: Eigen, value: (k: number) => number): Float64Array {
  const n = values.length;
  const out = new Float64Array(n * n);
  for (let k = 0; k < n; k++) {
    const size = value(k);
    for (let i = 0; i < n; i++) {
      const times = size * vectors[k * n + i]!;
      for (let j = 0; j < n; j++) out[i * n + j]! += times * vectors[k * n + j]!;
    }
  }
  return out;
}
