/** C (m,n) = op(A) op(B) in f64. ta: A is stored (k,m); tb: B is stored (n,k). No padding between rows. */
export function naiveGemm(
  a: ArrayLike<number>,
  b: ArrayLike<number>,
  form: { m: number; n: number; k: number; ta: boolean; tb: boolean },
): Float64Array {
  const { m, n, k, ta, tb } = form;
  const c = new Float64Array(m * n);
  for (let i = 0; i < m; i++) {
    for (let j = 0; j < n; j++) {
      for (let p = 0; p < k; p++) {
        c[i * n + j]! += a[ta ? p * m + i : i * k + p]! * b[tb ? j * k + p : p * n + j]!;
      }
    }
  }
  return c;
}
