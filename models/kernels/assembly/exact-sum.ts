import { at } from "./vector";

// One two's complement integer of 128 bits (lo, hi) for each parameter, in units of 2^-72. Integers add up to the same
// bits in any order.

const LSB: i32 = 72;

/** acc (n, 16 bytes) += x (n) * weight, 1 <= weight <= 2^24. x must be finite and |x| < 2^20. */
export function exactAdd(acc: usize, x: usize, n: i32, weight: u32): void {
  for (let i = 0; i < n; i++, acc += 16) {
    const bits = load<u32>(x + at(i));
    const biased = <i32>((bits >> 23) & 0xff);
    let mantissa: u64 = bits & 0x7fffff;
    if (biased) mantissa |= 0x800000;
    if (mantissa == 0) continue;
    // |x| = mantissa 2^(max(biased,1) - 150); the product has at most 48 bits, so it is exact.
    const product = mantissa * <u64>weight;
    const shift = max(biased, 1) - 150 + LSB;
    let lo: u64, hi: u64;
    if (shift <= 0) {
      // Bits below 2^-72: to the nearest, halves away from zero. The rounding sees this value alone, never the sum.
      const s = <u64>-shift;
      if (s > 48) continue; // less than half of 2^-72
      lo = s ? (product + (<u64>1 << (s - 1))) >> s : product;
      hi = 0;
    } else if (shift < 64) {
      lo = product << <u64>shift;
      hi = product >> <u64>(64 - shift);
    } else {
      lo = 0;
      hi = product << <u64>(shift - 64);
    }
    if (bits >> 31) {
      lo = 0 - lo;
      hi = ~hi + <u64>(lo == 0);
    }
    const before = load<u64>(acc);
    const sum = before + lo;
    store<u64>(acc, sum);
    store<u64>(acc, load<u64>(acc, 8) + hi + <u64>(sum < before), 8);
  }
}

/** out (n) f64 = acc / total, the integer rounded to the nearest f64 first. */
export function exactMean(acc: usize, n: i32, total: f64, out: usize): void {
  for (let i = 0; i < n; i++, acc += 16, out += 8) {
    let lo = load<u64>(acc);
    let hi = load<u64>(acc, 8);
    const negative = <i64>hi < 0;
    if (negative) {
      lo = 0 - lo;
      hi = ~hi + <u64>(lo == 0);
    }
    let value: f64;
    if (hi == 0) value = <f64>lo;
    else {
      // The top 64 bits, with the lost ones or-ed into the last: so that the one rounding (to 53 bits) is right.
      const s = <u64>64 - clz(hi);
      let top: u64;
      if (s == 64) top = hi | <u64>(lo != 0);
      else top = (hi << (64 - s)) | (lo >> s) | <u64>((lo << (64 - s)) != 0);
      value = <f64>top * <f64>(<u64>1 << (s & 32)) * <f64>(<u64>1 << (s & 31)) * (s == 64 ? 18446744073709551616.0 : 1);
    }
    value = value * 2.117582368135751e-22; // 2^-72, exact
    store<f64>(out, (negative ? -value : value) / total);
  }
}
