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

export function identity(n: number): Float64Array {
  const out = new Float64Array(n * n);
  for (let i = 0; i < n; i++) out[i * n + i] = 1;
  return out;
}
