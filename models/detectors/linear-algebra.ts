/** Small dense matrices, row-major float64: (n, n) unless said otherwise. */

/**
 * Solves A X = B for a symmetric positive definite A. a: overwritten; b: (n, m), overwritten with X. false where A is not positive definite; b is then as it was.
 * Source: Golub and Van Loan 2013, Matrix Computations, algorithms 4.2.1 and 3.1.1.
 */
export function solvePositive(a: Float64Array, b: Float64Array, n: number): boolean {
  if (!cholesky(a, n)) return false;
  const m = b.length / n;
  // L Y = B, then L' X = Y.
  for (let i = 0; i < n; i++) {
    for (let k = 0; k < i; k++) subtractRow(b, m, { from: i, row: k, times: a[i * n + k]! });
    scaleRow(b, m, i, 1 / a[i * n + i]!);
  }
  for (let i = n - 1; i >= 0; i--) {
    for (let k = i + 1; k < n; k++) subtractRow(b, m, { from: i, row: k, times: a[k * n + i]! });
    scaleRow(b, m, i, 1 / a[i * n + i]!);
  }
  return true;
}

/** A = L L': L into the lower triangle of a. */
function cholesky(a: Float64Array, n: number): boolean {
  for (let i = 0; i < n; i++) {
    for (let j = 0; j <= i; j++) {
      let sum = a[i * n + j]!;
      for (let k = 0; k < j; k++) sum -= a[i * n + k]! * a[j * n + k]!;
      if (j < i) a[i * n + j] = sum / a[j * n + j]!;
      else if (sum > 0) a[i * n + i] = Math.sqrt(sum);
      else return false;
    }
  }
  return true;
}

function subtractRow(
  b: Float64Array,
  m: number,
  { from, row, times }: { from: number; row: number; times: number },
): void {
  if (times === 0) return;
  for (let j = 0; j < m; j++) b[from * m + j]! -= times * b[row * m + j]!;
}

function scaleRow(b: Float64Array, m: number, row: number, times: number): void {
  for (let j = 0; j < m; j++) b[row * m + j]! *= times;
}

export interface Eigen {
  /** (n), largest first. */
  readonly values: Float64Array;
  /** (n, n): row k is the unit vector of value k. */
  readonly vectors: Float64Array;
}

/** Sweeps converge quadratically; six to ten are usual, more than these mean that the matrix holds no numbers. */
const MOST_SWEEPS = 60;
/** Of an element against its two diagonal ones: below it, a rotation changes nothing that float64 can tell. */
const NEGLIGIBLE = 1e-16;

/**
 * Eigenvalues and eigenvectors of a symmetric matrix, by cyclic Jacobi rotations. a stays as it is.
 * Source: Golub and Van Loan 2013, Matrix Computations, section 8.5.
 */
export function symmetricEigen(a: Float64Array, n: number): Eigen {
  const d = a.slice();
  const v = identity(n);
  let rotated = true;
  for (let sweep = 0; rotated && sweep < MOST_SWEEPS; sweep++) {
    rotated = false;
    for (let p = 0; p < n - 1; p++) {
      for (let q = p + 1; q < n; q++) if (rotate(d, v, n, p, q)) rotated = true;
    }
  }
  const order = Array.from({ length: n }, (_, k) => k).sort((p, q) => d[q * n + q]! - d[p * n + p]!);
  const vectors = new Float64Array(n * n);
  order.forEach((from, k) => {
    vectors.set(v.subarray(from * n, (from + 1) * n), k * n);
  });
  return { values: Float64Array.from(order, (k) => d[k * n + k]!), vectors };
}

/** One rotation, after which d[p][q] is 0: d <- J' d J, v <- J' v. false where it is nothing already. */
function rotate(d: Float64Array, v: Float64Array, n: number, p: number, q: number): boolean {
  const off = d[p * n + q]!;
  const pp = d[p * n + p]!;
  const qq = d[q * n + q]!;
  if (!(Math.abs(off) > NEGLIGIBLE * Math.sqrt(Math.abs(pp * qq)) && Math.abs(off) > Number.MIN_VALUE))
    return false;
  const tau = (qq - pp) / (2 * off);
  const t = (tau < 0 ? -1 : 1) / (Math.abs(tau) + Math.hypot(1, tau));
  const c = 1 / Math.hypot(1, t);
  const s = t * c;
  for (let k = 0; k < n; k++) {
    const x = d[k * n + p]!;
    const y = d[k * n + q]!;
    d[k * n + p] = c * x - s * y;
    d[k * n + q] = s * x + c * y;
  }
  for (const rows of [d, v]) {
    for (let k = 0; k < n; k++) {
      const x = rows[p * n + k]!;
      const y = rows[q * n + k]!;
      rows[p * n + k] = c * x - s * y;
      rows[q * n + k] = s * x + c * y;
    }
  }
  d[p * n + q] = 0;
  d[q * n + p] = 0;
  return true;
}

export function identity(n: number): Float64Array {
  const out = new Float64Array(n * n);
  for (let i = 0; i < n; i++) out[i * n + i] = 1;
  return out;
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
