// The exact sum with plain big integers: what the kernel must equal, bit for bit.

const LSB = 72;

/** value * weight in units of 2^-72, rounded to the nearest, halves away from zero. */
export function exactTerm(value: number, weight: number): bigint {
  const bits = new Uint32Array(Float32Array.of(value).buffer)[0]!;
  const biased = (bits >>> 23) & 0xff;
  const mantissa = BigInt(biased === 0 ? bits & 0x7fffff : (bits & 0x7fffff) | 0x800000);
  const shift = Math.max(biased, 1) - 150 + LSB;
  const product = mantissa * BigInt(weight);
  const magnitude =
    shift >= 0 ? product << BigInt(shift) : (product + (1n << BigInt(-shift - 1))) >> BigInt(-shift);
  return bits >>> 31 ? -magnitude : magnitude;
}

/** The sums of all updates, one big integer a parameter. */
export function exactSum(
  updates: readonly { readonly values: Float32Array; readonly weight: number }[],
): bigint[] {
  const sums = Array.from(updates[0]?.values ?? [], () => 0n);
  for (const { values, weight } of updates) {
    values.forEach((value, i) => {
      sums[i] = sums[i]! + exactTerm(value, weight);
    });
  }
  return sums;
}

/** Big integers as the kernel stores them: 128 bits each, two's complement, little-endian. */
export function exactBits(sums: readonly bigint[]): Uint8Array {
  const out = new BigUint64Array(sums.length * 2);
  sums.forEach((sum, i) => {
    out[2 * i] = BigInt.asUintN(64, sum);
    out[2 * i + 1] = BigInt.asUintN(64, sum >> 64n);
  });
  return new Uint8Array(out.buffer);
}
