import { FleetError } from "../../protocol/errors.ts";

/** Writes |X_k|^2 for k = 0 .. n/2 of a real signal (n) to `power` (n/2 + 1); no allocation per call. */
export type PowerSpectrum = (signal: Float64Array, power: Float64Array) => void;

/**
 * For n a power of two: radix 2, decimation in time, float64. Source: Cooley, Tukey 1965, Mathematics of Computation 19.
 */
export function powerSpectrum(n: number): PowerSpectrum {
  if (!(n >= 2 && n <= 2 ** 20 && (n & (n - 1)) === 0))
    throw new FleetError("BAD_INPUT", `an FFT over ${n} samples can't be; use a power of two, such as 1024`);
  const bits = Math.log2(n);
  const cos = Float64Array.from({ length: n / 2 }, (_, k) => Math.cos((2 * Math.PI * k) / n));
  const sin = Float64Array.from({ length: n / 2 }, (_, k) => -Math.sin((2 * Math.PI * k) / n));
  const reversed = Uint32Array.from({ length: n }, (_, i) => {
    let r = 0;
    for (let b = 0; b < bits; b++) r |= ((i >> b) & 1) << (bits - 1 - b);
    return r;
  });
  const re = new Float64Array(n);
  const im = new Float64Array(n);
  return (signal, power) => {
    for (let i = 0; i < n; i++) re[i] = signal[reversed[i]!]!;
    im.fill(0);
    for (let half = 1; half < n; half *= 2) {
      const stride = n / (2 * half);
      for (let start = 0; start < n; start += 2 * half) {
        for (let j = 0; j < half; j++) {
          const a = start + j;
          const b = a + half;
          const [c, s] = [cos[j * stride]!, sin[j * stride]!];
          const x = re[b]! * c - im[b]! * s;
          const y = re[b]! * s + im[b]! * c;
          re[b] = re[a]! - x;
          im[b] = im[a]! - y;
          re[a]! += x;
          im[a]! += y;
        }
      }
    }
    for (let k = 0; k <= n / 2; k++) power[k] = re[k]! * re[k]! + im[k]! * im[k]!;
  };
}
